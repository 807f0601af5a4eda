import Encoding
import Glibc
import ToolshedClient

/// Why a command ends: one sentence, what may help on the line below, and an exit status for scripts.
struct Failure: Error {
    enum Status: Int32 {
        case refused = 1
        case personMustAct = 3
        case declined = 4
        case notLoggedIn = 5
        case unreachable = 6
        case usage = 64
        case configuration = 78
    }

    let status: Status
    let code: String
    let sentence: String
    var hint: String?
    var members: [(String, String)] = []

    init(
        _ status: Status, _ code: String, _ sentence: String, hint: String? = nil, members: [(String, String)] = []
    ) {
        (self.status, self.code, self.sentence, self.hint, self.members) = (status, code, sentence, hint, members)
    }

    init(_ error: any Error) {
        switch error {
        case let failure as Failure: self = failure
        case let error as ToolshedError: self.init(error)
        case let declined as Declined:
            self.init(
                .declined, "declined", "You said no.",
                hint: declined.until.map {
                    "It may be asked again after \($0), or with “Allow asking again” on /vault."
                })
        case let ended as RequestEnded:
            self.init(
                .personMustAct, ended.reason.rawValue,
                ended.reason == .failed ? "The provider refused." : "The link has ended without a decision.",
                hint: "Run the command again for a new link.")
        default: self.init(.refused, "failed", "This did not work (\(type(of: error))).")
        }
    }

    private init(_ error: ToolshedError) {
        switch error.error {
        case "invalid-token":
            self.init(
                .notLoggedIn, error.error, "You are no longer logged in here.", hint: "toolshed login")
        case "unreachable", "unavailable", "provider-unavailable", "refresh-in-progress", "audit-unavailable",
            "rate-limited":
            self.init(
                .unreachable, error.error, "The server cannot answer at the moment (\(error.detail)).",
                hint: "Nothing was lost; try again in a moment.")
        case "untrusted-certificate":
            self.init(
                .unreachable, error.error, "The server's certificate is not trusted here.",
                hint: "Set TOOLSHED_CA_FILE to the file with its authority.")
        case "not-configured": self.init(.usage, error.error, error.detail)
        case "account-choice":
            self.init(
                .refused, error.error, "Several accounts fit.",
                hint: "Add --account with one of: " + error.accounts.map(\.account).joined(separator: ", "))
        case "unknown-provider":
            self.init(
                .refused, error.error, "There is no such provider.", hint: "toolshed status --providers lists them.")
        default: self.init(.refused, error.error, error.detail.isEmpty ? "The server refused." : error.detail)
        }
    }

    func tell(json: Bool) -> Never {
        if json {
            var writer = JSONWriter()
            writer.beginObject()
            for (name, value) in [("error", code), ("detail", sentence)] + members {
                writer.key(name)
                writer.string(value)
            }
            if let hint {
                writer.key("hint")
                writer.string(hint)
            }
            writer.endObject()
            print(String(decoding: writer.bytes, as: UTF8.self))
        } else {
            complain("toolshed: \(sentence)")
            if let hint { complain("  \(hint)") }
        }
        exit(status.rawValue)
    }
}

/// To standard error, so that what a script reads stays clean. Other people's words come without control characters: a
/// terminal would obey them.
func complain(_ line: String) {
    let bytes = Array((shown(line) + "\n").utf8)
    _ = write(2, bytes, bytes.count)
}

func shown(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
}
