import Broker
import Encoding
import FastCGI
import Logging
import OAuth

/// A refusal on its way through `auth_request`, which understands 401 and 403 and drops the body: status and document
/// travel in one header field, and an internal location asks us to say them again.
extension Gateway {
    static let packedField: StaticString = "Toolshed-Problem"
    /// nginx reads a response's header into one buffer.
    static let packedLimit = 4096

    static func packed(_ error: any Error, _ log: Logger) -> Reply {
        let problem = problem(error, log)
        let reply = packed(problem)
        // Only lists can be that long: the document then stands without them, and the link tells the rest.
        guard reply.body.count > packedLimit, let refusal = error as? Refusal else { return reply }
        return packed(Problem(refusal.withoutLists))
    }

    static func packed(_ problem: Problem) -> Reply {
        Reply(
            status: problem.status == 401 ? 401 : 403, headers: [("Cache-Control", "no-store")],
            body: Array(pack(problem).utf8), field: packedField, stranger: problem.stranger)
    }

    /// `STATUS RETRY-AFTER ALLOW`, a line's end, the document; base64url.
    static func pack(_ problem: Problem) -> String {
        let reply = problem.reply
        let fields = ["Retry-After", "Allow"].map { name in
            problem.headers.first { $0.0 == name }?.1.filter { $0 != " " } ?? "-"
        }
        let head = "\(problem.status) \(fields.joined(separator: " "))\n"
        return Base64URL.encode(Array(head.utf8) + reply.body)
    }

    static func unpacked(_ exchange: Exchange) -> Reply {
        guard let text = exchange.parameter("TOOLSHED_PROBLEM"), let reply = unpack(text) else {
            // nginx itself refused, before we were asked.
            return Problem(Refusal.notPermitted(.otherCaller)).reply
        }
        return reply
    }

    static func unpack(_ text: String) -> Reply? {
        guard let bytes = Base64URL.decode(text), let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let words = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ").map(String.init)
        guard words.count == 3, let status = Int(words[0]), (400...599).contains(status) else { return nil }
        var headers = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
        if status == 401 { headers.append(("WWW-Authenticate", "Bearer")) }
        if words[1] != "-" { headers.append(("Retry-After", words[1])) }
        if words[2] != "-" { headers.append(("Allow", words[2].replacing(",", with: ", "))) }
        return Reply(status: status, headers: headers, body: Array(bytes[(end + 1)...]))
    }
}
