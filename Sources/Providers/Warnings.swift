import OAuth

extension Provider {
    /// What the entry permits and somebody should know of. Nothing about providers that are not in use.
    var warnings: [String] {
        guard isConfigured else { return [] }
        var warnings: [String] = []
        guard keyRules == nil else {
            return identity.isEmpty ? ["\(id): keys are stored as they are typed; identity says how to check one"] : []
        }
        // Where PKCE makes refresh tokens end sooner, leaving it off is no mistake.
        if !usesPKCE, expiry.refreshSecondsWithPKCE == nil {
            if authorize.pkceAvailable.contains("S256") {
                warnings.append("\(id): PKCE is available and off; authorize.pkce.default: S256 switches it on")
            } else if kind == .operator {
                warnings.append("\(id): no PKCE; authorize.pkce.default: S256 where the provider accepts it")
            }
        }
        if !revoke.isOn, revocationStyle != .none, endpoints.revoke != nil {
            warnings.append("\(id): disconnecting does not revoke at the provider; revoke.default: on switches it on")
        }
        if allowsLoopbackHTTP {
            warnings.append("\(id): allow_loopback_http sends codes and secrets unencrypted; for development only")
        }
        if allowsPrivateAddresses {
            warnings.append(
                "\(id): allow_private_addresses lets its endpoints be hosts of the inner network, and whoever answers for"
                    + " their names choose which; for a provider that is there")
        }
        if case .anyone? = signIn?.newPeople {
            warnings.append("\(id): sign_in.new_people: anyone with an account there becomes a person here")
        }
        if token.authentication == ClientAuthentication.none {
            warnings.append("\(id): a public client; nothing but PKCE ties its codes to this service")
        }
        if basis == .memory, kind != .operator {
            warnings.append(
                "\(id): this entry was written from general knowledge; check it against \(documentation ?? "the provider")"
            )
        }
        return warnings
    }
}
