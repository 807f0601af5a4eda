import Broker
import Encoding
import Envelope
import FastCGI
import OAuth
import Vault

extension Gateway {
    /// `POST /api/tokens/vend`: the one path that is measured (docs/BENCHMARKS.md).
    func vend(_ exchange: Exchange) throws -> Step<Reply> {
        let now = Instant.now()
        let fromHeader = try exchange.withParameter("HTTP_AUTHORIZATION") { header in
            try withBearer(header) { try vend(exchange, with: $0, at: now) }
        }
        if let fromHeader { return fromHeader }
        guard let cookie = cookies(exchange)[Self.cookieName], let token = try? Token(parsing: cookie),
            token.kind == .session
        else { throw Refusal.invalidToken }
        try requireSameOrigin(exchange)
        return try vend(exchange, with: token, at: now)
    }

    /// Without regard to case, as schemes and media types are (RFC 9110 §8.3.1, §11.1). `lowercase` has no digit.
    static func begins(_ text: UnsafeRawBufferPointer, with lowercase: StaticString) -> Bool {
        guard text.count >= lowercase.utf8CodeUnitCount else { return false }
        for index in 0..<lowercase.utf8CodeUnitCount where text[index] | 0x20 != lowercase.utf8Start[index] {
            return false
        }
        return true
    }

    private func vend(_ exchange: Exchange, with token: borrowing Token, at now: Instant) throws -> Step<Reply> {
        // Who calls comes before what is asked: a stranger learns nothing about the form of a request.
        var request: VendRequest
        do {
            guard !exchange.bodyIsTooLarge else { throw RouteRefusal.tooLarge }
            guard exchange.hasJSON else { throw RouteRefusal.unsupportedMediaType }
            request = try exchange.withBody { try VendRequest(parsing: $0) }
        } catch {
            guard try broker.isKnown(token, at: now) else { throw Refusal.invalidToken }
            throw error
        }
        request.address = exchange.address
        return try broker.vend(request, with: token, at: now, render: Self.render)
    }

    private static let render: @Sendable (borrowing VendedToken) -> Reply = { token in
        .secretJSON { writer in
            writer.beginObject()
            writer.key("accessToken")
            writer.string(utf8: token.accessToken)
            writer.member("tokenType", token.tokenType)
            if let expiresIn = token.expiresIn { writer.member("expiresIn", expiresIn) }
            if let validUntil = token.validUntil { writer.member("validUntil", validUntil.rfc3339) }
            writer.member("scopes", token.scopes)
            writer.member("provider", token.provider.json)
            writer.key("connection")
            writer.beginObject()
            writer.key("id")
            writer.string(token.connection)
            writer.key("account")
            writer.string(utf8: token.account)
            writer.endObject()
            writer.member("refreshed", token.refreshed)
            writer.endObject()
        }
    }
}
