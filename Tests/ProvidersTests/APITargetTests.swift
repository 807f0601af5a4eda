import OAuth
import Testing

@testable import Providers

@Suite("The target of an API call")
struct APITargetTests {
    private static func outcome(_ text: String) -> APITargetError? {
        do throws(APITargetError) {
            _ = try APITarget(parsing: text)
            return nil
        } catch {
            return error
        }
    }

    @Test(
        "What every parser reads alike passes byte for byte",
        arguments: [
            "/", "/user", "/user/", "/repos/octo/hello-world/issues?state=open&per_page=100", "/a.b/c..d/...e",
            "/a;v=1/b", "/gmail/v1/users/me/messages/18c%2Babc:trash", "/v1/people:batchGet", "/%e2%82%ac",
            "/repos/o/r/contents/docs/a%20b.md", "/x?q=a%2Fb%0Ac", "/x?q=..%2f..", "/x?q=%5c", "/x?a[]=1&a[]=2", "/x?",
            "/~user/.well-known/x", "/%7Euser", "/.hidden/file", "/a/b.c.", "/drive/v3/files?fields=files(id,name)",
            "/x?q=access_token", "/x?token=1", "/x?my_access_token=1", "/a:b@c/d", "/search?q=repo:octo/x+is:open",
            "/-._~!$&'()*+,;=:@", "/%E4%BD%A0", "/x?filter=name+eq+'a'",
        ])
    func passes(_ text: String) throws {
        let target = try APITarget(parsing: text)
        #expect(target.text == text)
        #expect(!target.hasEncodedSlash)
        #expect(text == target.path + (target.query.map { "?\($0)" } ?? ""))
    }

