import Encoding
import MCP
import OAuth

@testable import Providers

// MARK: Calls to a provider's API

extension Fuzz {
    /// However often it is decoded, nobody may find a path in it that climbs, a slash that we did not see, or a
    /// credential in its query.
    static func path(_ bytes: [UInt8]) throws -> Verdict {
        guard let target = try? APITarget(parsing: bytes) else { return .reject }
        try promise(target.text.utf8.elementsEqual(bytes), "\(target.text) is not what was sent")
        try promise(bytes.first == UInt8(ascii: "/") && bytes.count <= APITarget.maximumLength, "no path")
        try promise(
            bytes.allSatisfy { $0 > 0x20 && $0 < 0x7F && !Array("\\#\"<>".utf8).contains($0) },
            "a byte that parsers read differently")
        let parts = bytes.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
        for segment in parts[0].dropFirst().split(separator: UInt8(ascii: "/")) {
            for reading in readings(segment) {
                let pieces = reading.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
                try promise(pieces.count == 1 || target.hasEncodedSlash, "\(target.text) has a slash within")
                for piece in pieces {
                    let name = piece.prefix { $0 != UInt8(ascii: ";") }
                    try promise(![".", ".."].contains { name.elementsEqual($0.utf8) }, "\(target.text) climbs")
                }
                try promise(!reading.contains { $0 < 0x20 || $0 == 0x7F || $0 == UInt8(ascii: "\\") }, "\(target.text)")
            }
        }
        guard parts.count == 2 else { return .accept }
        for field in parts[1].split(whereSeparator: { $0 == UInt8(ascii: "&") || $0 == UInt8(ascii: ";") }) {
            for reading in readings(field.prefix { $0 != UInt8(ascii: "=") }) {
                let name = reading.prefix { $0 != UInt8(ascii: "[") }.map {
                    (0x41...0x5A).contains($0) ? $0 | 0x20 : $0
                }
                let isRefused = ["access_token", "authorization", "_method"].contains { name.elementsEqual($0.utf8) }
                try promise(!isRefused, "\(target.text) carries \(String(decoding: name, as: UTF8.self))")
            }
        }
        return .accept
    }

    /// As it is and with its escapes taken out once, twice and so on.
    private static func readings(_ bytes: ArraySlice<UInt8>) -> [[UInt8]] {
        var readings = [Array(bytes)]
        while let last = readings.last {
            var next: [UInt8] = []
            var rest = last[...]
            while let byte = rest.popFirst() {
                let digits = rest.prefix(2).compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
                guard byte == UInt8(ascii: "%"), digits.count == 2 else {
                    next.append(byte)
                    continue
                }
                next.append(UInt8(digits[0] << 4 | digits[1]))
                rest = rest.dropFirst(2)
            }
            if next == last { break }
            readings.append(next)
        }
        return readings
    }

    /// A mutation is never taken for a query, nor one field for another: read a second time, byte by byte.
    static func graphql(_ bytes: [UInt8]) throws -> Verdict {
        guard let text = String(validating: bytes, as: UTF8.self), let call = GraphQLCall(document: text) else {
            return .reject
        }
        guard let document = GraphQLDocument(bytes) else { return .accept }
        let isMutation = document.kinds.contains("mutation")
        try promise(call.kind == (isMutation ? .mutation : .query), "\(document.kinds) are a \(call.kind)")
        if let field = call.field { try promise(document.roots == [field], "\(document.roots) are \(field)") }
        return .accept
    }
}

/// Operations of a GraphQL document (October 2021, §2.1), and the fields that they select.
private struct GraphQLDocument {
    private(set) var kinds: [String] = []
    private(set) var roots: [String] = []

    /// nil: no document, whatever else it is.
    init?(_ bytes: [UInt8]) {
        guard let tokens = Self.tokens(bytes[...]) else { return nil }
        var open: [String] = []
        var definition: String?
        for (index, token) in tokens.enumerated() {
            switch token {
            case "(", "{", "[":
                // Between definitions there are none of these: it is no document.
                if token == "[", open.isEmpty { return nil }
                if token == "{", open.isEmpty {
                    kinds.append(definition ?? "query")
                    definition = definition ?? "query"
                }
                open.append(token)
            case ")", "}", "]":
                guard open.popLast() == ["(", "{", "["][[")", "}", "]"].firstIndex(of: token)!] else { return nil }
                if open.isEmpty, token == "}" { definition = nil }
            default:
                if open.isEmpty { definition = definition ?? token }
                guard open == ["{"], definition != "fragment" else { continue }
                let before = index > 0 ? tokens[index - 1] : ""
                guard Self.isName(token) else {
                    // Between fields stand aliases, directives and spreads, and each of them wants a name.
                    guard [":", "@", "..."].contains(token), before != ":", before != "@" else { return nil }
                    guard token != ":" || Self.isName(before) else { return nil }
                    continue
                }
                if before == ":" { _ = roots.popLast() }
                if before != "@" { roots.append(token) }
            }
        }
        guard open.isEmpty, !kinds.isEmpty else { return nil }
    }

