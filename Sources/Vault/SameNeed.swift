import Encoding
import GRDB
import OAuth

extension Rows {
    /// Ends a request that a person answered, and with it the others of the same plugin for the same need: it asks by its
    /// general key or by the person's, each of them makes an id of its own, and one answer holds for both.
    ///
    /// Which account a request names is sealed, and `vault` opens it; where it cannot, the other one stays open.
    public func answer(_ hash: [UInt8], as status: RequestStatus, with vault: OpenVault, at now: Instant) throws {
        guard let request = try request(hash: hash) else { return }
        _ = try end(hash, as: status)
        guard request.callerKind == .plugin, let account = try account(of: request, with: vault) else { return }
        let others = try rows(
            """
            SELECT * FROM request WHERE caller = ? AND person = ? AND provider = ? AND scopes = ? AND optional_scopes = ?
                AND status IN ('pending', 'approved') AND expires_at_ms > ?
            """,
            [
                request.caller.blob, request.person.blob, request.provider.json, request.scopes.text,
                request.optional.text, now.milliseconds,
            ]
        ).map(Request.init)
        for other in others {
            guard try self.account(of: other, with: vault) == account else { continue }
            _ = try end(other.idHash, as: status)
        }
    }

    /// The account that it names, empty for none; nil where this vault cannot tell.
    private func account(of request: Request, with vault: OpenVault) throws -> String? {
        try id(of: request, with: vault).map { try claim(of: request, id: $0).account }
    }
}
