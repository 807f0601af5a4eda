import Foundation
import Testing

@testable import Providers

@Suite("docs/PROVIDERS.md")
struct DocumentationTests {
    private let text: String

    init() throws {
        _ = testHeap
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        text = try String(contentsOf: root.appending(path: "docs/PROVIDERS.md"), encoding: .utf8)
    }

    @Test("Every example file is one that is accepted")
    func examples() throws {
        let blocks = text.components(separatedBy: "```yaml\n").dropFirst().compactMap {
            $0.components(separatedBy: "```").first
        }
        #expect(blocks.count >= 4)
        for block in blocks {
            let file = try OperatorFile(parsing: block, file: "PROVIDERS.md", mode: 0o600)
            #expect(!file.entries.isEmpty)
            do {
                _ = try Catalogue(builtIn.get(), [file], [:])
            } catch {
                // An example may name a secret's file, which is not on this machine.
                guard error.field.hasSuffix(".client.secret_file") else { throw error }
            }
        }
    }

    @Test("Every entry of the catalogue that is not built in is listed")
    func entries() throws {
        for name in try builtIn.get().names { #expect(text.contains("`\(name)`") || name == "slack-user", "\(name)") }
    }

    @Test("Every field of an entry is explained")
    func fields() throws {
        let file = try OperatorFile(
            parsing: "version: 1\nproviders: { corp: { issuer: 'https://a.example', nonsense: 1 } }", file: "f",
            mode: 0o600)
        let error = #expect(throws: CatalogueError.self) { try Catalogue(builtIn.get(), [file], [:]) }
        guard case .unknownField(let known)? = error?.problem else {
            Issue.record("another error")
            return
        }
        let unread = ["api_base_from", "callback_without_state", "permissions", "redirect_rules", "required_defaults"]
        let unexplained = known.filter {
            !unread.contains($0) && !text.contains("`\($0)`") && !text.contains("`\($0).")
        }
        #expect(unexplained == [])
    }
}
