import Broker
import Encoding
import FastCGI
import OAuth
import Vault

extension Gateway {
    /// The whole table: a path, its methods (HEAD wherever GET), where it goes. `DOCUMENT_URI` is nginx's own reading of the
    /// path.
    func route(_ exchange: Exchange) throws -> Step<Reply> {
        let now = Instant.now()
        let path = exchange.path
        switch path {
        case "/api/tokens/vend": return try only(exchange, "POST", [:])
        case "/api/tokens/report": return try only(exchange, "POST", [.post: { try self.report($0, now) }])
        case "/api/connect":
            return try only(
                exchange, "GET, POST", [.get: { try self.consentPage($0, now) }, .post: { try self.decide($0, now) }])
        case "/api/sign-in/invitation":
            return try only(exchange, "POST", [.post: { try self.acceptInvitation($0, now) }])
        case "/api/sign-in/recovery": return try only(exchange, "POST", [.post: { try self.recover($0, now) }])
        case "/api/sign-in/methods": return try only(exchange, "GET", [.get: { try self.signInMethods($0, now) }])
        case "/api/sign-in/passkey": return try only(exchange, "POST", [.post: { try self.signInByPasskey($0, now) }])
        case "/api/sign-in/passkey/options":
            return try only(exchange, "POST", [.post: { try self.askForPasskey($0, now) }])
        case "/api/sign-in/header": return try only(exchange, "POST", [.post: { try self.signInByHeader($0, now) }])
        case "/api/sign-out": return try only(exchange, "POST", [.post: { try self.signOut($0, now) }])
        case "/api/me": return try only(exchange, "GET", [.get: { try self.me($0, now) }])
        case "/api/providers": return try only(exchange, "GET", [.get: { try self.providers($0, now) }])
        case "/api/connections": return try only(exchange, "GET", [.get: { try self.connections($0, now) }])
        case "/api/sessions": return try only(exchange, "GET", [.get: { try self.sessions($0, now) }])
        case "/api/keys":
            return try only(
                exchange, "GET, POST", [.get: { try self.keys($0, now) }, .post: { try self.makeKey($0, now) }])
        case "/api/passkeys":
            return try only(
                exchange, "GET, POST", [.get: { try self.passkeys($0, now) }, .post: { try self.addPasskey($0, now) }])
        case "/api/passkeys/options": return try only(exchange, "POST", [.post: { try self.offerPasskey($0, now) }])
        case "/api/plugins":
            return try only(
                exchange, "GET, POST", [.get: { try self.plugins($0, now) }, .post: { try self.makePlugin($0, now) }])
        case "/api/person-keys": return try only(exchange, "POST", [.post: { try self.makePersonKey($0, now) }])
        case "/api/activity": return try only(exchange, "GET", [.get: { try self.activity($0, now) }])
        case "/api/requests": return try only(exchange, "GET", [.get: { try self.waitingRequests($0, now) }])
        case "/api/declines":
            return try only(
                exchange, "GET, DELETE",
                [.get: { try self.declines($0, now) }, .delete: { try self.allowAsking($0, now) }])
        case "/api/vault/stop": return try only(exchange, "POST", [.post: { try self.stopEverything($0, now) }])
        case "/api/activity/former": return try only(exchange, "GET", [.get: { try self.formerCallers($0, now) }])
        case "/api/activity/export": return try only(exchange, "GET", [.get: { try self.exportActivity($0, now) }])
        case "/api/vault/recovery": return try only(exchange, "POST", [.post: { try self.makeRecovery($0, now) }])
        case "/api/vault": return try only(exchange, "GET", [.get: { try self.vault($0, now) }])
        case "/api/vault/link":
            return try only(
                exchange, "GET, POST", [.get: { try self.links($0, now) }, .post: { try self.link($0, now) }])
        case "/api/vault/lost":
            return try only(
                exchange, "GET, POST, DELETE",
                [
                    .get: { try self.losses($0, now) }, .post: { try self.revokeAsLost($0, now) },
                    .delete: { try self.putAwayLoss($0, now) },
                ])
        case "/api/plugins/ended": return try only(exchange, "GET", [.get: { try self.leftTokens($0, now) }])
        case "/api/vault/recovery/check":
            return try only(exchange, "POST", [.post: { try self.checkRecovery($0, now) }])
        case "/api/vault/lock": return try only(exchange, "POST", [.post: { try self.lock($0, now) }])
        case "/api/authorize":
            return try only(
                exchange, "GET, POST",
                [.get: { try self.clientConsent($0, now) }, .post: { try self.decideClient($0, now) }])
        case "/api/clients": return try only(exchange, "GET", [.get: { try self.clients($0, now) }])
        case "/api/device":
            return try only(exchange, "POST", [.post: { try self.deviceConsent($0, now) }])
        case "/api/device/decision":
            return try only(exchange, "POST", [.post: { try self.decideDevice($0, now) }])
        case "/device_authorization": return try only(exchange, "POST", [.post: { try self.beginDevice($0, now) }])
        case "/register": return try only(exchange, "POST", [.post: { try self.registerClient($0, now) }])
        case "/token": return try only(exchange, "POST", [.post: { try self.token($0, now) }])
        case "/revoke": return try only(exchange, "POST", [.post: { try self.revokeToken($0, now) }])
        case "/introspect": return try only(exchange, "POST", [.post: { try self.introspectToken($0, now) }])
        case "/healthz": return try only(exchange, "GET", [.get: { _ in self.healthy() }])
        case "/readyz": return try only(exchange, "GET", [.get: { _ in try self.ready() }])
        case "/metrics": return try only(exchange, "GET", [.get: { _ in self.metrics() }])
        default: return try routeWithParts(exchange, path.split(separator: "/").map(String.init), now)
        }
    }

