import ArgumentParser
import Encoding
import Foundation
import Secrets
import Settings

/// `toolshedd nginx`: the part of nginx's configuration that follows from the providers.
struct NginxCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nginx",
        abstract: "Print nginx's configuration for /proxy, or write it.",
        discussion: """
            One file a provider. Without --folder all of them are printed. With it they are written there, and what an \
            earlier run wrote for providers that are gone is removed; then reload nginx.
            """)

    @Option(help: "Write the files into this folder, /etc/nginx/toolshed/proxy.d on a host.")
    var folder: String?

    @Option(help: "A name server for nginx; may be repeated. Otherwise those of /etc/resolv.conf.")
    var resolver: [String] = []

    @Option(help: "Print a server for this host name alone, instead of files for the one with the pages.")
    var host: String?

    @Option(help: "The certificate of --host.")
    var certificate: String?

    @Option(help: "The key of --certificate.")
    var certificateKey: String?

    @Option(help: "Where the site's pages are installed, for --host.")
    var root = "/usr/share/toolshed/site"

    @Flag(help: "Print JSON.")
    var json = false

    private var ownHost: ProxyHost? {
        host.flatMap { ProxyHost(name: $0, certificate: certificate ?? "", key: certificateKey ?? "", root: root) }
    }

    func validate() throws {
        if host != nil {
            guard ownHost != nil else {
                throw ValidationError("--host takes a name, with the paths --certificate and --certificate-key.")
            }
            guard folder == nil, !json else {
                throw ValidationError("--host prints one server: no --folder, no --json.")
            }
        }
        for address in resolver where nameServers(of: "nameserver \(address)").isEmpty {
            throw ValidationError("--resolver is '\(address)'; expected an IP address.")
        }
    }

    func run() throws {
        let settings = try Administration.settings()
        let system = (try? String(contentsOfFile: "/etc/resolv.conf", encoding: .utf8)) ?? ""
        let resolvers =
            resolver.isEmpty ? nameServers(of: system) : resolver.flatMap { nameServers(of: "nameserver \($0)") }
        let files = settings.proxyFiles(resolvers: resolvers)
        if let folder { try Self.write(files, to: folder) }
        for left in settings.withoutProxy(resolvers: resolvers) {
            complain("\(left.provider): no /proxy, \(left.reason)")
        }
        if let ownHost {
            print(ownHost.server(files), terminator: "")
        } else if json || folder == nil {
            show(json: json, files.map { "# ---- \($0.name)\n\($0.text)" }.joined()) { writer in
                writer.object {
                    $0.array("files", files) { writer, file in
                        writer.member("name", file.name)
                        if let folder { writer.member("path", "\(folder)/\(file.name)") }
                        writer.member("text", file.text)
                    }
                }
            }
        }
    }

    private static func write(_ files: [ProxyFile], to folder: String) throws {
        let manager = FileManager.default
        try manager.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let names = Set(files.map(\.name))
        for old in try manager.contentsOfDirectory(atPath: folder) where old.hasSuffix(".conf") && !names.contains(old)
        {
            let path = "\(folder)/\(old)"
            // Only what was written here before: an operator's own file stays.
            if try String(contentsOfFile: path, encoding: .utf8).hasPrefix("# Written by toolshedd nginx:") {
                try manager.removeItem(atPath: path)
            }
        }
        for file in files {
            try Data(file.text.utf8).write(to: URL(filePath: "\(folder)/\(file.name)"), options: .atomic)
        }
    }
}
