import CCurl
import Glibc
import OAuth
import Secrets

/// One call on its way: curl's handle, the bytes it reads from, and what has come back so far. Owned by one thread.
final class Transfer {
    typealias Outcome = Result<ProviderReply, TransportFailure>

    let handle: UnsafeMutableRawPointer
    private let rule: AddressRule
    private let mostBytes: Int
    private let passesRedirects: Bool
    private var lines: HeaderLines
    private var outgoing: WipedBytes
    private var incoming: WipedBytes

    private var headers: [String: String] = [:]
    private var headerBytes = 0
    /// The connection stood and the request was about to go out: from here on the provider may have acted.
    private var begun = false
    /// Why our own callbacks broke the transfer off.
    private var stopped: TransportFailure?

    /// Prepares the transfer without sending anything.
    ///
    /// - Parameter endsItself: by curl's own clock; else whoever holds it ends it.
    init(
        _ call: ProviderCall, caFile: String?, deadlineMilliseconds: Int?, endsItself: Bool
    ) throws(TransportFailure) {
        let destination = try Destination(call)
        guard CurlLibrary.isReady, let handle = curl_easy_init() else { throw .notSent("curl cannot start") }
        self.handle = handle
        rule = destination.rule
        mostBytes = call.limits.replyBytes
        passesRedirects = call.limits.passesRedirects
        lines = HeaderLines()
        outgoing = WipedBytes(capacity: call.body?.count ?? call.content?.count ?? 0)
        incoming = WipedBytes(capacity: 4096)
        let total = min(deadlineMilliseconds ?? call.limits.totalMilliseconds, call.limits.totalMilliseconds)
        guard total > 0 else { throw .notSent("deadline") }
        guard setLines(call) else { throw .notSent("a header with control characters") }
        guard setDestination(call, destination, caFile: caFile), setLimits(call, total: total, endsItself),
            setRequest(call),
            setCallbacks()
        else { throw .notSent("curl refuses an option") }
    }

    deinit {
        // The handle first: it may still look at the lines and the body.
        curl_easy_cleanup(handle)
    }

    // MARK: Options

    private func set(_ option: CURLoption, _ value: Int) -> Bool {
        ccurl_set_long(handle, option, value) == CURLE_OK
    }

    private func set(_ option: CURLoption, _ value: String?) -> Bool {
        guard let value else { return ccurl_set_string(handle, option, nil) == CURLE_OK }
        return ccurl_set_string(handle, option, value) == CURLE_OK
    }

    private func setDestination(_ call: ProviderCall, _ destination: Destination, caFile: String?) -> Bool {
        let repeatable = call.method == "GET" || call.method == "HEAD"
        return set(CURLOPT_URL, call.url)
            && set(CURLOPT_PROTOCOLS_STR, destination.scheme)
            && set(CURLOPT_FOLLOWLOCATION, 0)
            // An empty proxy keeps curl from reading the environment's.
            && set(CURLOPT_PROXY, "") && set(CURLOPT_NOPROXY, "*")
            && set(CURLOPT_SSL_VERIFYPEER, 1) && set(CURLOPT_SSL_VERIFYHOST, 2)
            && set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
            && set(CURLOPT_CAINFO, caFile ?? CurlLibrary.systemBundle) && set(CURLOPT_CAPATH, nil)
            && set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
            // curl repeats a request by itself when a kept connection turns out to be dead before an answer came. The
            // provider may have consumed the code or refresh token by then, so only repeatable calls use kept ones.
            && set(CURLOPT_FRESH_CONNECT, repeatable ? 0 : 1)
    }

    private func setLimits(_ call: ProviderCall, total: Int, _ endsItself: Bool) -> Bool {
        set(CURLOPT_CONNECTTIMEOUT_MS, max(1, min(call.limits.connectMilliseconds, total)))
            && set(CURLOPT_TIMEOUT_MS, endsItself ? total : 0)
            && ccurl_set_offset(handle, CURLOPT_MAXFILESIZE_LARGE, curl_off_t(mostBytes)) == CURLE_OK
            // No SIGALRM for timeouts: the process has many threads.
            && set(CURLOPT_NOSIGNAL, 1)
            // Without it, giving up on a name waits for the resolver's thread, and the loop with it: 10 s measured with a
            // name server that does not answer.
            && set(CURLOPT_QUICK_EXIT, 1)
    }

    private func setRequest(_ call: ProviderCall) -> Bool {
        if let body = call.body {
            body.withUnsafeBytes { outgoing.append($0) }
        } else if let content = call.content {
            content.withUnsafeBytes { outgoing.append($0) }
        }
        let sendsBody = call.body != nil || call.content != nil || call.method == "POST"
        if sendsBody {
            guard ccurl_set_body(handle, outgoing.base, curl_off_t(outgoing.count)) == CURLE_OK else { return false }
        }
        switch call.method {
        case "POST": return set(CURLOPT_POST, 1)
        case "HEAD": return set(CURLOPT_NOBODY, 1)
        case "GET" where !sendsBody: return set(CURLOPT_HTTPGET, 1)
        default: return set(CURLOPT_CUSTOMREQUEST, call.method)
        }
    }