    private func routeWithParts(_ exchange: Exchange, _ parts: [String], _ now: Instant) throws -> Step<Reply> {
        switch (parts.count, parts.first ?? "", parts.dropFirst().first ?? "") {
        case (4, "api", "auth"):
            guard let provider = try? ProviderID(path: parts[2]) else {
                guard parts[3] == "callback" else { throw Refusal.unknownProvider }
                // A person is looking at this: no provider can be named so, and they are told as of an unknown one.
                return try only(exchange, "GET", [.get: { _ in self.misdirected }])
            }
            switch parts[3] {
            case "login": return try only(exchange, "GET", [.get: { try self.login($0, provider, now) }])
            case "callback": return try only(exchange, "GET", [.get: { try self.callback($0, provider, now) }])
            default: throw RouteRefusal.noSuchPath
            }
        case (4, "api", "sign-in"):
            guard let provider = try? ProviderID(path: parts[2]) else { throw Refusal.unknownProvider }
            switch parts[3] {
            case "start": return try only(exchange, "POST", [.post: { try self.startSignIn($0, provider, now) }])
            case "confirm":
                return try only(exchange, "POST", [.post: { try self.startConfirmation($0, provider, now) }])
            case "callback": return try only(exchange, "GET", [.get: { try self.finishSignIn($0, provider, now) }])
            default: throw RouteRefusal.noSuchPath
            }
        case (3, "api", "requests"):
            guard let id = RequestID(parsing: parts[2]) else { throw Refusal.notFound }
            return try only(
                exchange, "GET, DELETE",
                [.get: { try self.requestStatus($0, id, now) }, .delete: { try self.cancelRequest($0, id, now) }])
        case (3, "api", "outcomes"):
            guard let id = OutcomeID(parsing: parts[2]) else { throw Refusal.notFound }
            return try only(
                exchange, "GET, POST",
                [.get: { try self.outcome($0, id, now) }, .post: { try self.settle($0, id, now) }])
        case (3, "api", "connections"):
            guard let id = ConnectionID(parsing: parts[2]) else { throw Refusal.notFound }
            return try only(
                exchange, "PATCH, DELETE",
                [.patch: { try self.change($0, id, now) }, .delete: { try self.removeConnection($0, id, now) }])
        case (3, "api", "sessions"), (3, "api", "keys"):
            guard let id = SlotID(parsing: parts[2]) else { throw Refusal.notFound }
            let kinds: [HolderKind] = parts[1] == "keys" ? [.apiKey] : [.session]
            return try only(exchange, "DELETE", [.delete: { try self.removeHolder($0, id, kinds, now) }])
        case (3, "api", "passkeys"):
            guard let id = PasskeyID(parsing: parts[2]) else { throw Refusal.notFound }
            return try only(
                exchange, "PATCH, DELETE",
                [.patch: { try self.renamePasskey($0, id, now) }, .delete: { try self.removePasskey($0, id, now) }])
        case (3, "api", "clients"):
            guard let id = ClientGrantID(parsing: parts[2]) else { throw Refusal.notFound }
            return try only(exchange, "DELETE", [.delete: { try self.removeClient($0, id, now) }])
        case (3, "api", "plugins"):
            guard let id = PluginID(parsing: parts[2]) else { throw Refusal.notFound }
            return try only(
                exchange, "PATCH, DELETE",
                [.patch: { try self.changePlugin($0, id, now) }, .delete: { try self.withdraw($0, id, now) }])
        case (4, "api", "plugins"):
            guard let id = PluginID(parsing: parts[2]) else { throw Refusal.notFound }
            switch parts[3] {
            case "key":
                return try only(
                    exchange, "POST, DELETE",
                    [
                        .post: { try self.replacePluginKey($0, id, now) },
                        .delete: { try self.endReplacedKeys($0, id, now) },
                    ])
            default: throw RouteRefusal.noSuchPath
            }
        case (4, "api", "connections"):
            guard let id = ConnectionID(parsing: parts[2]) else { throw Refusal.notFound }
            switch parts[3] {
            case "replace": return try only(exchange, "POST", [.post: { try self.replaceToken($0, id, now) }])
            default: throw RouteRefusal.noSuchPath
            }
        default: throw RouteRefusal.noSuchPath
        }
    }

    private func only(
        _ exchange: Exchange, _ allowed: String, _ methods: [Method: (Exchange) throws -> Step<Reply>]
    ) throws -> Step<Reply> {
        let method: Method = exchange.method == .head ? .get : exchange.method
        guard let flow = methods[method] else {
            throw RouteRefusal.methodNotAllowed(allowed.replacing("GET", with: "GET, HEAD"))
        }
        return try flow(exchange)
    }
}
