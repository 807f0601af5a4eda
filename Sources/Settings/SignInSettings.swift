import Encoding
import Providers

/// `sign_in` of `toolshed.yaml`: ways to sign in that do not come with the product itself.
public struct SignInSettings: Hashable, Sendable {
    /// `nil`: off.
    public private(set) var header: HeaderSignIn?
    /// A session ends after so long without use, and after so long in any case.
    public private(set) var idleDays = 7
    public private(set) var days = 30

    init() {}

    init(reading fields: Fields) throws(CatalogueError) {
        var fields = fields
        if let header = try fields.fields("header") { self.header = try HeaderSignIn(reading: header) }
        idleDays = Int(try fields.integer("idle_days", in: 1...365) ?? Int64(idleDays))
        days = Int(try fields.integer("days", in: 1...365) ?? Int64(days))
        try fields.finish()
    }
}

/// A user whom nginx vouches for. nginx proves that it is nginx with a secret of which this is the digest, so that this
/// service holds nothing that would let anybody else say so.
public struct HeaderSignIn: Hashable, Sendable {
    /// SHA-256.
    public let secretHash: [UInt8]
    public let newPeople: NewPeople

    init(reading fields: Fields) throws(CatalogueError) {
        var fields = fields
        let expected = "SHA-256 of the secret that nginx sends, as 64 hexadecimal digits"
        let text = try fields.text("secret_sha256", expected: expected)
        guard let hash = Hex.decode(text.lowercased()), hash.count == 32 else {
            throw fields.wrong("secret_sha256", expected: expected, found: "something else")
        }
        secretHash = hash
        newPeople = try NewPeople(reading: &fields)
        try fields.finish()
    }
}
