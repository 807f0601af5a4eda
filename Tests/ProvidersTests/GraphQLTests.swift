import Encoding
import OAuth
import Testing

@testable import Providers

@Suite("What a GraphQL document asks for")
struct GraphQLTests {
    private func call(_ document: String) -> String? {
        GraphQLCall(document: document).map { "\($0.kind.rawValue) \($0.field ?? "-")" }
    }

    @Test("Kind and root field")
    func kinds() {
        #expect(call("{ viewer { id name } }") == "query viewer")
        #expect(call("query { issues(first: 3, filter: { a: { eq: 1 } }) { nodes { id } } }") == "query issues")
        #expect(call("query Q($id: String! = \"}\") @x(y: {a: 1}) { issue(id: $id) { title } }") == "query issue")
        #expect(call("mutation { issueCreate(input: {title: \"mutation }\"}) { success } }") == "mutation issueCreate")
        #expect(call("mutation M { done: issueUpdate(id: 1) { success } }") == "mutation issueUpdate")
        #expect(call("{ a { id } b { id } }") == "query -")
        #expect(call("{ ...F } fragment F on Query { viewer { id } }") == "query -")
        #expect(call("fragment F on X { id } query { viewer { ...F } }") == "query viewer")
        #expect(call("# mutation\n{ viewer { id } }") == "query viewer")
        #expect(call("query { a(x: \"\"\"mutation { \"\"\") { id } }") == "query a")
        #expect(call("{ viewer @include(if: $x) { id } }") == "query viewer")
    }

    @Test("A mutation among several operations makes it one")
    func several() {
        #expect(call("query A { viewer { id } } mutation B { issueDelete(id: 1) { success } }") == "mutation -")
        #expect(call("query A { viewer { id } } query B { teams { id } }") == "query -")
    }

    @Test(
        "What is no document, or one of another kind, is not guessed",
        arguments: [
            "", "viewer", "{ a ", "{ a ( }", "subscription { x }", "}", "{{{", "type X { a: Int }",
        ])
    func none(_ document: String) { #expect(GraphQLCall(document: document) == nil) }

    @Test("The body decides which operation it is")
    func operation() throws {
        let linear = try provider("linear")
        let target = try APITarget(parsing: "/graphql")
        func found(_ body: String) -> String? {
            linear.operation(.post, target, GraphQLCall(body: Array(body.utf8)))?.name
        }
        #expect(found(#"{"query": "{ viewer { id } }"}"#) == "viewer")
        #expect(found(#"{"query": "{ cycles { id } }"}"#) == "query")
        #expect(
            found(#"{"query": "mutation { issueCreate(input: $i) { success } }", "variables": {"i": {}}}"#)
                == "issue.create")
        #expect(found(#"{"query": "mutation { issueArchive(id: 1) { success } }"}"#) == "mutation")
        #expect(found("[1]") == nil)
        #expect(linear.operation(.post, target)?.name == nil)
    }

    @Test("A mark behind a quote does not hide a mutation, nor does a line end of Unicode end a comment")
    func codePoints() {
        let hidden = GraphQLCall(document: "{ a(x: \"\u{301}\") } mutation { deleteAll } #\") }")
        #expect(hidden?.kind == .mutation)
        let comment = GraphQLCall(document: "{ a } # \u{2028} mutation { b }")
        #expect(comment?.kind == .query)
        #expect(comment?.field == "a")
    }
}
