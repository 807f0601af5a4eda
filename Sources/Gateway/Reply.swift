import Encoding
import FastCGI
import OAuth
import Secrets

/// An answer before it is on the wire.
public struct Reply: Sendable {
    var status: Int
    var headers: [(String, String)]
    var body: [UInt8]
    /// Holds a secret: overwritten after it was sent.
    var isSecret = false
    /// `body` is the value of this field, and there is no body: what nginx takes and does not pass on.
    var field: StaticString?
    /// Status and headers as they go out, where they are always the same.
    var head: StaticString?
    /// It is none to who asked.
    var stranger: Stranger?

    /// 200, and the headers of `json`.
    private static let jsonHead: StaticString =
        "Status: 200\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\r\n"

    /// An answer that is given often, with a secret in it.
    static func secretJSON(_ write: (inout JSONWriter) -> Void) -> Reply {
        var writer = JSONWriter(capacity: 1024)
        write(&writer)
        return Reply(status: 200, headers: [], body: writer.bytes, isSecret: true, head: jsonHead)
    }

    static func json(_ status: Int = 200, secret: Bool = false, _ write: (inout JSONWriter) throws -> Void) rethrows
        -> Reply
    {
        var writer = JSONWriter()
        try write(&writer)
        return Reply(
            status: status, headers: [("Content-Type", "application/json"), ("Cache-Control", "no-store")],
            body: writer.bytes, isSecret: secret)
    }

    static let noContent = Reply(status: 204, headers: [("Cache-Control", "no-store")], body: [])

    /// 303 (RFC 9110 §15.4.4): whatever the method was, the next one is a GET.
    static func seeOther(_ location: String, headers: [(String, String)] = []) -> Reply {
        Reply(
            status: 303,
            headers: [("Location", location), ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]
                + headers,
            body: [])
    }

    consuming func send(on exchange: Exchange) {
        if let field {
            body.withUnsafeBytes { exchange.respond(status: status, headers: headers, field: field, secret: $0) }
        } else if let head {
            exchange.respond(head, body: body)
        } else {
            exchange.respond(status: status, headers: headers, body: body)
        }
        if isSecret { wipe(&body) }
    }
}

extension JSONWriter {
    mutating func member(_ name: StaticString, _ scopes: ScopeSet) {
        key(name)
        beginArray()
        var text = scopes.text
        text.withUTF8 { text in
            var start = 0
            while start < text.count {
                let end = text[start...].firstIndex(of: 0x20) ?? text.count
                string(utf8: UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: text[start..<end])))
                start = end + 1
            }
        }
        endArray()
    }
}
