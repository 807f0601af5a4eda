import CCurl
import OAuth

/// Where a call goes, after the rules for its URL: https, or http to this machine where the provider's entry permits
/// it; no user information; nothing that is not a URL.
struct Destination {
    let rule: AddressRule
    /// The schemes curl is left with; the one of the URL.
    let scheme: String

    init(_ call: ProviderCall) throws(TransportFailure) {
        guard let url = curl_url() else { throw .notSent("out of memory") }
        defer { curl_url_cleanup(url) }
        guard curl_url_set(url, CURLUPART_URL, call.url, UInt32(CURLU_DISALLOW_USER)) == CURLUE_OK else {
            throw .notSent("not a URL that may be called")
        }
        var text: UnsafeMutablePointer<CChar>?
        guard curl_url_get(url, CURLUPART_SCHEME, &text, 0) == CURLUE_OK, let text else {
            throw .notSent("no scheme")
        }
        defer { curl_free(text) }
        scheme = String(cString: text)
        switch (scheme, call.limits.allowsLoopbackHTTP, call.limits.refusesSpecialAddresses) {
        case ("https", _, false): rule = .any
        case ("https", true, true): rule = .globalOrLoopback
        case ("https", false, true): rule = .global
        case ("http", true, _): rule = .loopback
        default: throw .notSent("\(scheme) is not permitted")
        }
    }
}
