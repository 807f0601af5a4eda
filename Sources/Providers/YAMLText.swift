import Encoding
import Yams

/// A YAML document as JSON, in its own order: for what is written by hand and read by programs.
public enum YAMLText {
    public enum Failure: Error, Hashable, Sendable { case notYAML, notJSON }

    public static func json(_ text: String) throws -> [UInt8] {
        guard let node = try? Yams.compose(yaml: text) else { throw Failure.notYAML }
        var writer = JSONWriter(capacity: text.utf8.count)
        try write(node, to: &writer)
        return writer.bytes
    }

    private static func write(_ node: Node, to writer: inout JSONWriter) throws {
        switch node {
        case .mapping(let mapping):
            writer.beginObject()
            for (key, value) in mapping {
                guard case .scalar(let name) = key else { throw Failure.notJSON }
                writer.key(name.string)
                try write(value, to: &writer)
            }
            writer.endObject()
        case .sequence(let sequence):
            writer.beginArray()
            for element in sequence { try write(element, to: &writer) }
            writer.endArray()
        case .scalar(let scalar): try write(scalar, to: &writer)
        case .alias: throw Failure.notJSON
        }
    }

    /// The core schema (YAML 1.2 section 10.3.2), of which JSON has counterparts: what is quoted is text.
    private static func write(_ scalar: Node.Scalar, to writer: inout JSONWriter) throws {
        guard scalar.style == .plain || scalar.style == .any else { return writer.string(scalar.string) }
        switch scalar.string {
        case "", "~", "null": writer.null()
        case "true": writer.bool(true)
        case "false": writer.bool(false)
        case let text:
            if let number = Int64(text) {
                writer.integer(number)
            } else if text.wholeMatch(of: /-?(?:0|[1-9][0-9]*)\.[0-9]+/) != nil {
                writer.raw(Array(text.utf8))
            } else {
                writer.string(text)
            }
        }
    }
}
