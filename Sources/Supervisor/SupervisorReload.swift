import Glibc

// SIGHUP: check, ask the keeper, start new workers, let the old ones finish. Until the last step nothing was taken
// away, so a refusal at any of them leaves the service as it was.

extension Supervisor {
    func beginReload() {
        guard reloadIsWanted, phase == .running, case .none = reload else { return }
        reloadIsWanted = false
        plan.notifier.reloading()
        switch plan.check() {
        case .failure(let refusal): refuse(refusal)
        case .success(let configuration):
            guard let keeper, keeper.state == .ready,
                (try? configuration.settings.withUnsafeBytes({ try keeper.control.send(.reload, $0) })) != nil
            else { return refuse(Refusal("The keeper is being replaced; reload again.")) }
            reload = .askingKeeper(configuration, deadline: now() + Self.startMilliseconds)
        }
    }

    func keeperReloaded() {
        guard case .askingKeeper(let configuration, _) = reload else { return }
        reload = .replacing(before: plan.configuration)
        plan.configuration = configuration
        generation += 1
        for _ in 0..<configuration.workers { startWorker() }
    }

    func finishReloadIfReady() {
        guard case .replacing = reload else { return }
        let ready = workers.filter { $0.generation == generation && $0.state == .ready }
        guard ready.count == plan.configuration.workers else { return }
        reload = .none
        for worker in workers where worker.generation < generation { leave(worker) }
        // A worker that was due for replacement has been replaced by a new one.
        replacements.removeAll { $0.role != .keeper }
        plan.log("reloaded: generation \(generation)")
        plan.reloadStatus.write(.success(generation))
        plan.notifier.ready()
        beginReload()
    }

    func refuseReload(_ sentence: String) {
        switch reload {
        case .none: return
        case .askingKeeper: break
        case .replacing(let before):
            for worker in workers where worker.generation == generation { leave(worker) }
            generation -= 1
            plan.configuration = before
            if phase == .running { replenish() }
            if let keeper { try? before.settings.withUnsafeBytes { try keeper.control.send(.reload, $0) } }
        }
        reload = .none
        refuse(Refusal(sentence))
        beginReload()
    }

    private func refuse(_ refusal: Refusal) {
        plan.log("not reloaded: \(refusal.sentence)")
        plan.reloadStatus.write(.failure(refusal))
        if phase == .running { plan.notifier.ready() }
    }
}
