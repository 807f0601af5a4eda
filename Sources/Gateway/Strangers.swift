import Broker
import Encoding
import FastCGI
import OAuth

/// Somebody who did not say who they are, or was not who they said.
struct Stranger: Sendable {
    /// For the second log; nil: not worth a line.
    let code: String?
    /// They showed something that is no good: counted against their address.
    let failed: Bool
}

/// What strangers try: the second log, and the limit on failed authentication. Neither is a part of the record that
/// vending waits for, so nobody can fill that one from outside. nginx's log has the addresses.
///
/// A caller is looked at before anything is counted, so who shows what is right is never slowed by who does not, be it
/// from the same address (docs/ARCHITECTURE.md).
public struct Strangers: Sendable {
    private static let burst: Int64 = 20

    let log: BoundedLog
    /// Of all workers together.
    let failures: RateTable
    /// 0: no limit.
    let perSecond: Int64

    /// - Parameter room: which part of the service; never what was sent.
    /// - Returns: the seconds to wait, where this address has failed too often.
    func note(_ stranger: Stranger, at room: String, from address: String, _ now: Instant) -> Int64? {
        if let code = stranger.code { log.note("refused: \(code) at \(room)", now) }
        guard stranger.failed, perSecond > 0 else { return nil }
        let key = RateTable.Key(Array(Neighbourhood.of(address).address.utf8))
        return failures.take(key, perSecond: perSecond, burst: Self.burst, at: now)
    }

    static func tooMany(_ seconds: Int64) -> Problem {
        Problem(
            429, "rate-limited", "Too many failures",
            "What this address shows to say who it is was wrong too often. Try again in \(seconds) seconds.",
            headers: [("Retry-After", String(seconds))])
    }
}

extension Refusal {
    var stranger: Stranger? {
        switch self {
        case .invalidToken: Stranger(code: "invalid-token", failed: true)
        case .crossSite: Stranger(code: "cross-site", failed: false)
        // nginx limits the routes of sign-in by themselves, and further.
        case .invalidInvitation: Stranger(code: "invalid-invitation", failed: false)
        default: nil
        }
    }
}

extension OAuthError {
    /// The one that is about what was shown at token exchange, where it is no client's own credential.
    static let wrongSubject = OAuthError(.invalidRequest, "the subject_token is wrong, expired or revoked")

    var stranger: Stranger? {
        switch code {
        case .invalidClient, .invalidGrant: Stranger(code: code.rawValue, failed: true)
        case _ where self == .wrongSubject: Stranger(code: "invalid-token", failed: true)
        default: nil
        }
    }
}

extension Exchange {
    /// The first parts of the path, as far as they are words: what follows may be somebody's.
    func room(_ count: Int) -> String {
        let path = path
        // What nginx asks by itself is about a request for the way in front of it.
        guard !path.hasPrefix("/internal/") else { return "/proxy" }
        let parts = path.split(separator: "/").prefix(count).prefix { part in
            part.count <= 20 && part.allSatisfy { $0.isASCII && ($0.isLowercase || $0 == "-" || $0 == "_") }
        }
        return "/" + parts.joined(separator: "/")
    }
}
