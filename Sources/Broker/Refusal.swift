import Encoding
import OAuth

/// Every way in which an answer is not what was asked for. Values only: words and status codes are in
/// Gateway/Problem.swift, one table.
public enum Refusal: Error, Sendable {
    case invalidRequest([MemberError])
    case invalidToken
    case authorizationRequired(AuthorizationRequired)
    case scopeDeclined(scopes: ScopeSet, until: Instant)
    case ownerMismatch
    case notPermitted(Reason)
    case crossSite
    case unknownProvider
    case notFound
    case requestExpired
    case accountChoice([AccountChoice])
    case providerNotConfigured(String)
    case providerMisconfigured(String)
    case rateLimited(retryAfter: Int64)
    case slowDown(interval: Int64)
    case providerUnavailable(retryAfter: Int64)
    case refreshInProgress
    case auditUnavailable
    case unavailable
    /// What the person was shown is no longer so.
    case changed
    case notSignedIn
    case freshSignInRequired(Proofs)
    case invalidInvitation
    case invalidPasskey
    case nameTaken
    /// The person has this many already, which is the most.
    case tooMany(Int)
    /// No client of ours, as far as anybody here can tell.
    case unknownClient
    /// The address to go back to is not one of the client's.
    case redirectMismatch
    /// Both browsers open the same vault already.
    case alreadyLinked
    /// Nobody else opens the vault: what would be lost, and what to say to do it all the same.
    case lastHolder(connections: Int64, confirm: String)

    public enum Reason: String, Sendable {
        case browserOnly = "a person's decision is taken in a browser"
        case agentClient = "tokens of this kind are valid at /mcp only"
        case unknownPerson = "this caller cannot ask that person"
        case signedIn = "sign out first: this browser has a session"
        case suspectPasskey =
            "this passkey's counter went back, so there may be a copy of it; sign in another way and remove it"
        case nobodyNamed = "the web server names no user of 1 to 80 characters"
        case nobodyHere = "nobody of this name is a person here; the operator says who may become one"
        case lockedVault = "this key no longer opens its vault; ask for a token and follow the link"
        case navigation = "a browser that was led here; this is for programs"
        case otherCaller = "this kind of credential cannot do that"
        case beyondLimits = "this is more than the limits of this plugin permit"
    }
}

/// Which member was wrong, and what was expected of it. Never what was sent.
public struct MemberError: Sendable, Equatable {
    public let member: String
    public let expected: String

    public init(_ member: String, _ expected: String) { (self.member, self.expected) = (member, expected) }

    /// A member that is none of ours, as far as its name can be repeated.
    public static func unknown(_ name: String) -> MemberError {
        let shown = name.isEmpty ? "an empty name" : name.count <= 64 ? name.withoutControls : "a long name"
        return MemberError(shown, "no member of this name")
    }

    /// More marks on one character than any writing has (`JSONError.tooManyMarks`).
    public static func marks(in name: String) -> MemberError { MemberError(name, "a text without marks upon marks") }
}

/// A person must act: why, and where.
public struct AuthorizationRequired: Sendable {
    public enum Reason: String, Sendable {
        case notConnected = "not-connected"
        case insufficientScope = "insufficient-scope"
        case reauthorizationRequired = "reauthorization-required"
        case vaultLocked = "vault-locked"
        case pluginNotApproved = "plugin-not-approved"
    }

    public let reason: Reason
    public let url: String
    public let requestID: RequestID
    public let statusURL: String
    public let expiresIn: Int64
    public let interval: Int64
    public let matchCode: String
    public let missing: ScopeSet
    public let granted: ScopeSet
}

public struct AccountChoice: Sendable {
    public let connection: ConnectionID
    public let account: String
}
