import CLinux
import Glibc

/// The environment that this process was given, split by who may see it.
///
/// What a child needs and nobody must read goes over its control socket; only harmless variables become its
/// environment, which `/proc/PID/environ` shows and every child of its own would inherit.
public struct OwnEnvironment {
    private static let harmless: Set<String> = [
        "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    ]
    private static let ours: Set<String> = [
        "ENCRYPTION_KEY", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY",
    ]

    /// The variables as they are, by name.
    public private(set) var variables: [String: String]

    public init() {
        var variables: [String: String] = [:]
        var entry = clinux_environment()
        while let text = entry?.pointee {
            let pair = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
            entry = entry?.advanced(by: 1)
        }
        self.variables = variables
    }

    /// What becomes a child's environment.
    public var childEnvironment: [String] {
        variables.filter { Self.harmless.contains($0.key) }.map { "\($0.key)=\($0.value)" }.sorted()
    }

    /// What goes over a child's control socket: everything else that is not the supervisor's own, with the files of
    /// `$CREDENTIALS_DIRECTORY` (systemd.exec(5)) under it, read anew at every call. So a child knows the client secrets
    /// and not the path of `ENCRYPTION_KEY`.
    public func childSettings() -> [UInt8] {
        var settings = credentials().merging(variables) { _, variable in variable }
        for name in Self.harmless.union(Self.ours) { settings[name] = nil }
        return settings.sorted { $0.key < $1.key }.flatMap { Array("\($0.key)=\($0.value)".utf8) + [0] }
    }

    private func credentials() -> [String: String] {
        guard let folder = variables["CREDENTIALS_DIRECTORY"], let directory = opendir(folder) else { return [:] }
        defer { closedir(directory) }
        var found: [String: String] = [:]
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            let isVariable = name.utf8.allSatisfy {
                (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F
            }
            if isVariable, let text = Self.read("\(folder)/\(name)") { found[name] = text }
        }
        return found
    }

    /// A credential is short; a NUL cannot be part of it.
    private static func read(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 64 * 1024)
        let count = Glibc.read(file, &bytes, bytes.count)
        defer { clinux_wipe(&bytes, bytes.count) }
        guard count >= 0, !bytes[..<count].contains(0) else { return nil }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    /// Drops a variable here and where the kernel put it.
    public mutating func forget(_ name: String) {
        variables[name] = nil
        Self.blank(name)
    }

    /// Overwrites a variable's value where the kernel put it, so that neither `/proc/PID/environ` nor a child has it.
    public static func blank(_ name: String) {
        var entry = clinux_environment()
        while let text = entry?.pointee {
            let length = strlen(text)
            if length > name.utf8.count, strncmp(text, name, name.utf8.count) == 0,
                text[name.utf8.count] == 0x3D
            {
                clinux_wipe(text + name.utf8.count + 1, length - name.utf8.count - 1)
            }
            entry = entry?.advanced(by: 1)
        }
    }

    /// The other end of `childSettings`, in the child.
    public static func decode(_ settings: UnsafeRawBufferPointer) -> [String: String] {
        var variables: [String: String] = [:]
        for entry in settings.split(separator: 0) {
            guard let mark = entry.firstIndex(of: 0x3D) else { continue }
            let name = String(decoding: entry[entry.startIndex..<mark], as: UTF8.self)
            variables[name] = String(decoding: entry[(mark + 1)...], as: UTF8.self)
        }
        return variables
    }
}
