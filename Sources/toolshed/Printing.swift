import Encoding
import ToolshedClient

/// Columns for people, JSON for programs.
enum Table {
    static func show(_ rows: [[String?]]) {
        let cells = rows.map { $0.map { shown($0 ?? "") } }
        let widths = (0..<(cells.first?.count ?? 0)).map { column in cells.map { $0[column].count }.max() ?? 0 }
        for row in cells {
            let padded = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            print(String(padded.joined(separator: "  ").reversed().drop { $0 == " " }.reversed()))
        }
    }

    static func json(_ plural: String, _ items: [Document], _ texts: [(String, String)] = []) -> String {
        var writer = JSONWriter()
        writer.beginObject()
        for (name, value) in texts {
            writer.key(name)
            writer.string(value)
        }
        writer.key(plural)
        writer.beginArray()
        for item in items { writer.value(item) }
        writer.endArray()
        writer.endObject()
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    static func json(_ document: Document) -> String {
        var writer = JSONWriter()
        writer.value(document)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

extension JSONWriter {
    /// As the server sent it, its members by name.
    mutating func value(_ document: Document) {
        beginObject()
        for (name, text) in document.texts.sorted(by: { $0.key < $1.key }) {
            key(name)
            string(text)
        }
        for (name, flag) in document.flags.sorted(by: { $0.key < $1.key }) {
            key(name)
            bool(flag)
        }
        for (name, number) in document.numbers.sorted(by: { $0.key < $1.key }) {
            key(name)
            integer(number)
        }
        for (name, list) in document.lists.sorted(by: { $0.key < $1.key }) {
            key(name)
            let items = document.items[name] ?? []
            if items.isEmpty {
                strings(list)
            } else {
                beginArray()
                for item in items { value(item) }
                endArray()
            }
        }
        for (name, member) in document.members.sorted(by: { $0.key < $1.key }) {
            key(name)
            value(member)
        }
        endObject()
    }
}

extension Token {
    var json: String { json(withToken: false) }

    func json(withToken: Bool) -> String {
        var writer = JSONWriter()
        writer.beginObject()
        if withToken {
            writer.key("accessToken")
            writer.string(accessToken)
        }
        writer.key("provider")
        writer.string(provider)
        writer.key("connection")
        writer.string(connection)
        writer.key("account")
        writer.string(account)
        writer.key("scopes")
        writer.strings(scopes)
        if let expiresIn {
            writer.key("expiresIn")
            writer.integer(expiresIn)
        }
        if let validUntil {
            writer.key("validUntil")
            writer.string(validUntil)
        }
        writer.endObject()
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}
