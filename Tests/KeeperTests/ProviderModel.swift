import Encoding
import OAuth
import Secrets
import Synchronization

@testable import Keeper

/// A provider as reliability asks for it: what it does to refresh tokens, and what it knows to be live.
final class ProviderModel {
    enum Kind: String, CaseIterable {
        /// The refresh token stays.
        case unchanging
        /// A spent one may be shown again for a while.
        case rotatesWithGrace
        /// A spent one is refused.
        case rotatesStrictly
        /// A spent one ends everything that came from it.
        case rotatesAndKillsFamily
        /// A refresh ends the access token before.
        case rotatesAndKillsAccess
    }

    static let graceSeconds: Int64 = 600

    private struct Family {
        var live: Set<String>
        var spent: [String: Int64] = [:]
        var access: Set<String>
        var isDead = false
    }

    let kind: Kind
    let life: Int64
    private var families: [Family] = []
    private var familyOf: [String: Int] = [:]
    private var issued = 0

    init(_ kind: Kind, life: Int64) { (self.kind, self.life) = (kind, life) }

    var policy: RefreshPolicy {
        RefreshPolicy(
            rotates: kind != .unchanging, graceSeconds: kind == .rotatesWithGrace ? Self.graceSeconds : 0,
            oldAccessDies: kind == .rotatesAndKillsAccess)
    }

    /// A person consents: a family of its own.
    func consent() -> (access: String, refresh: String) {
        issued += 1
        let pair = ("a-\(kind)-\(issued)", "r-\(kind)-\(issued)")
        families.append(Family(live: [pair.1], access: [pair.0]))
        familyOf[pair.1] = families.count - 1
        return pair
    }

    func isLive(_ refresh: String) -> Bool {
        familyOf[refresh].map { !families[$0].isDead && families[$0].live.contains(refresh) } ?? false
    }

    /// Would be taken if it came now: live, or spent and in its grace.
    func isUsable(_ refresh: String, at uptime: Int64) -> Bool {
        if isLive(refresh) { return true }
        guard kind == .rotatesWithGrace, let family = familyOf[refresh], let at = families[family].spent[refresh] else {
            return false
        }
        return uptime - at <= Self.graceSeconds * 1000
    }

    /// The token endpoint: nil is `invalid_grant`.
    func refresh(_ token: String, at uptime: Int64) -> (access: String, refresh: String?)? {
        guard let index = familyOf[token], !families[index].isDead else { return nil }
        if !families[index].live.contains(token) {
            let isInGrace =
                kind == .rotatesWithGrace && uptime - (families[index].spent[token] ?? .min) <= Self.graceSeconds * 1000
            if !isInGrace {
                if kind == .rotatesAndKillsFamily {
                    families[index].isDead = true
                    families[index].access = []
                }
                return nil
            }
        }
        issued += 1
        let access = "a-\(kind)-\(issued)"
        if kind == .rotatesAndKillsAccess { families[index].access = [] }
        families[index].access.insert(access)
        guard kind != .unchanging else { return (access, nil) }
        let next = "r-\(kind)-\(issued)"
        if families[index].live.remove(token) != nil { families[index].spent[token] = uptime }
        families[index].live.insert(next)
        familyOf[next] = index
        return (access, next)
    }

    // MARK: On the wire

    static func reply(_ pair: (access: String, refresh: String?)?) -> ProviderReply {
        guard let pair else { return ProviderReply(status: 400, body: Array("error invalid_grant".utf8)) }
        return ProviderReply(status: 200, body: Array("ok \(pair.access) \(pair.refresh ?? "-")".utf8))
    }

    func endpoint(limits: ProviderGate.Limits = .init()) -> TokenEndpoint {
        let life = life
        var endpoint = TokenEndpoint(
            policy: policy,
            call: { (token, _) throws(TokenEndpoint.Unusable) in
                ProviderCall(method: "POST", url: "https://provider.invalid/token", body: token)
            },
            judge: { reply, scopes, receivedAt in
                let words = String(decoding: reply.body, as: UTF8.self).split(separator: " ").map(String.init)
                switch (words.first, words.count) {
                case ("ok", 3), ("ok", 4):
                    let life = words.count == 4 ? Int64(words[3]) ?? life : life
                    guard let access = try? SecretText(words[1]) else { return .unknown("memory") }
                    return .tokens(
                        CredentialTokens(
                            accessToken: access, refreshToken: words[2] == "-" ? nil : try? SecretText(words[2]),
                            tokenType: "Bearer", expiresAt: receivedAt.adding(seconds: life), refreshExpiresAt: nil,
                            scopes: scopes, metadata: [:]))
                case ("error", 2):
                    switch words[1] {
                    case "invalid_grant": return .refused(code: words[1], class: .reauthorize)
                    case "invalid_client": return .refused(code: words[1], class: .config)
                    default: return .refused(code: words[1], class: .transient)
                    }
                default:
                    return reply.status >= 500 || reply.status < 300
                        ? .unknown("http") : .refused(code: "http", class: .transient)
                }
            },
            covers: { _, _ in true })
        endpoint.limits = limits
        return endpoint
    }
}
