import Testing

@testable import Encoding

@Suite struct JSONReaderTests {
    private func read<Value>(
        _ text: String, depth: Int = 16, _ body: (inout JSONReader) throws(JSONError) -> Value
    ) throws(JSONError) -> Value {
        try Array(text.utf8).withUnsafeBufferPointer { (buffer) throws(JSONError) in
            try JSONReader.value(UnsafeRawBufferPointer(buffer), depth: depth, body)
        }
    }

    @Test("Members come in order, unknown ones are skipped, duplicates are the caller's to refuse")
    func members() throws {
        var names: [String] = []
        var scopes: [String] = []
        var lifetime: Int64 = 0
        let text = #"{"a":{"deep":[1,{"x":null}]},"scopes":["repo","gist"],"minTTL":60,"a":"again"}"#
        try JSONReader.object(Array(text.utf8)) { (name, value) throws(JSONError) in
            names.append(name)
            switch name {
            case "scopes": scopes = try value.stringArray()
            case "minTTL": lifetime = try value.integer()
            default: break
            }
        }
        #expect(names == ["a", "scopes", "minTTL", "a"])
        #expect(scopes == ["repo", "gist"])
        #expect(lifetime == 60)
    }

    @Test("Marks without end are refused, escaped or not, and as many as any writing has are read")
    func marks() throws {
        for mark in ["\u{301}", "\u{316}", #"\u0301"#, #"\uD834\uDD67"#] {
            let (few, many) = (String(repeating: mark, count: 30), String(repeating: mark, count: 31))
            let read = try read("\"e\(few)\"") { (reader) throws(JSONError) in try reader.string() }
            #expect(read.unicodeScalars.count == 31)
            let twice = "[\"\(few)\",\"\(few)e\(few)\"]"
            #expect(try self.read(twice) { (reader) throws(JSONError) in try reader.stringArray() }.count == 2)
            #expect(throws: JSONError.tooManyMarks(at: 1)) {
                try self.read("\"e\(many)\"") { (reader) throws(JSONError) in try reader.string() }
            }
        }
    }

    @Test("A caller refuses a duplicate by throwing")
    func duplicate() {
        var seen: Set<String> = []
        #expect(throws: JSONError.duplicateMember("a")) {
            try JSONReader.object(Array(#"{"a":1,"a":2}"#.utf8)) { (name, _) throws(JSONError) in
                guard seen.insert(name).inserted else { throw .duplicateMember(name) }
            }
        }
    }

    @Test("A value of another kind is named by kind and place, not by content")
    func wrongKind() {
        #expect(throws: JSONError.wrongKind(expected: .string, found: .number, at: 5)) {
            try JSONReader.object(Array(#"{"a":12}"#.utf8)) { (_, value) throws(JSONError) in _ = try value.string() }
        }
    }

    @Test(
        "Integers are whole and fit 64 bits",
        arguments: [
            ("0", 0), ("-0", 0), ("9223372036854775807", .max), ("-9223372036854775808", .min),
            ("9223372036854775808", nil), ("1.0", nil), ("1e3", nil), ("99999999999999999999999999", nil),
        ] as [(String, Int64?)])
    func integers(text: String, value: Int64?) {
        #expect((try? read(text) { (reader) throws(JSONError) in try reader.integer() }) == value)
    }

    @Test("Numbers that a double cannot hold are out of range")
    func numbers() {
        #expect(throws: JSONError.numberOutOfRange(at: 0)) {
            try read("1e999") { (reader) throws(JSONError) in try reader.number() }
        }
        #expect((try? read("3600.0") { (reader) throws(JSONError) in try reader.number() }) == 3600)
    }

    @Test(
        "Escapes stand for their characters",
        arguments: [
            (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u0041\u00e9\u20AC""#, "Aé€"),
            (#""\ud83d\ude00x""#, "😀x"), (#""\u0000""#, "\0"), (#""a\u002Fb""#, "a/b"),
        ])
    func escapes(text: String, value: String) throws {
        #expect(try read(text) { (reader) throws(JSONError) in try reader.string() } == value)
        let bytes = try read(text) { (reader) throws(JSONError) in try reader.withString { Array($0) } }
        #expect(bytes == Array(value.utf8))
    }

    @Test("Half a surrogate pair stands for no character")
    func surrogates() {
        #expect(throws: JSONError.loneSurrogate(at: 1)) {
            try read(#""\ud83d""#) { (reader) throws(JSONError) in try reader.string() }
        }
    }

    @Test("Depth is counted open, not in total")
    func depth() {
        #expect(throws: JSONError.tooDeep(at: 2)) {
            try read("[[[]]]", depth: 2) { (reader) throws(JSONError) in try reader.skip() }
        }
        #expect(throws: Never.self) {
            try read("[[],[],[[]]]", depth: 3) { (reader) throws(JSONError) in try reader.skip() }
        }
    }

    @Test("Bytes behind the value are an error at their place")
    func trailing() {
        #expect(throws: JSONError.trailingBytes(at: 3)) {
            try read("{} x") { (reader) throws(JSONError) in try reader.skip() }
        }
    }
}

@Suite struct JSONWriterTests {
    @Test("Commas stand between values and nowhere else")
    func commas() {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("a")
        writer.integer(-12)
        writer.key("b")
        writer.beginArray()
        writer.bool(true)
        writer.null()
        writer.beginObject()
        writer.endObject()
        writer.strings(["x", "y"])
        writer.endArray()
        writer.key("c")
        writer.raw("[1,2]")
        writer.endObject()
        #expect(String(decoding: writer.bytes, as: UTF8.self) == #"{"a":-12,"b":[true,null,{},["x","y"]],"c":[1,2]}"#)
    }

    @Test("What RFC 8259 §7 says must be escaped is escaped, and nothing else")
    func escapes() {
        var writer = JSONWriter()
        writer.string("\"\\/\n\r\t\u{0}\u{1F}\u{7F}é😀\u{2028}")
        #expect(
            String(decoding: writer.bytes, as: UTF8.self)
                == #""\"\\/\n\r\t\u0000\u001f"# + "\u{7F}é😀\u{2028}\"")
    }

    @Test("Every 64-bit integer is written in full", arguments: [0, 7, -1, .max, .min, 10, -100] as [Int64])
    func integers(value: Int64) {
        var writer = JSONWriter()
        writer.integer(value)
        #expect(String(decoding: writer.bytes, as: UTF8.self) == "\(value)")
    }

    @Test("A wiped writer starts again")
    func wiped() {
        var writer = JSONWriter()
        writer.string("secret")
        writer.wipe()
        writer.bool(false)
        #expect(String(decoding: writer.bytes, as: UTF8.self) == "false")
    }
}
