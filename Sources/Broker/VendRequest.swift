import Encoding
import Glibc
import OAuth

/// `POST /api/tokens/vend` (api.md "Vending"), no raw strings left but the caller's claims.
public struct VendRequest: Sendable {
    public let userID: String?
    public let provider: ProviderID
    public let scopes: ScopeSet
    /// Other sets of scopes that do as well; `scopes` is what a person is asked for.
    let alternatives: [ScopeSet]
    /// Asked for with the others where a person is asked at all; a token without them will do.
    public let optional: ScopeSet
    public let account: String?
    /// Seconds that must remain, 0…3600.
    public let minTTL: Int64
    public let reason: String
    public let tool: String
    /// Where the caller calls from, as far as nginx knows; for the person who is asked.
    public var address = ""

    public init(
        userID: String?, provider: ProviderID, scopes: ScopeSet, alternatives: [ScopeSet] = [],
        optional: ScopeSet = .empty, account: String? = nil, minTTL: Int64 = 60, reason: String = "", tool: String = ""
    ) {
        self.alternatives = alternatives
        (self.userID, self.provider, self.scopes, self.account) = (userID, provider, scopes, account)
        self.optional = optional.subtracting(scopes)
        (self.minTTL, self.reason, self.tool) = (minTTL, reason, tool)
    }

    private enum Member: Int {
        case userId, provider, scopes, account, minTTL, reason, tool, optionalScopes

        var bit: UInt8 { 1 << UInt8(rawValue) }

        var name: StaticString {
            switch self {
            case .userId: "userId"
            case .provider: "provider"
            case .scopes: "scopes"
            case .account: "account"
            case .minTTL: "minTTL"
            case .reason: "reason"
            case .tool: "tool"
            case .optionalScopes: "optionalScopes"
            }
        }

        /// The number of the member of this name; -1 where there is none.
        static func number(of name: UnsafeRawBufferPointer) -> Int {
            guard let start = name.baseAddress else { return -1 }
            for number in 0..<8 {
                guard let own = Member(rawValue: number)?.name, own.utf8CodeUnitCount == name.count else { continue }
                if memcmp(own.utf8Start, start, name.count) == 0 { return number }
            }
            return -1
        }

        var kind: JSONKind {
            switch self {
            case .scopes, .optionalScopes: .array
            case .minTTL: .number
            case .userId, .provider, .account, .reason, .tool: .string
            }
        }

        var expected: String {
            switch self {
            case .userId: "a user id"
            case .provider: "a provider as bridge or owner/bridge"
            case .scopes, .optionalScopes: "an array of at most 200 RFC 6749 scope tokens"
            case .account: "a connection id, label or account name of 1 to 256 characters"
            case .minTTL: "a whole number of seconds from 0 to 3600"
            case .reason: "a string of at most 256 characters"
            case .tool: "a string of at most 64 characters"
            }
        }
    }

    public init(parsing body: UnsafeRawBufferPointer) throws(Refusal) {
        // Members of ours that came, by bit; others are refused anyway.
        var seen: UInt8 = 0
        var wrong: [MemberError] = []
        var userID: String?
        var provider: ProviderID?
        var scopes = ScopeSet.empty
        var optional = ScopeSet.empty
        var account: String?
        var minTTL: Int64 = 60
        var reason = ""
        var tool = ""
        var reading: Member?
        do {
            var strange = ""
            func number(of name: UnsafeRawBufferPointer) -> Int {
                let number = Member.number(of: name)
                if number < 0 { strange = String(decoding: name, as: UTF8.self) }
                return number
            }
            try JSONReader.object(body, numbering: number(of:)) { (number, value) throws(JSONError) in
                guard let member = Member(rawValue: number) else {
                    wrong.append(.unknown(strange))
                    return
                }
                guard seen & member.bit == 0 else {
                    wrong.append(MemberError("\(member.name)", "at most one member of this name"))
                    return
                }
                seen |= member.bit
                reading = member
                guard try value.fits(member.kind) else {
                    wrong.append(MemberError("\(member.name)", member.expected))
                    return
                }
                var fits = true
                switch member {
                case .userId:
                    userID = try value.string()
                    fits = (1...64).contains(userID?.utf8.count ?? 0)
                case .provider:
                    provider = try? ProviderID(parsing: try value.string())
                    fits = provider != nil
                case .scopes, .optionalScopes:
                    var names: [String] = []
                    try value.array { (element) throws(JSONError) in
                        if try element.fits(.string) { names.append(try element.string()) } else { fits = false }
                    }
                    do {
                        let set = try ScopeSet(tokens: names)
                        if member == .scopes { scopes = set } else { optional = set }
                    } catch { fits = false }
                case .account:
                    account = try value.string()
                    // No name of ours has a control character.
                    fits = account.map { !$0.isEmpty && $0.isWithin(256) && $0 == $0.withoutControls } ?? false
                case .minTTL:
                    minTTL = (try? value.integer()) ?? -1
                    fits = (0...3600).contains(minTTL)
                case .reason:
                    reason = try value.string()
                    fits = reason.isWithin(256)
                case .tool:
                    tool = try value.string()
                    fits = tool.isWithin(64)
                }
                if !fits { wrong.append(MemberError("\(member.name)", member.expected)) }
            }
        } catch {
            if case .tooManyMarks = error, let reading { throw .invalidRequest([.marks(in: "\(reading.name)")]) }
            throw .invalidRequest([MemberError("body", "one JSON object (RFC 8259) in UTF-8")])
        }
        guard wrong.isEmpty else { throw .invalidRequest(wrong) }
        guard let provider else { throw .invalidRequest([MemberError("provider", Member.provider.expected)]) }
        self.init(
            userID: userID, provider: provider, scopes: scopes, optional: optional, account: account, minTTL: minTTL,
            reason: reason.withoutControls, tool: tool.withoutControls)
    }
}

extension JSONReader {
    /// Whether the next value is of this kind, without taking it: one that is left alone is checked and skipped.
    func fits(_ expected: JSONKind) throws(JSONError) -> Bool { try kind == expected }
}

extension String {
    /// At most so many characters as a person counts them. Marks upon marks make one of any length, so bytes count too.
    public func isWithin(_ characters: Int) -> Bool {
        utf8.count <= characters || (utf8.count <= characters * 8 && count <= characters)
    }
}
