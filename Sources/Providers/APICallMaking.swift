import OAuth
import Secrets

extension Provider {
    /// One call of this provider's API with a token put in: below its fixed address, bounded, redirects not followed but
    /// reported. nil: its API has no fixed address.
    public func apiCall(
        _ method: APIMethod, _ target: APITarget, headers given: [(name: String, value: String)], content: [UInt8]?,
        token: SecretText, replyBytes: Int
    ) throws(ProviderError) -> ProviderCall? {
        guard let base = apiURL else { return nil }
        let credential = try authorization(token)
        var headers = given.filter { $0.name.lowercased() != credential.name.lowercased() }
            .map { ProviderCall.Header($0.name, $0.value) }
        if content != nil, !given.contains(where: { $0.name.lowercased() == "content-type" }) {
            headers.append(.init("Content-Type", "application/json"))
        }
        headers.append(credential)
        var limits = limits(total: 8_000)
        limits.replyBytes = replyBytes
        limits.passesRedirects = true
        return ProviderCall(
            method: method.rawValue, url: base + target.text, headers: Self.completed(headers), content: content,
            limits: limits)
    }
}