    @Test(
        "An encoded slash passes and is known",
        arguments: [
            "/a%2fb", "/a%2Fb", "/projects/group%2Fproject/issues", "/a%252fb", "/a%25252Fb", "/a%ef%bc%8fb", "/%2f",
        ])
    func encodedSlash(_ text: String) throws { #expect(try APITarget(parsing: text).hasEncodedSlash) }

    @Test(
        "Dot segments are refused in every spelling",
        arguments: [
            "/.", "/..", "/./a", "/../a", "/a/..", "/a/../b", "/a/./b", "/a/.", "/%2e", "/%2E%2e/a", "/.%2e/a",
            "/%2e./a",
            "/a/%2e%2e/b", "/%252e%252e/a", "/%25252e%25252e/a", "/.%252e/a", "/..;/a", "/..;x=1/a", "/%2e%2e;x/a",
            "/..%3b/a", "/..%3Bx/a", "/.../a", "/..../a", "/..%20/a", "/%20../a", "/..%2fa", "/a%2f..%2fb",
            "/a%2f%2e%2e%2fb", "/a%252f..%252fb", "/%ef%bc%8e%ef%bc%8e/a", "/%e2%80%a4%e2%80%a4/a", "/%e2%80%a5/a",
            "/%ef%b9%92./a", "/..%ef%bc%8fa", "/a/.%20", "/%2e%20/a", "/.%09/a", "/..%c2%a0/a", "/..?x=1",
            "/a/%2e%2e?x",
        ])
    func dots(_ text: String) {
        let error = Self.outcome(text)
        #expect(error == .dotSegment || error == .character, "\(text): \(String(describing: error))")
    }

    @Test(
        "Empty segments are refused, but for one slash at the end",
        arguments: ["//", "//a", "/a//b", "/a///", "/a//", "//?x", "///"])
    func empty(_ text: String) { #expect(Self.outcome(text) == .emptySegment) }

    @Test(
        "Backslashes and control characters are refused in every spelling",
        arguments: [
            "/a\\b", "/..\\a", "/a%5cb", "/a%5Cb", "/a%255cb", "/%ef%bc%bca", "/%00", "/a%00b", "/a%2500b", "/a%0ab",
            "/a%0d%0ab", "/a%7fb", "/a%c2%80", "/a%e2%80%a8b", "/a\nb", "/a\tb", "/a b", "/a\u{7f}", "/ä", "/a\"b",
            "/a<b>",
            "/a^b", "/a`b", "/a{b}", "/a|b", "/a#b", "/a?b#c", "/x?a\\b", "/x?a b", "/x?a%00", "/x?a\u{0}", "/%1f",
            "/a%09b",
            "/x?a|b", "/x?\"",
        ])
    func characters(_ text: String) { #expect(Self.outcome(text) == .character, "\(text)") }

    @Test(
        "Escapes are whole",
        arguments: ["/%", "/a%2", "/a%zz", "/%u002e%u002e/", "/a%2gb", "/x?a=%", "/x?%e", "/%%32e"])
    func escapes(_ text: String) { #expect(Self.outcome(text) == .escape, "\(text)") }

    @Test(
        "Overlong and broken UTF-8 is refused",
        arguments: ["/%c0%ae%c0%ae/a", "/%c0%af", "/%e0%80%af", "/%ff", "/%80", "/a%c3", "/%ed%a0%80", "/%25c0%25ae"])
    func notUnicode(_ text: String) { #expect(Self.outcome(text) == .notUnicode, "\(text)") }

    @Test(
        "It begins with a slash", arguments: ["", "a", "user", "?x", "https://evil.example/", "*", "%2fuser", "\\user"])
    func begins(_ text: String) { #expect(Self.outcome(text) == .notAPath) }

    @Test(
        "A credential or another method in the query is refused, whoever reads it",
        arguments: [
            "access_token=x", "a=1&access_token=x", "ACCESS_TOKEN=x", "%61ccess_token=x", "access%5Ftoken=x",
            "access%5ftoken=x", "access.token=x", "access+token=x", "+access_token=x", "access_token[]=x",
            "access_token%5B%5D=x", "a=1;access_token=x", "access_token", "%2561ccess_token=x", "oauth_token=x",
            "_method=DELETE", "x-http-method-override=PUT", "X-HTTP-Method=PUT", "$method=x", "%24httpMethod=DELETE",
            "access%2Etoken=x", "&&access_token=x", "access_token%20=x",
        ])
    func parameters(_ query: String) {
        guard case .parameter? = Self.outcome("/x?\(query)") else {
            Issue.record("\(query) passes")
            return
        }
    }

    @Test("It is at most 8,000 bytes long")
    func length() {
        #expect(Self.outcome("/" + String(repeating: "a", count: 7_999)) == nil)
        #expect(Self.outcome("/" + String(repeating: "a", count: 8_000)) == .tooLong)
    }

    @Test("No byte that is not printable ASCII passes, wherever it stands")
    func everyByte() {
        for byte in UInt8.min...UInt8.max where byte <= 0x20 || byte >= 0x7F {
            for place in [[UInt8(ascii: "/"), byte], Array("/a?b=".utf8) + [byte], Array("/a/".utf8) + [byte, 0x61]] {
                #expect(throws: APITargetError.self) { try APITarget(parsing: place) }
            }
        }
    }

    @Test("Paths where one request holds many are known in every spelling")
    func bundles() throws {
        let github = try provider("github")
        for path in [
            "/graphql", "/GraphQL", "/%67raphql", "/graphql/", "/graphql;x", "/graphql.json", "/batch/drive/v3",
            "/v1.0/$batch",
        ] {
            #expect(try github.bundles(APITarget(parsing: path).segments), "\(path)")
        }
        for path in ["/repos/octo/graphql-js", "/batches", "/user"] {
            #expect(try !github.bundles(APITarget(parsing: path).segments), "\(path)")
        }
    }

    /// One more parser: dots and slashes of whatever kind, after that many decodings.
    private func segments(_ text: String, decodings: Int) -> [String] {
        var bytes = Array(text.prefix { $0 != "?" }.utf8)
        for _ in 0..<decodings {
            var out: [UInt8] = []
            var index = 0
            while index < bytes.count {
                let digits = String(decoding: bytes[index...].dropFirst().prefix(2), as: UTF8.self)
                if bytes[index] == UInt8(ascii: "%"), digits.utf8.count == 2, let byte = UInt8(digits, radix: 16) {
                    out.append(byte)
                    index += 3
                } else {
                    out.append(bytes[index])
                    index += 1
                }
            }
            bytes = out
        }
        return String(decoding: bytes, as: UTF8.self).split(
            omittingEmptySubsequences: false, whereSeparator: { "/\\".contains($0) }
        ).map(String.init)
    }

    @Test(
        "Nothing that passes has a dot segment for a parser that decodes less or more, or takes backslashes for slashes"
    )
    func differential() {
        let pieces = [
            "/", ".", "..", "%2e", "%2E", "%252e", "%2f", "%2F", "%252f", "%5c", "\\", ";", "a", "%61", "%25", "%",
            "%20",
            "%00", "%c0%ae", "?", "#", "&access_token=1", "%ef%bc%8e", " ", "b=1", "//", "/./", "%0a", "~", "%2",
        ]
        var state: UInt64 = 0x5EED
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var passed = 0
        for _ in 0..<60_000 {
            let text = "/" + (0..<(1 + next(6))).map { _ in pieces[next(pieces.count)] }.joined()
            guard let target = try? APITarget(parsing: text) else { continue }
            passed += 1
            #expect(target.text == text)
            for decodings in 0...3 {
                let found = segments(text, decodings: decodings)
                #expect(!found.contains("."), "\(text) decoded \(decodings) times")
                #expect(!found.contains(".."), "\(text) decoded \(decodings) times")
                if !target.hasEncodedSlash {
                    #expect(found.count == segments(text, decodings: 0).count, "\(text) decoded \(decodings) times")
                }
            }
        }
        #expect(passed > 1_000, "\(passed)")
    }

    @Test("A mark behind a slash or a semicolon hides neither, nor the dots before it")
    func marks() throws {
        for mark in ["%CC%81", "%E2%80%8D", "%EF%B8%8F"] {
            #expect(Self.outcome("/a/..%3B\(mark)/b") == .dotSegment)
            #expect(Self.outcome("/a/..%2F\(mark)b") == .dotSegment)
            #expect(Self.outcome("/a/%2e%2e%252F\(mark)b") == .dotSegment)
            #expect(try APITarget(parsing: "/a%2F\(mark)b").hasEncodedSlash)
            #expect(Self.outcome("/a?access_token%5B\(mark)%5D=x") == .parameter("access_token"))
        }
    }
}
