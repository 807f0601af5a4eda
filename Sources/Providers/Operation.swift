import OAuth

/// One thing that a provider's API can do, with the scopes it needs.
public struct Operation: Sendable {
    /// Within its provider: `issues.list`.
    public let name: String
    public let method: APIMethod
    public let path: PathPattern
    /// One line: what it does.
    public let text: String
    /// What is asked when nothing that is granted will do.
    public let scopes: ScopeSet
    /// Other sets with which the API answers as well.
    public let alternatives: [ScopeSet]
    /// What the document in the body must be, where every operation has the same path.
    public let graphQL: GraphQLCall?
    /// Words on query parameters and on the body, for whoever calls.
    public let query: String?
    public let body: String?
    public let documentation: String?
    public let basis: Basis

    init(reading member: SourceValue.Member, path: String) throws(CatalogueError) {
        var fields = try Fields(member.value, path: "\(path).\(member.name)")
        name = member.name
        let call = try fields.text("call", expected: "METHOD /PATH")
        let parts = call.split(separator: " ").map(String.init)
        guard parts.count == 2, let method = APIMethod(rawValue: parts[0]), let pattern = PathPattern(parts[1]) else {
            throw fields.wrong(
                "call", expected: "METHOD /PATH with {names} for what varies", found: "'\(call.prefix(80))'")
        }
        self.method = method
        self.path = pattern
        text = try fields.text("text", expected: "one line that says what it does")
        scopes = ScopeSet(try fields.texts("scopes") ?? [])
        alternatives = try fields.texts("or")?.map { ScopeSet($0.split(separator: " ").map(String.init)) } ?? []
        let document = try fields.text("graphql")
        graphQL = document.flatMap { GraphQLCall(parsing: $0) }
        if let document, graphQL == nil {
            throw fields.wrong(
                "graphql", expected: "query or mutation, and the name of a root field",
                found: "'\(document.prefix(80))'")
        }
        query = try fields.text("query")
        body = try fields.text("body")
        documentation = try fields.text("docs")
        basis = try fields.choice("basis", Basis.self) ?? .memory
        try fields.finish()
    }

    /// Sets of scopes, each of which is enough; the first is what a person is asked for.
    public var sufficient: [ScopeSet] { [scopes] + alternatives }
}

/// A path in which `{name}` stands for one segment, and `{name+}` at the end for one or more.
public struct PathPattern: Hashable, Sendable {
    enum Part: Hashable {
        case literal(String)
        case one(String)
        case rest(String)
    }

    public let text: String
    let parts: [Part]

    init?(_ text: String) {
        guard text.hasPrefix("/") else { return nil }
        var parts: [Part] = []
        let segments = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        for (index, segment) in segments.enumerated() {
            if segment.hasPrefix("{"), segment.hasSuffix("}") {
                let name = segment.dropFirst().dropLast()
                if name.hasSuffix("+") {
                    guard index == segments.count - 1 else { return nil }
                    parts.append(.rest(String(name.dropLast())))
                } else {
                    parts.append(.one(String(name)))
                }
            } else {
                guard !segment.contains("{"), !segment.isEmpty else { return nil }
                parts.append(.literal(String(segment)))
            }
        }
        (self.text, self.parts) = (text, parts)
    }

    public var parameters: [String] {
        parts.compactMap { part in
            switch part {
            case .literal: nil
            case .one(let name), .rest(let name): name
            }
        }
    }

    /// How many segments are as written; `nil`: it does not match.
    func literals(in segments: [Substring]) -> Int? {
        var count = 0
        for (index, part) in parts.enumerated() {
            guard index < segments.count, !segments[index].isEmpty else { return nil }
            switch part {
            case .literal(let text):
                guard segments[index] == text else { return nil }
                count += 1
            case .one: break
            case .rest: return count
            }
        }
        return segments.count == parts.count ? count : nil
    }
}

extension Provider {
    static func operations(_ fields: inout Fields) throws(CatalogueError) -> [Operation] {
        var operations: [Operation] = []
        for member in try fields.members("operations") {
            operations.append(try Operation(reading: member, path: fields.field("operations")))
        }
        return operations
    }

    /// The operation behind a call: of those that match, the one with the most written out. HEAD is as GET. Where paths
    /// do not tell (GraphQL), the body has to.
    public func operation(_ method: APIMethod, _ target: APITarget, _ document: GraphQLCall? = nil) -> Operation? {
        let segments = target.path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        let method = method == .head ? APIMethod.get : method
        var best: (operation: Operation, score: Int)?
        for operation in operations where operation.method == method {
            guard var score = operation.path.literals(in: segments).map({ $0 * 2 }) else { continue }
            if let wanted = operation.graphQL {
                guard let document, wanted.kind == document.kind, wanted.field.map({ $0 == document.field }) ?? true
                else { continue }
                if wanted.field != nil { score += 1 }
            }
            if score > best?.score ?? -1 { best = (operation, score) }
        }
        return best?.operation
    }

    /// An address of one operation in the whole catalogue.
    public func operationID(_ operation: Operation) -> String { "\(id.json):\(operation.name)" }
}
