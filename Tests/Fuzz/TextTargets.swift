import Encoding
import OAuth

extension Fuzz {
    /// What was read is read again from what is written of it.
    static func form(_ bytes: [UInt8]) throws -> Verdict {
        guard let fields = try? Form.parse(bytes) else { return .reject }
        try promise(bytes.count <= 65_536 && fields.count <= 64, "a form beyond the limits")
        let text = Form.encode(fields.map { ($0.name, $0.value) })
        let isPlain = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }
        try promise(isPlain, "a byte in a form that none has")
        guard let again = try? Form.parse(text.utf8, maximumBytes: .max) else {
            throw BrokenPromise(description: "what was written cannot be read: \(text)")
        }
        try promise(
            fields.elementsEqual(again) { $0.name.isSame(as: $1.name) && $0.value.isSame(as: $1.value) },
            "written as \(text)")
        return .accept
    }

    /// Skipping, reading and Foundation's reader agree; what was read is read again from what is written of it.
    static func json(_ bytes: [UInt8]) throws -> Verdict {
        let isText = bytes.withUnsafeBytes { raw in
            (try? JSONReader.value(raw) { (_) throws(JSONError) in }) != nil
        }
        let lenient = JSONValue(parsing: bytes)
        if isText { try promise(lenient != nil || bytes.hasHugeNumber, "Foundation does not take it") }
        let strict = bytes.withUnsafeBytes {
            try? JSONValue(strictly: $0, depth: JSONReader.defaultDepth)
        }
        guard let strict else { return isText ? .accept : .reject }
        try promise(isText, "what can be read cannot be skipped")
        if let lenient { try promise(strict.asRead.isSame(as: lenient.asRead), "Foundation reads \(lenient)") }
        let written = strict.json
        guard let again = written.withUnsafeBytes({ try? JSONValue(strictly: $0) }) else {
            throw BrokenPromise(description: "what was written cannot be read: \(written)")
        }
        try promise(again.isSame(as: strict) && again.json == written, "written as \(written)")
        return .accept
    }

    /// One value has one text, and one text one value: ids, base64, hexadecimal digits, percent-encoding, times.
    static func values(_ bytes: [UInt8]) throws -> Verdict {
        guard let text = String(validating: bytes, as: UTF8.self) else { return .reject }
        var verdict = Verdict.reject
        func same(_ other: String?) throws {
            guard let other else { return }
            try promise(other.utf8.elementsEqual(bytes), "\(text) is also \(other)")
            verdict = .accept
        }
        try same(PersonID(parsing: text)?.text)
        try same(SlotID(parsing: text)?.text)
        try same(Base64.decode(text).map { Base64.encode($0) })
        try same(Base64URL.decode(text).map { Base64URL.encode($0) })
        if let plain = Percent.decode(text) {
            try promise(Percent.decode(Percent.encode(plain))?.isSame(as: plain) ?? false, "\(plain) is lost")
        }
        if let time = Instant(rfc3339: text) {
            let written = time.rfc3339
            let again = Instant(rfc3339: written)?.milliseconds
            let isKept = again.map { (0..<1000).contains(time.milliseconds - $0) } ?? false
            try promise(
                isKept || written.hasPrefix("0000") || written.hasPrefix("9999"), "\(text) is written \(written)")
            verdict = .accept
        }
        if let id = (try? ProviderID(parsing: text)) ?? (try? ProviderID(path: text)) {
            try promise((try? ProviderID(parsing: id.json)) == id, "a provider's id changes")
            try promise((try? ProviderID(path: id.path)) == id, "a provider's id changes in a path")
            verdict = .accept
        }
        return verdict
    }

    /// The order does not matter, another cookie changes nothing, and a name that comes twice has no value.
    static func cookies(_ bytes: [UInt8]) throws -> Verdict {
        let cookies = CookieHeader.parse(bytes)
        let turned = bytes.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).reversed()
            .joined(separator: [UInt8(ascii: ";")])
        try promise(CookieHeader.parse(Array(turned)) == cookies, "in another order they are others")
        let name = "__Host-toolshed"
        let more = CookieHeader.parse(bytes + Array("; \(name)=value".utf8))
        let pairs = bytes.split(separator: UInt8(ascii: ";")).map { $0.drop { $0 == UInt8(ascii: " ") } }
        let given = pairs.filter { $0.starts(with: "\(name)=".utf8) }
        try promise(more[name] == (given.isEmpty ? "value" : nil), "\(given.count + 1) of a name")
        try promise(cookies[name] == nil || given.count == 1, "a cookie of \(given.count)")
        try promise(more.filter { $0.key != name } == cookies.filter { $0.key != name }, "one cookie changes others")
        return cookies.isEmpty ? .reject : .accept
    }
}

extension String {
    /// Byte for byte: `==` takes other spellings of the same characters for the same.
    func isSame(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}

extension [UInt8] {
    /// Foundation refuses numbers that are read as zero or infinite, and integers beyond 64 bits are read as it likes.
    fileprivate var hasHugeNumber: Bool {
        contains { $0 == UInt8(ascii: "e") || $0 == UInt8(ascii: "E") }
            || split { !(0x30...0x39).contains($0) }.contains { $0.count > 15 }
    }
}

extension JSONValue {
    /// A whole number is read by one as an integer, by the other as one with a fraction.
    fileprivate var asRead: JSONValue {
        switch self {
        case .integer(let number): .number(Double(number))
        case .array(let values): .array(values.map(\.asRead))
        case .object(let members): .object(members.mapValues(\.asRead))
        default: self
        }
    }

    fileprivate func isSame(as other: JSONValue) -> Bool {
        switch (self, other) {
        case (.string(let one), .string(let two)): one.isSame(as: two)
        case (.array(let one), .array(let two)): one.elementsEqual(two) { $0.isSame(as: $1) }
        case (.object(let one), .object(let two)):
            one.count == two.count
                && one.allSatisfy { name, value in two[name].map { value.isSame(as: $0) } ?? false }
        default: self == other
        }
    }
}
