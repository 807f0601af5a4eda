import OAuth
import Secrets

/// How a provider takes API keys, for entries of `kind: api_key`: a person makes a key there and types it here.
public struct KeyRules: Hashable, Sendable {
    /// The header that its API reads the key from, and what stands before the key there.
    public let header: String
    public let prefix: String
    /// What a vend answers as `tokenType`.
    public let tokenType: String
    /// What the provider calls such a key.
    public let name: String
    /// Where a person makes and ends one.
    public let page: String?
    /// How its keys begin; empty: it does not say.
    public let begins: [String]

    init(reading fields: inout Fields) throws(CatalogueError) {
        header = try fields.text("header") ?? "Authorization"
        let isAuthorization = header.lowercased() == "authorization"
        prefix = try fields.text("prefix") ?? (isAuthorization ? "Bearer " : "")
        tokenType = try fields.text("token_type") ?? (isAuthorization && prefix == "Bearer " ? "Bearer" : "ApiKey")
        name = try fields.text("name") ?? "API key"
        page = try fields.text("page")
        begins = try fields.texts("begins") ?? []
        try fields.finish()
        guard Self.isToken(header) else {
            throw fields.wrong("header", expected: "the name of a header (RFC 9110)", found: "'\(header.prefix(40))'")
        }
        guard prefix.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }), prefix.utf8.count <= 64 else {
            throw fields.wrong("prefix", expected: "at most 64 bytes of printable ASCII", found: "another")
        }
        guard Self.isToken(tokenType) else {
            throw fields.wrong("token_type", expected: "a word like Bearer", found: "'\(tokenType.prefix(40))'")
        }
        guard Provider.isName(name) else {
            throw fields.wrong("name", expected: Provider.expectedName, found: "another")
        }
        if let page, !page.hasPrefix("https://") {
            throw fields.wrong("page", expected: "an https URL", found: "'\(page.prefix(100))'")
        }
    }

    /// RFC 9110 §5.6.2
    private static func isToken(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || Array("!#$%&'*+-.^_`|~".utf8).contains(byte)
            }
    }
}

/// What the provider said about a key.
public enum KeyVerdict: Sendable {
    /// Good; and whose it is, where the answer tells.
    case accepted(AccountIdentity?)
    case refused
    /// Neither: the provider is not reachable, or answers as it should not.
    case unknown
}

extension Provider {
    /// The header that carries a token of this provider to its API.
    public func authorization(_ token: SecretText) throws(ProviderError) -> ProviderCall.Header {
        guard let keyRules else {
            return .init("Authorization", try Self.inSecureMemory { try bearerAuthorization(token) })
        }
        let value = try Self.inSecureMemory {
            let before = Array(keyRules.prefix.utf8)
            return SecretText(
                try SecretBytes(count: before.count + token.count) { out in
                    before.withUnsafeBytes { out.copyMemory(from: $0) }
                    token.withUnsafeBytes {
                        UnsafeMutableRawBufferPointer(rebasing: out[before.count...]).copyMemory(from: $0)
                    }
                })
        }
        return .init(keyRules.header, value)
    }

    /// Judges the answer to the first identity call, which for a key is its check.
    public func judgeKey(_ reply: ProviderReply, tokens: CredentialTokens) -> KeyVerdict {
        switch reply.status {
        case 200:
            guard let source = identity.first, source.ok != nil || source.failIf != nil else {
                return .accepted(parseIdentity(0, reply: reply, tokens: tokens))
            }
            guard let document = JSONValue(parsing: reply.body) else { return .unknown }
            let isRefused =
                source.ok.map { document.value(at: $0) != .bool(true) } ?? false
                || source.failIf.map { document.value(at: $0) != nil } ?? false
            return isRefused ? .refused : .accepted(parseIdentity(0, reply: reply, tokens: tokens))
        case 401, 403: return .refused
        default: return .unknown
        }
    }
}
