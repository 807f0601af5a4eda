import Glibc

/// How the last reload ended, in a file that `make reload` waits for: `ok GENERATION`, or the sentence that says why not.
public struct ReloadStatus: Sendable {
    private let path: String

    public init(runtimeDirectory: String) {
        path = runtimeDirectory + "/reload.status"
    }

    func write(_ outcome: Result<Int, Refusal>) {
        switch outcome {
        case .success(let generation): replace(with: "ok \(generation)\n")
        case .failure(let refusal):
            let line = refusal.sentence.split(whereSeparator: \.isNewline).joined(separator: " ")
            replace(with: line + "\n")
        }
    }

    /// A reader sees the old line or the new one, never a part.
    private func replace(with line: String) {
        let draft = path + ".new"
        let file = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { return }
        let bytes = Array(line.utf8)
        let written = Glibc.write(file, bytes, bytes.count)
        close(file)
        if written == bytes.count { rename(draft, path) }
    }
}

/// Why something is left as it was: one sentence for the operator.
public struct Refusal: Error, Sendable, Equatable {
    public let sentence: String
    public init(_ sentence: String) {
        self.sentence = sentence
    }
}
