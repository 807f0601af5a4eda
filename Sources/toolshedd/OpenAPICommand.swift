import ArgumentParser
import Foundation
import Providers

/// `toolshedd openapi FILE`: what `/api/openapi.json` serves. Run by `make install` and `make up`.
struct OpenAPICommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "openapi", abstract: "Print a YAML file as JSON.", shouldDisplay: false)

    @Argument(help: "docs/openapi.yaml")
    var file: String

    func run() throws {
        let json = try YAMLText.json(String(contentsOf: URL(fileURLWithPath: file), encoding: .utf8))
        FileHandle.standardOutput.write(Data(json + [UInt8(ascii: "\n")]))
    }
}
