import CCurl
import Glibc

/// What a process does once before its first transfer.
enum CurlLibrary {
    /// False when curl could not be initialised; every call is then `notSent`.
    static let isReady: Bool = {
        // CURLOPT_NOSIGNAL leaves SIGPIPE to the process: a write to a closed connection must be an error, not the end.
        var current = sigaction()
        sigaction(SIGPIPE, nil, &current)
        if current.__sigaction_handler.sa_handler == nil { signal(SIGPIPE, SIG_IGN) }
        return curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK
    }()

    /// The system's bundle. Named rather than left to curl's defaults, which add a folder beside it: with a folder, curl
    /// parses all certificates anew for every connection (milliseconds each) instead of keeping them for a day.
    static let systemBundle: String? = {
        guard let info = curl_version_info(CURLVERSION_SEVENTH)?.pointee, let path = info.cainfo else { return nil }
        return String(cString: path)
    }()
}
