import Broker
import Encoding
import Envelope
import FastCGI
import OAuth
import Vault

/// The one table from a refusal to the wire: status, stable code, words, further members (api.md "Vending", RFC 9457).
struct Problem {
    let status: Int
    let code: String
    let title: String
    var detail: String
    var headers: [(String, String)] = []
    var members: (inout JSONWriter) -> Void = { _ in }
    private(set) var stranger: Stranger?

    init(
        _ status: Int, _ code: String, _ title: String, _ detail: String, headers: [(String, String)] = [],
        members: @escaping (inout JSONWriter) -> Void = { _ in }
    ) {
        (self.status, self.code, self.title, self.detail) = (status, code, title, detail)
        (self.headers, self.members) = (headers, members)
    }

    var reply: Reply {
        var writer = JSONWriter()
        writer.object {
            $0.member("type", "urn:toolshed:problem:\(code)")
            $0.member("error", code)
            $0.member("title", title)
            $0.member("status", Int64(status))
            $0.member("detail", detail)
            members(&$0)
        }
        return Reply(
            status: status,
            headers: [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")] + headers,
            body: writer.bytes, stranger: stranger)
    }

    /// Whatever went wrong inside is `unavailable`: nothing was lost, and what it was stands in our log only.
    init(_ error: any Error) {
        switch error {
        case let refusal as Refusal: self.init(refusal)
        case let route as RouteRefusal: self.init(route)
        case EnvelopeError.exhausted: self = .retry("unavailable", after: 1)
        default: self = .retry("unavailable", after: 2)
        }
    }

    static func retry(_ code: String, after seconds: Int64) -> Problem {
        Problem(
            503, code, "Try again", "Nothing was lost. Try again in \(seconds) seconds.",
            headers: [("Retry-After", String(seconds))])
    }

    init(_ refusal: Refusal) {
        self.init(saying: refusal)
        stranger = refusal.stranger
    }

    private init(saying refusal: Refusal) {
        switch refusal {
        case .invalidRequest(let errors):
            self.init(
                400, "invalid-request", "The request is malformed",
                errors.map { "\($0.member): expected \($0.expected)" }.joined(separator: "; ")
            ) { writer in
                writer.array("errors", errors) {
                    $0.member("member", $1.member)
                    $0.member("expected", $1.expected)
                }
            }
        case .invalidToken:
            self.init(
                401, "invalid-token", "Not authenticated", "The credential is missing, wrong, expired or revoked.",
                headers: [("WWW-Authenticate", "Bearer")])
        case .notSignedIn:
            self.init(
                401, "invalid-token", "Not signed in", "Sign in, then open the link again.",
                headers: [("WWW-Authenticate", "Bearer")]
            ) { $0.member("signInUrl", "/sign-in") }
        case .authorizationRequired(let need): self.init(need)
        case .scopeDeclined(let scopes, let until):
            self.init(
                403, "scope-declined", "The person said no",
                "The person declined this. Do not ask again before the time in `until`."
            ) {
                $0.member("declinedScopes", scopes.names)
                $0.member("until", until.rfc3339)
            }
        case .ownerMismatch:
            self.init(403, "owner-mismatch", "Another person's", "This is for another account.")
        case .notPermitted(let reason):
            self.init(403, "not-permitted", "Not permitted", "Refused: \(reason.rawValue).")
        case .crossSite:
            self.init(
                403, "cross-site", "Not from our pages", "A cookie counts only on requests from this site's pages.")
        case .unknownProvider:
            self.init(404, "unknown-provider", "Unknown provider", "No such provider is in the catalogue.")
        case .notFound: self.init(404, "not-found", "Not found", "There is nothing here for this caller.")
        case .requestExpired:
            self.init(
                410, "request-expired", "The link has expired", "Nothing was changed. Ask the agent for a new link.")
        case .accountChoice(let accounts):
            self.init(
                409, "account-choice", "Several accounts match", "Name one of them in `account`."
            ) { writer in
                writer.array("accounts", accounts) {
                    $0.member("id", $1.connection.text)
                    $0.member("account", $1.account)
                }
            }
        case .providerNotConfigured(let name):
            self.init(
                424, "provider-not-configured", "Provider not configured",
                "The operator has not set a client id and secret for \(name).")
        case .providerMisconfigured(let name):
            self.init(
                424, "provider-misconfigured", "Provider misconfigured",
                "\(name) refuses this service's own client. The operator must look at it; nothing was lost.")
        case .rateLimited(let seconds):
            self.init(
                429, "rate-limited", "Too many requests", "Too many are open. Try again later.",
                headers: [("Retry-After", String(seconds))])
        case .slowDown(let interval):
            self.init(
                429, "rate-limited", "Too fast", "Poll no faster than `interval` seconds.",
                headers: [("Retry-After", String(interval))]
            ) { $0.member("interval", interval) }
        case .providerUnavailable(let seconds): self = .retry("provider-unavailable", after: seconds)
        case .refreshInProgress: self = .retry("refresh-in-progress", after: 1)
        case .auditUnavailable: self = .retry("audit-unavailable", after: 5)
        case .unavailable: self = .retry("unavailable", after: 2)
        case .changed:
            self.init(
                409, "changed", "Something changed", "What was shown is no longer so. Nothing was changed; look again.")
        case .freshSignInRequired(let proofs):
            self.init(
                403, "fresh-sign-in-required", "Sign in again",
                "Your sign-in is more than ten minutes old. \(proofs.sentence)"
            ) {
                $0.member("proofs", proofs.ways.map(\.rawValue))
                $0.array("providers", proofs.providers) { $0.signInProvider($1) }
            }
        case .invalidPasskey:
            self.init(
                400, "invalid-passkey", "This passkey does not work here",
                "It is not registered, took too long, or was meant for another page. Nothing was changed; try again.")
        case .invalidInvitation:
            self.init(
                400, "invalid-invitation", "This code does not work", "It was used, has expired or was mistyped.")
        case .alreadyLinked:
            self.init(
                409, "already-linked", "They are one already", "Both open the same vault. There is nothing to link.")
        case .lastHolder(let connections, let confirm):
            self.init(
                409, "last-holder", "Nobody else opens this vault",
                "With it goes the last key to the vault: nobody can open its connections any more."
            ) {
                $0.member("connections", connections)
                $0.member("confirm", confirm)
            }
        case .nameTaken:
            self.init(409, "name-taken", "The name is taken", "Choose a name that no other plugin has.")
        case .tooMany(let most):
            self.init(
                409, "too-many", "There are too many",
                "You have \(most), which is the most. Revoke one that nobody uses.")
        case .unknownClient:
            self.init(
                400, "unknown-client", "Unknown application",
                "The application must register again: remove the connection in it and add it again.")
        case .redirectMismatch:
            self.init(
                400, "redirect-mismatch", "The way back is not the application's",
                "The application must register again: remove the connection in it and add it again.")
        }
    }

    private init(_ need: AuthorizationRequired) {
        self.init(
            403, "authorization-required", "A person must act",
            "Show the person the link. The same request answers with a token once they have approved."
        ) {
            $0.member("reason", need.reason.rawValue)
            $0.member("authorizationUrl", need.url)
            $0.member("requestId", need.requestID.text)
            $0.member("statusUrl", need.statusURL)
            $0.member("expiresIn", need.expiresIn)
            $0.member("interval", need.interval)
            $0.member("matchCode", need.matchCode)
            $0.member("missingScopes", need.missing.names)
            $0.member("grantedScopes", need.granted.names)
        }
    }

    private init(_ refusal: RouteRefusal) {
        switch refusal {
        case .methodNotAllowed(let allowed):
            self.init(
                405, "method-not-allowed", "Method not allowed", "Allowed here: \(allowed).",
                headers: [("Allow", allowed)])
        case .tooLarge: self.init(413, "too-large", "Too large", "The body may be at most 64 KiB.")
        case .noSuchPath: self.init(Refusal.notFound)
        case .unsupportedMediaType:
            self.init(415, "unsupported-media-type", "Unsupported media type", "Send application/json.")
        }
    }
}

/// Refusals that only a route can know.
enum RouteRefusal: Error {
    /// None of ours, whoever asks.
    case noSuchPath
    case methodNotAllowed(String)
    case tooLarge
    case unsupportedMediaType
}

extension Proofs {
    fileprivate var sentence: String {
        switch ways {
        case [.first]: "Add a passkey, or make a recovery code and enter it, to show that it is still you."
        case []: "Nothing of yours is left here that shows that it is still you: sign in again as you did before."
        default: "Confirm that it is still you."
        }
    }
}
