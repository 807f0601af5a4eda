import COpenSSL
import Encoding
import Synchronization

/// What was learnt about the server.
final class Server: Sendable {
    /// Until it says that it does not.
    let knowsPersonKeys = Atomic<Bool>(true)
}

/// Asks for one person: with a plugin's key by the key that it gives for this person, so that what is sent for one opens
/// nothing of another; by the key itself where the server does not know such keys, or nobody is named.
struct Caller: Sendable {
    private let transport: Transport
    private let server: Server
    private let userID: String
    private let own: String?

    init(transport: Transport, server: Server, key: String, userID: String?) {
        (self.transport, self.server, self.userID) = (transport, server, userID ?? "")
        own = userID.flatMap { PersonKey.derive(from: key, for: $0) }
    }

    func call(_ method: String, _ target: String, body: [UInt8]? = nil) async throws -> Answer {
        guard let own, server.knowsPersonKeys.load(ordering: .relaxed) else {
            return try await transport.call(method, target, body: body)
        }
        let answer = try await transport.call(method, target, body: body, key: own)
        guard answer.status == 401 else { return answer }
        // The first time for this person: the server is told of the key. Telling it twice does no harm.
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("userId")
        writer.string(userID)
        writer.endObject()
        let told = try await transport.call("POST", "/api/person-keys", body: writer.bytes)
        switch told.status {
        case 204: return try await transport.call(method, target, body: body, key: own)
        case 404, 405:
            server.knowsPersonKeys.store(false, ordering: .relaxed)
            return try await transport.call(method, target, body: body)
        default: return told
        }
    }
}

/// HKDF-SHA-256 (RFC 5869) of a plugin key's secret for one person (docs/KEYS.md).
enum PersonKey {
    private static let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    /// nil: it is no plugin's key.
    static func derive(from key: String, for userID: String) -> String? {
        let text = Array(key.utf8)
        guard text.count == 74, key.hasPrefix("tsp_"), !userID.isEmpty,
            let body = Base64URL.decode(String(decoding: text[4..<68], as: UTF8.self)), body.count == 48
        else { return nil }
        let info = field("toolshed/v1/person-key") + field(userID)
        let pseudorandom = hmac([UInt8](repeating: 0, count: 32), Array(body[16...]))
        let first = hmac(pseudorandom, info + [1])
        let second = hmac(pseudorandom, first + info + [2])
        let made = Array("tsu_".utf8) + Array(Base64URL.encode(first + second[..<16]).utf8)
        return String(decoding: made + checksum(made), as: UTF8.self)
    }

    private static func field(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { Array($0) } + bytes
    }

    private static func hmac(_ key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 32) { out, count in
            _ = HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, out.baseAddress, nil)
            count = 32
        }
    }

    /// CRC-32 as six base62 digits, most significant first.
    private static func checksum(_ text: [UInt8]) -> [UInt8] {
        var rest = text.withUnsafeBytes { CRC32.checksum($0) }
        var made: [UInt8] = []
        for _ in 0..<6 {
            made.insert(digits[Int(rest % 62)], at: 0)
            rest /= 62
        }
        return made
    }
}
