import Glibc
import Providers

/// The environment with systemd's credentials under it: a file `$CREDENTIALS_DIRECTORY/NAME` stands for the variable
/// `NAME`. Blank values are absent, so that a unit may name credentials that a host does not have.
struct Surroundings {
    let values: [String: String]

    init(_ environment: [String: String]) throws(SettingsError) {
        var values = environment
        if let folder = environment["CREDENTIALS_DIRECTORY"], !folder.isEmpty {
            for name in try Self.names(in: folder) where values[name] == nil {
                do throws(CatalogueError) {
                    values[name] = try YAMLFile.read("\(folder)/\(name)").text
                } catch {
                    throw .file(error)
                }
            }
        }
        self.values = values.compactMapValues { value in
            let trimmed = value.trimmingBlanks
            return trimmed.isEmpty ? nil : trimmed
        }
    }

    subscript(_ name: String) -> String? { values[name] }

    private static func names(in folder: String) throws(SettingsError) -> [String] {
        guard let directory = opendir(folder) else {
            throw .file(CatalogueError(Place(file: folder), .unreadable(errno: errno)))
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            let isVariable = name.utf8.allSatisfy { byte in
                byte == UInt8(ascii: "_") || (byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z"))
                    || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"))
            }
            if isVariable { names.append(name) }
        }
        return names
    }
}

extension String {
    var trimmingBlanks: String {
        let blanks: Set<Character> = [" ", "\t", "\n", "\r", "\r\n"]
        var text = self[...]
        while let first = text.first, blanks.contains(first) { text = text.dropFirst() }
        while let last = text.last, blanks.contains(last) { text = text.dropLast() }
        return String(text)
    }
}
