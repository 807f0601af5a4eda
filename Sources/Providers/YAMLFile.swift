import Glibc
import Yams

/// The one place that knows the YAML library.
public enum YAMLFile {
    /// Largest configuration file that is read, in bytes.
    public static let maximumBytes = 1 << 20
    /// Most values in one: aliases of aliases make any number of a few lines.
    static let maximumValues = 1 << 17

    /// The single document of a text; `nil` when it is empty.
    public static func parse(_ text: String, file: String) throws(CatalogueError) -> SourceValue? {
        let node: Node?
        do {
            // YAML 1.2 section 5.2: a byte order mark in front is no content.
            let marked = text.unicodeScalars.first == "\u{FEFF}"
            node = try Yams.compose(yaml: marked ? String(text.unicodeScalars.dropFirst()) : text)
        } catch let error as YamlError {
            throw Self.error(error, file: file)
        } catch {
            throw CatalogueError(Place(file: file), .notYAML("unreadable"))
        }
        guard let node else { return nil }
        var left = maximumValues
        return try convert(node, file: file, depth: 0, &left)
    }

    /// Reads a whole file, with its permission bits.
    public static func read(_ path: String) throws(CatalogueError) -> (text: String, mode: UInt32) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CatalogueError(Place(file: path), .unreadable(errno: errno)) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw CatalogueError(Place(file: path), .unreadable(errno: errno))
        }
        var bytes = [UInt8](repeating: 0, count: maximumBytes + 1)
        defer { bytes.withUnsafeMutableBytes { explicit_bzero($0.baseAddress!, $0.count) } }
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + count, $0.count - count) }
            guard got >= 0 else { throw CatalogueError(Place(file: path), .unreadable(errno: errno)) }
            if got == 0 { break }
            count += got
        }
        guard count <= maximumBytes else {
            throw CatalogueError(
                Place(file: path), .wrong(expected: "at most \(maximumBytes) bytes", found: "a larger file"))
        }
        guard let text = String(validating: bytes[0..<count], as: UTF8.self) else {
            throw CatalogueError(Place(file: path), .notYAML("not UTF-8"))
        }
        return (text, status.st_mode & 0o7777)
    }

    private static func convert(_ node: Node, file: String, depth: Int, _ left: inout Int) throws(CatalogueError)
        -> SourceValue
    {
        let place = Place(file: file, line: node.mark?.line ?? 0, column: node.mark?.column ?? 0)
        guard depth < 32 else {
            throw CatalogueError(place, .wrong(expected: "at most 32 levels", found: "more"))
        }
        left -= 1
        guard left >= 0 else {
            throw CatalogueError(place, .wrong(expected: "at most \(maximumValues) values", found: "more"))
        }
        switch node {
        case .scalar(let scalar):
            let isPlain = scalar.style == .plain || scalar.style == .any
            if isPlain, ["", "~", "null", "Null", "NULL"].contains(scalar.string) { return .null(place) }
            return .text(scalar.string, place)
        case .sequence(let sequence):
            var values: [SourceValue] = []
            for element in sequence { values.append(try convert(element, file: file, depth: depth + 1, &left)) }
            return .list(values, place)
        case .mapping(let mapping):
            var members: [SourceValue.Member] = []
            for (key, value) in mapping {
                let keyPlace = Place(file: file, line: key.mark?.line ?? 0, column: key.mark?.column ?? 0)
                guard case .scalar(let name) = key else {
                    throw CatalogueError(keyPlace, .wrong(expected: "a name", found: "a structure"))
                }
                let converted = try convert(value, file: file, depth: depth + 1, &left)
                members.append(SourceValue.Member(name: name.string, place: keyPlace, value: converted))
            }
            return .map(members, place)
        case .alias:
            throw CatalogueError(place, .wrong(expected: "a value", found: "an alias"))
        }
    }

    private static func error(_ error: YamlError, file: String) -> CatalogueError {
        func at(_ mark: Mark, _ problem: String) -> CatalogueError {
            CatalogueError(Place(file: file, line: mark.line, column: mark.column), .notYAML(problem))
        }
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            return at(mark, problem)
        case .duplicatedKeysInMapping(let names, let context):
            return at(context.mark, "\(names.joined(separator: ", ")) is given twice")
        default:
            return CatalogueError(Place(file: file), .notYAML("unreadable"))
        }
    }
}
