import OAuth

/// What an operator should hear of providers: that one does not take our client, that one cannot be asked, that it is
/// over. Said when it begins, again every ten minutes, and once when it ends, however many connections it meets.
struct Troubles {
    private enum Kind: Hashable { case client, request, down }

    private struct State {
        var failures = 0
        var said: (kind: Kind, at: Int64)?
    }

    static let sayAgainAfter: Int64 = 600_000
    /// So many calls in a row without an answer that is one: fewer happen on any network.
    static let failuresInARow = 3

    private var states: [ProviderID: State] = [:]

    /// What there is to say of a call that has ended; nil: nothing, or it was said.
    mutating func note(_ outcome: FlightOutcome, of provider: ProviderID, at uptime: Int64) -> String? {
        var state = states[provider] ?? State()
        defer { states[provider] = state }
        let name = provider.json
        switch outcome {
        case .renewed:
            state.failures = 0
            return Self.end(&state).map { _ in "\(name) renews tokens again" }
        case .dead, .notDone:
            // It answers, and speaks of one person's grant.
            state.failures = 0
            return state.said?.kind == .down ? Self.end(&state).map { _ in "\(name) answers again" } : nil
        case .refused(let code) where RefreshEngine.speaksOfClient(code):
            return Self.begin(.client, &state, at: uptime)
                ? """
                \(name) does not accept our client (\(shownCode(code))): no token of it is renewed until its id and secret \
                are right; no connection is lost
                """ : nil
        case .refused(let code):
            return Self.begin(.request, &state, at: uptime)
                ? "\(name) does not take how a token is asked for (\(shownCode(code))); no connection is lost" : nil
        case .notSent(let code), .unknown(let code):
            state.failures += 1
            guard state.failures >= Self.failuresInARow, Self.begin(.down, &state, at: uptime) else { return nil }
            return "\(name) cannot be asked for tokens (\(shownCode(code))); no connection is lost"
        }
    }

    private static func begin(_ kind: Kind, _ state: inout State, at uptime: Int64) -> Bool {
        if let said = state.said, said.kind == kind, uptime - said.at < sayAgainAfter { return false }
        state.said = (kind, uptime)
        return true
    }

    private static func end(_ state: inout State) -> Kind? {
        defer { state.said = nil }
        return state.said?.kind
    }
}
