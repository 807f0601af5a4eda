import Glibc
import Testing

@testable import Encoding

/// What the encodings of one vend cost. A measurement, not a test; run it with
/// `TOOLSHED_MEASURE=1 swift test -c release -Xswiftc -enable-testing --filter Speed`.
@Suite(.enabled(if: getenv("TOOLSHED_MEASURE") != nil), .serialized) struct EncodingSpeedTests {
    @Test("One vend's request and answer")
    func vend() {
        let request = Array(
            #"{"userId":"u_AAECAwQFBgcICQoLDA0ODw","provider":"github","scopes":["repo","gist"],"minTTL":60,"reason":"list open issues"}"#
                .utf8)
        measure("read a vend request") {
            var (texts, scopes, lifetime) = ([String](), [String](), Int64(0))
            try! JSONReader.object(request) { (name, value) throws(JSONError) in
                switch name {
                case "scopes": scopes = try value.stringArray()
                case "minTTL": lifetime = try value.integer()
                default: texts.append(try value.string())
                }
            }
            precondition(texts.count == 3 && scopes.count == 2 && lifetime == 60)
        }
        let token = [UInt8](repeating: 0x61, count: 40)
        measure("write a vend answer") {
            var writer = JSONWriter(capacity: 512)
            writer.beginObject()
            writer.key("accessToken")
            token.withUnsafeBytes { writer.string(utf8: $0) }
            writer.key("tokenType")
            writer.string("Bearer")
            writer.key("scopes")
            writer.strings(["gist", "repo"])
            writer.key("expiresIn")
            writer.integer(3599)
            writer.key("validUntil")
            writer.string(Instant(milliseconds: 1_795_359_081_000).rfc3339)
            writer.key("connection")
            writer.beginObject()
            writer.key("id")
            writer.string(ConnectionID(high: 1, low: 2).text)
            writer.key("account")
            writer.string("octocat")
            writer.endObject()
            writer.key("refreshed")
            writer.bool(false)
            writer.endObject()
            precondition(writer.bytes.count > 200)
        }
        let id = PersonID(high: 1, low: 2).text
        measure("parse an identifier") { precondition(PersonID(parsing: id) != nil) }
        measure("write an identifier") { precondition(PersonID(high: 1, low: 2).text.utf8.count == 24) }
        measure("write a time") { precondition(Instant(milliseconds: 1_795_359_081_000).rfc3339.utf8.count == 20) }
    }

    /// The best of many short runs, so that what else this machine does shows least.
    private func measure(_ name: String, _ body: () -> Void) {
        var best = Double.infinity
        for _ in 0..<200 {
            let start = nanoseconds()
            for _ in 0..<200 { body() }
            best = min(best, Double(nanoseconds() - start) / 200 / 1000)
        }
        print("\(name): \((best * 100).rounded() / 100) µs")
    }

    private func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
