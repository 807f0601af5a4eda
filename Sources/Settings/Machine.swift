import Glibc

/// What a start needs of the machine, beside what is written in the configuration.
extension Settings {
    /// The user whose connections are accepted: a name, or a number.
    public func peerUserID() throws(SettingsError) -> uid_t {
        if let number = uid_t(peerUser) { return number }
        guard let entry = getpwnam(peerUser) else {
            throw .variable(
                name: "TOOLSHED_PEER_USER (peer_user)", expected: "a user of this machine, or a number",
                found: "'\(peerUser.prefix(100))'")
        }
        return entry.pointee.pw_uid
    }

    /// Refuses what every request would fail at later, and without a sentence.
    public func refuseUnfit() throws(SettingsError) {
        _ = try peerUserID()
        if let caFile {
            guard Self.holdsPEM(caFile) else {
                throw .variable(
                    name: "TOOLSHED_CA_FILE (ca_file)", expected: "a file of certificates (PEM) that can be read",
                    found: "'\(caFile.prefix(200))'")
            }
        }
        var status = stat()
        guard stat(stateDirectory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
            access(stateDirectory, R_OK | W_OK | X_OK) == 0
        else {
            throw .variable(
                name: "TOOLSHED_STATE_DIR", expected: "a folder that the service can write to",
                found: "'\(stateDirectory.prefix(200))'")
        }
    }

    /// RFC 7468: text of any kind may stand before.
    private static func holdsPEM(_ path: String) -> Bool {
        guard let file = fopen(path, "re") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 1024)
        while fgets(&line, Int32(line.count), file) != nil {
            if strncmp(line, "-----BEGIN ", 11) == 0 { return true }
        }
        return false
    }
}
