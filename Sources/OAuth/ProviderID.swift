/// Names one bridge of one owner: `github` is the service's own, `acme/github` an organization's.
public struct ProviderID: Hashable, Sendable {
    /// Who owns the OAuth client registration.
    public let owner: String
    public let bridge: String

    /// The owner of the built-in bridges; it is left out in every written form.
    public static let builtInOwner = "toolshed"

    public init(owner: String = ProviderID.builtInOwner, bridge: String) throws(ProviderIDError) {
        guard Self.isName(owner) else { throw .notAName(owner) }
        guard Self.isName(bridge) else { throw .notAName(bridge) }
        self.owner = owner
        self.bridge = bridge
    }

    /// `bridge` or `owner/bridge`, as in JSON.
    public init(parsing text: String) throws(ProviderIDError) {
        try self.init(parsing: text, separator: "/")
    }

    /// `bridge` or `owner~bridge`, as in a path segment.
    public init(path text: String) throws(ProviderIDError) {
        try self.init(parsing: text, separator: "~")
    }

    private init(parsing text: String, separator: Unicode.Scalar) throws(ProviderIDError) {
        if Self.isName(text) {
            try self.init(bridge: text)
            return
        }
        let parts = text.utf8.split(separator: UInt8(ascii: separator), omittingEmptySubsequences: false)
            .map { String(Substring($0)) }
        switch parts.count {
        case 1: try self.init(bridge: parts[0])
        case 2: try self.init(owner: parts[0], bridge: parts[1])
        default: throw .notAName(text)
        }
    }

    public var json: String { isBuiltIn ? bridge : "\(owner)/\(bridge)" }
    public var path: String { isBuiltIn ? bridge : "\(owner)~\(bridge)" }

    private var isBuiltIn: Bool { owner == Self.builtInOwner }

    /// `[a-z0-9][a-z0-9-]{0,62}`
    public static func isName(_ text: String) -> Bool {
        let bytes = text.utf8
        guard let first = bytes.first, bytes.count <= 63, first != UInt8(ascii: "-") else { return false }
        return bytes.allSatisfy {
            ($0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z")) || ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9"))
                || $0 == UInt8(ascii: "-")
        }
    }
}

extension ProviderID: CustomStringConvertible, Comparable {
    public var description: String { json }

    public static func < (left: ProviderID, right: ProviderID) -> Bool {
        (left.owner == builtInOwner ? "" : left.owner, left.bridge)
            < (right.owner == builtInOwner ? "" : right.owner, right.bridge)
    }
}

public enum ProviderIDError: Error, Hashable, Sendable {
    case notAName(String)
}
