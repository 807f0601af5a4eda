import Foundation
import Testing

/// docs/KEYS.md is what an independent program is written from, so it may not miss a label.
@Suite struct KeysDocumentTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    @Test("Every label in the sources stands in docs/KEYS.md, and every label there in the sources")
    func labels() throws {
        let document = try labels(
            in: String(contentsOf: Self.root.appendingPathComponent("docs/KEYS.md"), encoding: .utf8))
        var sources: Set<String> = []
        let folder = Self.root.appendingPathComponent("Sources")
        let files = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
        for case let file as URL in files where file.pathExtension == "swift" {
            sources.formUnion(try labels(in: String(contentsOf: file, encoding: .utf8)))
        }
        #expect(sources.count > 10)
        #expect(sources.subtracting(document).sorted() == [], "missing in docs/KEYS.md")
        #expect(document.subtracting(sources).sorted() == [], "in no source")
    }

    /// Whatever stands after `toolshed/v1/`, with a letter behind it: the page also speaks of `toolshed/v1/…` in general.
    private func labels(in text: String) throws -> Set<String> {
        Set(text.matches(of: /toolshed\/v1\/([a-z][a-z.\/-]*[a-z])/).map { String($0.output.1) })
    }
}
