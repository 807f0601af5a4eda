import Glibc

/// Where something was written.
public struct Place: Hashable, Sendable, CustomStringConvertible {
    public let file: String
    /// From 1; 0 when the whole file is meant.
    public let line: Int
    public let column: Int

    public init(file: String, line: Int = 0, column: Int = 0) {
        self.file = file
        self.line = line
        self.column = column
    }

    public var description: String { line == 0 ? file : "\(file):\(line):\(column)" }
}

/// Why a configuration file is refused: where, which field, and what was expected there.
public struct CatalogueError: Error, Hashable, Sendable {
    public enum Problem: Hashable, Sendable {
        case unreadable(errno: Int32)
        case notYAML(String)
        /// A file with a secret that others may read; the mode found.
        case readableByOthers(mode: UInt32)
        case missing(expected: String)
        case wrong(expected: String, found: String)
        case unknownField(known: [String])
        case twice(first: Place)
        case secureMemory
    }

    public let place: Place
    /// Dotted path from the top of the file, empty for the file itself.
    public let field: String
    public let problem: Problem

    public init(_ place: Place, field: String = "", _ problem: Problem) {
        self.place = place
        self.field = field
        self.problem = problem
    }
}

extension CatalogueError: CustomStringConvertible {
    public var description: String {
        let start = field.isEmpty ? "\(place): " : "\(place): \(field): "
        return start + problem.description
    }
}

extension CatalogueError.Problem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreadable(let code): "cannot be read: \(String(cString: strerror(code)))"
        case .notYAML(let problem): "not YAML: \(problem)"
        case .readableByOthers(let mode):
            "holds a client secret and has mode 0\(String(mode, radix: 8)), expected 0600"
        case .missing(let expected): "missing, expected \(expected)"
        case .wrong(let expected, let found): "expected \(expected), found \(found)"
        case .unknownField(let known): "unknown field, expected one of \(known.joined(separator: ", "))"
        case .twice(let first): "was already given at \(first)"
        case .secureMemory: "no room in secure memory for a client secret"
        }
    }
}
