import CCurl
import Dispatch

/// What came back.
package struct Answer: Sendable {
    /// 0: nothing did.
    package let status: Int
    package let document: Document
    package let retryAfter: Int?
}

/// One request at a time over libcurl, which the system keeps up to date and which takes an authority of one's own.
/// Redirects are not followed: the key goes to the server that was named and nowhere else.
package struct Transport: Sendable {
    package let origin: String
    private let key: String?
    private let caFile: String?
    private let timeoutSeconds: Int

    private static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    package init(url: String, key: String?, caFile: String?, timeoutSeconds: Int) throws(ToolshedError) {
        guard let origin = Self.origin(of: url) else {
            throw ToolshedError("not-configured", "TOOLSHED_URL: expected https://HOST")
        }
        (self.origin, self.key, self.caFile, self.timeoutSeconds) = (origin, key, caFile, timeoutSeconds)
    }

    /// Scheme and authority; http on loopback only.
    package static func origin(of url: String) -> String? {
        let parts = url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count >= 3, parts[1].isEmpty, !parts[2].isEmpty, !parts[2].contains("@"),
            parts[2].utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") })
        else { return nil }
        let host = parts[2].hasPrefix("[") ? parts[2].prefix { $0 != "]" } + "]" : parts[2].prefix { $0 != ":" }
        let isLoopback = ["localhost", "127.0.0.1", "[::1]"].contains(host)
        guard parts[0] == "https:" || parts[0] == "http:" && isLoopback else { return nil }
        return "\(parts[0])//\(parts[2])"
    }

    /// - Parameter target: a path, or a whole address of the same server.
    package func call(
        _ method: String, _ target: String, body: [UInt8]? = nil, type: String = "application/json",
        key other: String? = nil
    ) async throws -> Answer {
        let url = target.hasPrefix("/") ? origin + target : target
        guard url.hasPrefix(origin + "/") else {
            throw ToolshedError("unexpected-address", "the server named another server")
        }
        return try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try perform(method, url, body, type, key: other ?? key) })
            }
        }
    }

    /// On this thread.
    package func perform(_ method: String, _ url: String, _ body: [UInt8]?, _ type: String) throws -> Answer {
        try perform(method, url, body, type, key: key)
    }

    private func perform(
        _ method: String, _ url: String, _ body: [UInt8]?, _ type: String, key: String?
    ) throws -> Answer {
        guard Self.isReady, let handle = curl_easy_init() else {
            throw ToolshedError("unreachable", "curl cannot start")
        }
        defer { curl_easy_cleanup(handle) }
        var lines: UnsafeMutablePointer<curl_slist>?
        defer { curl_slist_free_all(lines) }
        var headers = ["Accept: application/json, application/problem+json", "User-Agent: toolshed-client"]
        if let key {
            guard key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw ToolshedError("not-configured", "the key holds a character that no key has")
            }
            headers.append("Authorization: Bearer \(key)")
        }
        if body != nil { headers.append("Content-Type: \(type)") }
        for header in headers { lines = curl_slist_append(lines, header) }
        let received = Received()
        let context = Unmanaged.passUnretained(received).toOpaque()
        _ = ccurl_set_string(handle, CURLOPT_URL, url)
        _ = ccurl_set_string(handle, CURLOPT_CUSTOMREQUEST, method)
        _ = ccurl_set_long(handle, CURLOPT_FOLLOWLOCATION, 0)
        _ = ccurl_set_long(handle, CURLOPT_NOSIGNAL, 1)
        _ = ccurl_set_long(handle, CURLOPT_TIMEOUT_MS, timeoutSeconds * 1000)
        _ = ccurl_set_string(handle, CURLOPT_PROTOCOLS_STR, "http,https")
        if url.hasPrefix("http:") {
            // Loopback in the clear: a proxy of the environment would be handed the key.
            _ = ccurl_set_string(handle, CURLOPT_PROXY, "")
        }
        if let caFile { _ = ccurl_set_string(handle, CURLOPT_CAINFO, caFile) }
        _ = ccurl_set_headers(handle, lines)
        _ = ccurl_on_body(handle, takeBody, context)
        _ = ccurl_on_header(handle, takeHeader, context)
        let code = (body ?? []).withUnsafeBytes { bytes in
            if body != nil { _ = ccurl_set_body(handle, bytes.baseAddress, curl_off_t(bytes.count)) }
            return curl_easy_perform(handle)
        }
        return try withExtendedLifetime(received) {
            switch code {
            case CURLE_OK: break
            case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE:
                throw ToolshedError("untrusted-certificate", "set TOOLSHED_CA_FILE to the server's authority")
            default:
                var document = Document()
                document.texts = ["error": "unreachable", "detail": String(cString: curl_easy_strerror(code))]
                return Answer(status: 0, document: document, retryAfter: nil)
            }
            return Answer(
                status: Int(ccurl_get_long(handle, CURLINFO_RESPONSE_CODE)),
                document: Document(parsing: received.body) ?? Document(), retryAfter: received.retryAfter)
        }
    }
}

private final class Received {
    static let mostBytes = 1 << 20
    var body: [UInt8] = []
    var retryAfter: Int?
}

private func received(_ context: UnsafeMutableRawPointer?) -> Received {
    Unmanaged.fromOpaque(context!).takeUnretainedValue()
}

private let takeBody: ccurl_receive = { bytes, size, count, context in
    let whole = UnsafeRawBufferPointer(start: bytes, count: size * count)
    let received = received(context)
    guard received.body.count + whole.count <= Received.mostBytes else { return 0 }
    received.body.append(contentsOf: whole)
    return whole.count
}

private let takeHeader: ccurl_receive = { bytes, size, count, context in
    let whole = UnsafeRawBufferPointer(start: bytes, count: size * count)
    let line = String(decoding: whole, as: UTF8.self)
    if line.lowercased().hasPrefix("retry-after:") {
        received(context).retryAfter = Int(line.dropFirst(12).filter { $0.isASCII && $0.isNumber })
    }
    return whole.count
}
