import Secrets

// What is fuzzed. A target takes any bytes, comes back, and throws where a parser broke a promise: libFuzzer feeds them
// (`make fuzz`, Driver.swift), and `swift test` replays Tests/Fixtures/corpus (ReplayTests.swift).

/// What the parser made of the bytes; a corpus has both, or its target is blind.
enum Verdict: String, Sendable {
    case accept, reject
}

/// Something that holds for every input did not.
struct BrokenPromise: Error, CustomStringConvertible {
    let description: String
}

func promise(
    _ holds: Bool, _ text: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) throws {
    guard holds else { throw BrokenPromise(description: "\(file):\(line): \(text())") }
}

/// By the names of their folders in the corpus.
enum FuzzTarget: String, CaseIterable, Sendable {
    case records, exchange, form, json, values, cookies
    case answer, callback, authorize, scopes, redirect
    case path, graphql, document, message
    case token, box, keys, passkey, idtoken

    /// Throws `BrokenPromise` only.
    func run(_ bytes: [UInt8]) throws -> Verdict {
        switch self {
        case .records: try Fuzz.records(bytes)
        case .exchange: try Fuzz.exchange(bytes)
        case .form: try Fuzz.form(bytes)
        case .json: try Fuzz.json(bytes)
        case .values: try Fuzz.values(bytes)
        case .cookies: try Fuzz.cookies(bytes)
        case .answer: try Fuzz.answer(bytes)
        case .callback: try Fuzz.callback(bytes)
        case .authorize: try Fuzz.authorize(bytes)
        case .scopes: try Fuzz.scopes(bytes)
        case .redirect: try Fuzz.redirect(bytes)
        case .path: try Fuzz.path(bytes)
        case .graphql: try Fuzz.graphql(bytes)
        case .document: try Fuzz.document(bytes)
        case .message: try Fuzz.message(bytes)
        case .token: try Fuzz.token(bytes)
        case .box: try Fuzz.box(bytes)
        case .keys: try Fuzz.keys(bytes)
        case .passkey: try Fuzz.passkey(bytes)
        case .idtoken: try Fuzz.idtoken(bytes)
        }
    }
}

/// The targets, by file as they belong together.
enum Fuzz {
    /// Tokens and keys live on it.
    static let heap: Void = {
        do { try SecureHeap.start(bytes: 1 << 20) } catch { fatalError("no locked memory: \(error)") }
    }()

    /// What the first input would otherwise be blamed for: the catalogue takes its time.
    static func prepare() {
        _ = (heap, providers, builtIn)
    }
}
