import Encoding
import OAuth
import Vault

/// Who is let in by an approval when it arrives: those whom the person let in, without those whom they sent away since.
struct Admission {
    let flow: AuthorizationSession
    let takenBack: TakenBack
    /// The connection was not there before.
    let isNew: Bool

    init(of flow: AuthorizationSession, since takenBack: TakenBack, isNew: Bool) {
        (self.flow, self.takenBack, self.isNew) = (flow, takenBack, isNew)
    }

    var plugins: [PluginID] { flow.plugins.filter { takenBack.letsIn($0, isNew: isNew) } }
    var clients: [ClientGrantID] { flow.clients.filter { takenBack.letsIn($0, isNew: isNew) } }
    /// Before anybody uses it the person is asked.
    var asks: Bool { isNew && takenBack.asksAboutNew }
}

extension Broker {
    /// Whoever asked goes on, or learns that they were sent away.
    func answer(
        _ outcome: Outcome, _ admission: Admission, with vault: OpenVault, _ rows: Rows, at now: Instant
    ) throws {
        guard let hash = admission.flow.request, let request = try rows.request(hash: hash) else { return }
        guard lets(request, in: admission) else {
            return try rows.answer(hash, as: .declined, with: vault, at: now)
        }
        try answer(outcome, with: vault, rows, at: now)
    }

    private func lets(_ request: Request, in admission: Admission) -> Bool {
        !request.isOfGuest || admission.takenBack.letsIn(request.caller, isNew: admission.isNew)
    }

    /// What the person is told of what they took back; the done page has words for it (nginx/site/done.js).
    func said(_ admission: Admission, _ rows: Rows) throws -> String? {
        let taken = admission.takenBack
        if taken.isEverything { return "stopped" }
        if taken.isSessionOver { return "session-ended" }
        if admission.isNew, taken.isRevoked { return "revoked" }
        if let request = try admission.flow.request.flatMap({ try rows.request(hash: $0) }),
            !lets(request, in: admission)
        {
            return "withdrawn"
        }
        let isComplete =
            admission.plugins.count == admission.flow.plugins.count
            && admission.clients.count == admission.flow.clients.count
        return isComplete ? nil : "other-withdrawn"
    }
}

extension Request {
    /// Keys and command lines open the vault themselves: a connection that is there is theirs to use. Others are let in.
    var isOfGuest: Bool {
        switch callerKind {
        case .plugin, .pluginPerson, .access: true
        default: false
        }
    }
}
