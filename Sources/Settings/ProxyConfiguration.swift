import OAuth
import Providers

/// What nginx is told of one provider, so that it can put tokens into requests to its API (docs/INJECTION.md).
public struct ProxyFile: Sendable {
    /// `github.conf`, `acme~github.conf`.
    public let name: String
    public let text: String
}

/// A host name for injection alone: nothing that a provider answers then shares a name with our pages.
public struct ProxyHost: Sendable {
    let name: String
    let certificate: String
    let key: String
    /// Where the documents of errors are.
    let root: String

    /// nil: something that a configuration file could not hold as it is.
    public init?(name: String, certificate: String, key: String, root: String) {
        let isName = !name.isEmpty && name.utf8.allSatisfy { Self.isPlain($0) && $0 != UInt8(ascii: "/") }
        guard isName, [certificate, key, root].allSatisfy({ $0.hasPrefix("/") && $0.utf8.allSatisfy(Self.isPlain) })
        else { return nil }
        (self.name, self.certificate, self.key, self.root) = (name, certificate, key, root)
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-._/+@".utf8.contains(byte)
        }
    }

    /// A server of its own around the files of the providers; it goes into the http context.
    public func server(_ files: [ProxyFile]) -> String {
        let head = """
            # Written by toolshedd nginx: /proxy on a host of its own, and nothing else there.
            server {
                listen 443 ssl http2;
                listen [::]:443 ssl http2;
                server_name \(name);
                ssl_certificate "\(certificate)";
                ssl_certificate_key "\(key)";
                root "\(root)";
                include toolshed/tls.conf;
                include toolshed/headers.conf;
                include toolshed/limits.conf;
                include toolshed/logs.conf;
                include toolshed/errors.conf;
                if ($host != $server_name) { return 421; }
                location ^~ /proxy/ { include toolshed/no-proxy.conf; }
                location = /internal/authorize { include toolshed/authorize.conf; }
                location = /internal/problem { include toolshed/authorize.conf; }
                location / { return 404; }

            """
        return head + files.map(\.text).joined() + "}\n"
    }
}

extension Settings {
    /// A file for each provider that is set up and whose API has one fixed address, by name.
    public func proxyFiles(resolvers: [String]) -> [ProxyFile] {
        catalogue.providers.values.sorted { $0.id < $1.id }.compactMap { proxyFile($0, resolvers: resolvers) }
    }

    /// Providers that are set up and can have none, each with the reason.
    public func withoutProxy(resolvers: [String]) -> [(provider: ProviderID, reason: String)] {
        catalogue.providers.values.sorted { $0.id < $1.id }.compactMap { provider in
            guard provider.isConfigured else { return nil }
            guard let url = provider.apiURL.flatMap(APIAddress.init) else {
                return (provider.id, "its API has no fixed address (api.base)")
            }
            return url.isNumeric || !resolvers.isEmpty ? nil : (provider.id, "no name server is known (--resolver)")
        }
    }

    private func proxyFile(_ provider: Provider, resolvers: [String]) -> ProxyFile? {
        guard provider.isConfigured, let address = provider.apiURL.flatMap(APIAddress.init),
            address.isNumeric || !resolvers.isEmpty
        else { return nil }
        let path = provider.id.path
        var lines = [
            "# Written by toolshedd nginx: /proxy/\(path)/… is \(address.text)/… with the caller's token put in.",
            "location ^~ /proxy/\(path)/ {",
            "    include toolshed/proxy.conf;",
            "    auth_request /internal/authorize/\(path);",
        ]
        if !address.isNumeric {
            // Looked up again and again: nginx neither waits for DNS at its start nor keeps an old address.
            lines.append("    resolver \(resolvers.joined(separator: " ")) valid=60s;")
        }
        if address.isTLS {
            lines += [
                "    proxy_ssl_verify on;",
                "    proxy_ssl_verify_depth 5;",
                "    proxy_ssl_name \"\(address.host)\";",
                "    proxy_ssl_trusted_certificate \"\(caFile ?? Self.systemAuthorities)\";",
            ]
        }
        lines.append("    proxy_set_header Host \"\(address.authority)\";")
        // Where the provider's API reads it: a header of its own for keys, Authorization for all else.
        let credential = provider.keyRules?.header ?? "Authorization"
        lines.append("    proxy_set_header \(credential) $toolshed_token;")
        for name in provider.permittedHeaders where name.lowercased() != credential.lowercased() {
            let variable = name.lowercased().map { $0 == "-" ? "_" : $0 }
            lines.append("    proxy_set_header \(name) $http_\(String(variable));")
        }
        lines += [
            "    proxy_pass \"\(address.text)$toolshed_target\";",
            "}",
            "location = /proxy/\(path) { return 404; }",
            "location = /internal/authorize/\(path) {",
            "    include toolshed/authorize.conf;",
            "    fastcgi_param TOOLSHED_PROVIDER \"\(provider.id.json)\";",
            "}",
        ]
        return ProxyFile(name: "\(path).conf", text: lines.joined(separator: "\n") + "\n")
    }

    private static let systemAuthorities = "/etc/ssl/certs/ca-certificates.crt"
}

/// The parts of an API's base URL that a configuration file of nginx can hold as they are.
struct APIAddress {
    let text: String
    /// Host and port.
    let authority: String
    let host: String
    let isTLS: Bool
    /// An address, not a name: nothing to look up.
    let isNumeric: Bool

    init?(_ url: String) {
        // No quote, no dollar sign, no brace: nothing that ends a value or begins a variable.
        let isPlain = url.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "-._~:/[]".utf8.contains(byte)
            }
        }
        guard isPlain, let joint = url.firstRange(of: "://") else { return nil }
        let authority = url[joint.upperBound...].prefix { $0 != "/" }
        let host =
            authority.hasPrefix("[")
            ? authority.prefix { $0 != "]" } + "]" : authority.prefix { $0 != ":" }
        guard !host.isEmpty else { return nil }
        text = url
        self.authority = String(authority)
        self.host = String(host)
        isTLS = url.hasPrefix("https://")
        isNumeric = host.hasPrefix("[") || host.allSatisfy { $0.isNumber || $0 == "." }
    }
}

/// The name servers of a `resolv.conf`, as nginx writes them.
public func nameServers(of text: String) -> [String] {
    text.split(whereSeparator: \.isNewline).compactMap { line in
        let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
        // A zone index means something to this machine's resolver only.
        guard words.count >= 2, words[0] == "nameserver", !words[1].contains("%") else { return nil }
        let isPlain = words[1].allSatisfy { $0.isHexDigit || $0 == "." || $0 == ":" }
        guard isPlain else { return nil }
        return words[1].contains(":") ? "[\(words[1])]" : String(words[1])
    }
}