    private func setLines(_ call: ProviderCall) -> Bool {
        for header in call.headers {
            let appended =
                switch header.value {
                case .secret(let secret): secret.withUnsafeBytes { lines.append(name: header.name, value: $0) }
                case .text(let text): append(header.name, text)
                }
            guard appended else { return false }
        }
        if !call.headers.contains(where: { $0.name.lowercased() == "user-agent" }) {
            guard append("User-Agent", ProviderCall.userAgent) else { return false }
        }
        return ccurl_set_headers(handle, lines.list) == CURLE_OK
    }

    private func append(_ name: String, _ text: String) -> Bool {
        var text = text
        return text.withUTF8 { lines.append(name: name, value: UnsafeRawBufferPointer($0)) }
    }

    private func setCallbacks() -> Bool {
        let context = Unmanaged.passUnretained(self).toOpaque()
        return ccurl_on_body(handle, receiveBody, context) == CURLE_OK
            && ccurl_on_header(handle, receiveHeader, context) == CURLE_OK
            && ccurl_on_open_socket(handle, openSocket, context) == CURLE_OK
            && ccurl_on_request(handle, requestFollows, context) == CURLE_OK
    }

    // MARK: What curl reports

    fileprivate func takeBody(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard incoming.count + bytes.count <= mostBytes else {
            stopped = .tooLarge
            return false
        }
        incoming.append(bytes)
        return true
    }

    fileprivate func takeHeader(_ bytes: UnsafeRawBufferPointer) -> Bool {
        headerBytes += bytes.count
        guard headerBytes <= mostBytes else {
            stopped = .tooLarge
            return false
        }
        let line = String(decoding: bytes, as: UTF8.self)
        if line.hasPrefix("HTTP/") {
            // A status line: what came before belongs to an interim answer.
            headers.removeAll()
            if !passesRedirects, line.split(separator: " ").dropFirst().first?.first == "3" {
                stopped = .redirected
                return false
            }
        } else if let colon = line.firstIndex(of: ":") {
            let name = line[..<colon].lowercased()
            let value = line[line.index(after: colon)...].trimmingBlanks()
            headers[name] = headers[name].map { "\($0), \(value)" } ?? value
        }
        return true
    }

    fileprivate func permits(_ address: PeerAddress?) -> Bool {
        guard let address, rule.allows(address) else {
            stopped = .notSent("the address is not permitted")
            return false
        }
        // An earlier address of the same name may have been refused.
        stopped = nil
        return true
    }

    fileprivate func begins(to peer: PeerAddress?) -> Bool {
        guard permits(peer) else { return false }
        begun = true
        return true
    }

    /// What became of the call, once curl is done with it.
    func outcome(_ code: CURLcode) -> Outcome {
        if let stopped { return .failure(stopped) }
        if code == CURLE_OK {
            let body = incoming.withBytes { Array($0) }
            return .success(
                ProviderReply(
                    status: Int(ccurl_get_long(handle, CURLINFO_RESPONSE_CODE)), headers: headers, body: body))
        }
        if code == CURLE_FILESIZE_EXCEEDED { return .failure(.tooLarge) }
        let reason = String(cString: curl_easy_strerror(code))
        return .failure(begun ? .lost(reason) : .notSent(reason))
    }

    /// What became of it when it is given up unfinished.
    func abandoned() -> Outcome {
        .failure(begun ? .lost("given up") : .notSent("given up"))
    }
}

extension Substring {
    /// RFC 9110 section 5.5: whitespace around a field value is not part of it.
    fileprivate func trimmingBlanks() -> String {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r\n" || $0 == "\n" || $0 == "\r" }
        var rest = drop(while: isBlank)
        while let last = rest.last, isBlank(last) { rest.removeLast() }
        return String(rest)
    }
}

private func transfer(_ context: UnsafeMutableRawPointer?) -> Transfer {
    Unmanaged.fromOpaque(context!).takeUnretainedValue()
}

private let receiveBody: ccurl_receive = { bytes, size, count, context in
    let whole = UnsafeRawBufferPointer(start: bytes, count: size * count)
    return transfer(context).takeBody(whole) ? whole.count : -1
}

private let receiveHeader: ccurl_receive = { bytes, size, count, context in
    let whole = UnsafeRawBufferPointer(start: bytes, count: size * count)
    return transfer(context).takeHeader(whole) ? whole.count : -1
}

/// Opens the socket ourselves also to set close-on-exec, which curl leaves out.
private let openSocket: curl_opensocket_callback = { context, _, address in
    guard let address else { return CURL_SOCKET_BAD }
    let length = Int(address.pointee.addrlen)
    let peer = withUnsafePointer(to: &address.pointee.addr) { PeerAddress($0, length: length) }
    guard transfer(context).permits(peer) else { return CURL_SOCKET_BAD }
    return socket(
        address.pointee.family, address.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue), address.pointee.protocol)
}

/// A kept connection was opened for an earlier call, whose rule may have been another: so the peer is checked again.
private let requestFollows: curl_prereq_callback = { context, peer, _, _, _ in
    let address = peer.flatMap { PeerAddress(parsing: String(cString: $0)) }
    return transfer(context).begins(to: address) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
}
