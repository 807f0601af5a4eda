import Encoding
import Envelope
import OAuth
import Providers

extension Settings {
    /// What holds, as YAML. A secret has no text here: whether there is one is all that is said.
    public func effective() -> String {
        var lines = [
            "origin: \(Self.quoted(origin))", "redirect_base: \(Self.quoted(redirectBase))",
            "state_directory: \(Self.quoted(stateDirectory))", "runtime_directory: \(Self.quoted(runtimeDirectory))",
            "config_directory: \(Self.quoted(configDirectory))", "workers: \(workers)", "threads: \(threads)",
            "peer_user: \(Self.quoted(peerUser))", "warm_seconds: \(warmSeconds)", "log_level: \(logLevel.rawValue)",
        ]
        lines += [
            "registrations_per_hour: \(registrationLimits.perHour)",
            "device_grant: \(allowsDeviceGrant ? "\"on\"" : "\"off\"")",
            "audit_keep_days: \(audit.keepDays)", "audit_file_mb: \(audit.fileBytes >> 20)",
            "audit_reserve_mb: \(audit.reserveBytes >> 20)",
        ]
        lines += process.effective
        if let key = audit.publicKey { lines.append("audit_key: \(Self.quoted(Base64URL.encode(key.bytes)))") }
        if let caFile { lines.append("ca_file: \(Self.quoted(caFile))") }
        if let header = signIn.header {
            lines += [
                "sign_in:",
                "  header: { secret_sha256: \(Hex.encode(header.secretHash)), new_people: \(header.newPeople.text) }",
            ]
        }
        lines.append("providers:")
        for provider in catalogue.providers.values.sorted(by: { $0.id < $1.id }) where provider.isConfigured {
            lines += effective(provider)
        }
        if lines.last == "providers:" { lines[lines.count - 1] = "providers: {}" }
        return lines.joined(separator: "\n") + "\n"
    }

    private func effective(_ provider: Provider) -> [String] {
        let client = provider.client.map {
            "{ id: \(Self.quoted($0.id)), secret: \($0.secret == nil ? "none" : "set") }"
        }
        var lines = [
            "  \(Self.quoted(provider.id.json)):", "    name: \(Self.quoted(provider.name))",
            "    client: \(client ?? "none")", "    redirect_uri: \(Self.quoted(callbackURL(provider.id)))",
        ]
        if let issuer = provider.issuer { lines.append("    issuer: \(Self.quoted(issuer))") }
        let urls = provider.resolvedEndpoints
        lines.append(urls.isEmpty ? "    endpoints: {}" : "    endpoints:")
        lines += urls.map { "      \($0.name): \(Self.quoted($0.url))" }
        let scopes = provider.defaultScopes.names.map { Self.quoted($0) }.joined(separator: ", ")
        return lines + [
            "    pkce: \(provider.usesPKCE ? "S256" : "\"off\"")",
            "    revoke: \(provider.revokesAtProvider ? "\"on\"" : "\"off\"")", "    default_scopes: [\(scopes)]",
        ]
    }

    /// A YAML double-quoted scalar (YAML 1.2 section 7.3.1).
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case _ where scalar.value < 0x20:
                result += "\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
