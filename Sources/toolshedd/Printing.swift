import Encoding
import Foundation

/// What a command answers: JSON with `--json`, plain words otherwise.
func show(json: Bool, _ plain: @autoclosure () -> String, _ write: (inout JSONWriter) -> Void) {
    guard json else {
        let plain = plain()
        return print(plain, terminator: plain.hasSuffix("\n") ? "" : "\n")
    }
    var writer = JSONWriter()
    write(&writer)
    print(String(decoding: writer.bytes, as: UTF8.self))
}

/// What a command has to say besides its answer.
func complain(_ sentence: String) {
    FileHandle.standardError.write(Data("toolshedd: \(sentence)\n".utf8))
}