    private static func isName(_ token: String) -> Bool { token.first.map { $0.isLetter || $0 == "_" } ?? false }

    private static func tokens(_ bytes: ArraySlice<UInt8>) -> [String]? {
        var tokens: [String] = []
        var rest = bytes
        let quotes = Array("\"\"\"".utf8)
        while let byte = rest.first {
            switch byte {
            case UInt8(ascii: "#"): rest = rest.drop { $0 != 0x0A && $0 != 0x0D }
            case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: ","): rest.removeFirst()
            case UInt8(ascii: "\"") where rest.starts(with: quotes):
                rest = rest.dropFirst(3)
                while !rest.starts(with: quotes) {
                    guard !rest.isEmpty else { return nil }
                    rest = rest.dropFirst(rest.starts(with: [UInt8(ascii: "\\")] + quotes) ? 4 : 1)
                }
                rest = rest.dropFirst(3)
            case UInt8(ascii: "\""):
                rest.removeFirst()
                while let next = rest.first, next != UInt8(ascii: "\"") {
                    guard next != 0x0A, next != 0x0D else { return nil }
                    rest = rest.dropFirst(next == UInt8(ascii: "\\") ? 2 : 1)
                }
                guard rest.popFirst() != nil else { return nil }
            case UInt8(ascii: ".") where rest.starts(with: "...".utf8):
                tokens.append("...")
                rest = rest.dropFirst(3)
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"):
                let name = rest.prefix {
                    ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7A || $0 == 0x5F || (0x30...0x39 ~= $0)
                }
                tokens.append(String(decoding: name, as: UTF8.self))
                rest = rest.dropFirst(name.count)
            case _ where "!$&()+-.:=@[]{|}0123456789".utf8.contains(byte):
                tokens.append(String(decoding: [byte], as: UTF8.self))
                rest.removeFirst()
            default: return nil
            }
        }
        return tokens
    }
}

// MARK: Documents

extension Fuzz {
    static let builtIn: BuiltIn = {
        _ = heap
        do { return try BuiltIn.load() } catch { fatalError("the catalogue: \(error)") }
    }()

    /// A file of `providers.d`: whatever it says, codes, tokens and secrets go to https addresses.
    static func document(_ bytes: [UInt8]) throws -> Verdict {
        guard let text = String(validating: bytes, as: UTF8.self),
            let file = try? OperatorFile(parsing: text, file: "fuzz.yaml", mode: 0o600)
        else { return .reject }
        var warnings: [String] = []
        var verdict = Verdict.reject
        for entry in file.entries {
            guard let provider = try? entry.provider(over: builtIn, [:], &warnings) else { continue }
            verdict = .accept
            let loopback = ["http://127.", "http://localhost", "http://[::1]"]
            for (name, template) in provider.endpoints.all {
                guard let url = template, !url.hasPrefix("${") else { continue }
                let isLocal =
                    provider.allowsLoopbackHTTP && (loopback.contains { url.hasPrefix($0) } || url.contains("${"))
                try promise(
                    url.hasPrefix("https://") || isLocal || url.contains(".localhost"), "\(name) is at \(url)")
            }
            let hasEndpoints = provider.endpoints.authorize != nil && provider.endpoints.token != nil
            try promise(hasEndpoints || provider.issuer != nil || provider.keyRules != nil, "it leads nowhere")
        }
        return verdict
    }

    /// A JSON-RPC message: its id comes back as it was.
    static func message(_ bytes: [UInt8]) throws -> Verdict {
        guard let message = try? bytes.withUnsafeBytes({ try Message(parsing: $0) }) else { return .reject }
        guard case .request(let request) = message else { return .accept }
        try promise((1...128).contains(request.method.utf8.count), "a method of \(request.method.utf8.count) bytes")
        let answer = Response.result([:], to: request.id)
        let id = JSONValue(parsing: answer)?["id"]
        switch (request.id, id) {
        case (.text(let text), .string(let again)): try promise(text.isSame(as: again), "\(text) came back as \(again)")
        case (.number(let number), .integer(let again)): try promise(number == again, "\(number), \(again)")
        default: throw BrokenPromise(description: "\(request.id) came back as \(String(describing: id))")
        }
        return .accept
    }
}
