import OAuth
import Testing

/// standards.md §2.6, as a table.
@Suite struct RedirectURITests {
    @Test(
        "Acceptable at registration",
        arguments: [
            "https://claude.ai/api/mcp/auth_callback", "https://app.example", "https://app.example/",
            "https://app.example?x=1",
            "https://app.example:8443/cb", "https://xn--bcher-kva.example/cb", "https://192.0.2.7/cb",
            "https://[2001:db8::1]/cb",
            "https://app.example/a%20b?c=d%26e", "https://APP.example/cb", "http://127.0.0.1/",
            "http://127.0.0.1:33418/",
            "http://127.0.0.1", "http://[::1]/callback", "http://[::1]:1/callback", "http://localhost/callback",
            "http://localhost:65535/cb?x", "cursor://anysphere.cursor-mcp/oauth/callback",
            "vscode://vendor.extension/auth",
            "vscode-insiders://x", "claude://callback", "com.example.app:/oauth", "com.example.app://host/oauth",
        ])
    func acceptable(text: String) {
        #expect(RedirectURI(registering: text)?.text == text)
    }

    @Test(
        "Refused at registration",
        arguments: [
            "", "https", "https:", "https:/", "https://", "https:///cb", "https://?x", "//app.example/cb", "/cb",
            "app.example/cb",
            "https://user@app.example/cb", "https://user:pw@app.example/cb", "https://app.example@evil.example/cb",
            "https://app.example/cb#x", "https://app.example/cb#", "https://*.example/cb", "https://app.*/cb",
            "https://app%2eexample/cb", "https://app.example:0/cb", "https://app.example:65536/cb",
            "https://app.example:/cb",
            "https://app.example:8x/cb", "https://app..example/cb", "https://-app.example/cb",
            "https://app.example-/cb",
            "https://app_x.example/cb", "https://app.example\\@evil.example/cb", "https://app.example/ cb",
            "https://app.example/\ncb",
            "https://bücher.example/cb", "https://app.example/<x>", "https://app.example/\"x", "https://[::1/cb",
            "https://[]/cb",
            "https://[gg::1]/cb", "HTTPS://app.example/cb", "http://app.example/cb", "http://127.0.0.2/cb",
            "http://127.1/cb",
            "http://0.0.0.0/cb", "http://[::]/cb", "http://localhost.example/cb", "http://localhost./cb",
            "http://LOCALHOST@x/cb",
            "http://user@127.0.0.1/cb", "http://127.0.0.1:99999/cb", "javascript:alert(1)", "JavaScript:alert(1)",
            "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://x/y", "about:blank",
            "view-source:https://x",
            "ws://localhost/x", "wss://app.example/x", "ftp://app.example/x", "mailto:a@example.org",
            "intent://x#Intent;end",
            "cursor://anysphere.cursor-mcp/oauth/other", "cursor://evil/oauth/callback", "myapp://callback", "x:y",
            "1a.b:/x",
            "com..app:/x", ".app:/x", "app.:/x", "com.example.app://user@host/x", "vscode://user@x/y",
        ])
    func refused(text: String) {
        #expect(RedirectURI(registering: text) == nil)
    }

    @Test("What is too long is refused")
    func length() {
        let start = "https://app.example/"
        let longest = start + String(repeating: "a", count: RedirectURI.maximumLength - start.count)
        #expect(RedirectURI(registering: longest) != nil)
        #expect(RedirectURI(registering: longest + "a") == nil)
    }

    @Test(
        "The registered one permits the asked one",
        arguments: [
            ("https://app.example/cb", "https://app.example/cb"), ("http://127.0.0.1/", "http://127.0.0.1:50000/"),
            ("http://127.0.0.1", "http://127.0.0.1:50000/"), ("http://127.0.0.1:50000/", "http://127.0.0.1"),
            ("http://127.0.0.1:33418/cb", "http://127.0.0.1:1/cb"),
            ("http://localhost/callback", "http://localhost:3118/callback"),
            ("http://[::1]/cb", "http://[::1]:8080/cb"), ("http://localhost/cb?a=b", "http://localhost:9/cb?a=b"),
            ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor://anysphere.cursor-mcp/oauth/callback"),
        ])
    func permits(registered: String, asked: String) throws {
        #expect(try #require(RedirectURI(registering: registered)).permits(asked))
    }

    @Test(
        "The registered one does not permit the asked one",
        arguments: [
            ("https://app.example/cb", "https://app.example/cb/"),
            ("https://app.example/cb", "https://app.example/cb?x"),
            ("https://app.example/cb", "https://app.example:443/cb"),
            ("https://app.example/cb", "https://APP.example/cb"),
            ("https://app.example/cb", "https://app.example/CB"),
            ("https://app.example/cb", "https://app.example/%63b"),
            ("https://app.example/cb", "https://app.example/cb#x"),
            ("https://app.example/cb", "https://app.example/x/../cb"),
            ("https://app.example:8443/cb", "https://app.example:8444/cb"),
            ("https://app.example/cb", "http://app.example/cb"),
            ("http://127.0.0.1/cb", "http://localhost/cb"), ("http://localhost/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1/cb", "http://[::1]/cb"), ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb/"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1/other"), ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb?x"),
            ("http://127.0.0.1/cb", "https://127.0.0.1/cb"), ("https://127.0.0.1/cb", "https://127.0.0.1:1/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb"),
            ("http://localhost/cb", "http://localhost:1/cb#x"), ("http://localhost/cb", ""),
            ("vscode://vendor.extension/auth", "vscode://vendor.extension/auth?x"),
            ("com.example.app:/oauth", "com.example.app:/oauth/"),
        ])
    func doesNotPermit(registered: String, asked: String) throws {
        #expect(try !#require(RedirectURI(registering: registered)).permits(asked))
    }

    @Test(
        "Parameters are added behind what is there",
        arguments: [
            ("https://a.example/cb", "https://a.example/cb?code=x"),
            ("https://a.example/cb?y=1", "https://a.example/cb?y=1&code=x"),
            ("https://a.example/cb?", "https://a.example/cb?code=x"),
            ("https://a.example/cb?y&", "https://a.example/cb?y&code=x"),
            ("https://a.example/cb?y?", "https://a.example/cb?y?&code=x"),
            ("com.example.app:/cb", "com.example.app:/cb?code=x"),
        ])
    func adds(text: String, expected: String) throws {
        #expect(try #require(RedirectURI(registering: text)).adding([("code", "x")], escape: { $0 }) == expected)
    }

    @Test(
        "A person is told the host, or the scheme",
        arguments: [
            ("https://APP.example:8443/cb", "app.example"), ("http://[::1]:7/cb", "[::1]"),
            ("vscode://vendor.extension/auth", "vscode://vendor.extension"),
            ("com.example.app:/oauth", "com.example.app:"),
        ])
    func destination(text: String, expected: String) throws {
        #expect(try #require(RedirectURI(registering: text)).destination == expected)
    }

    @Test(
        "One resource in several spellings (B-AUT-4)",
        arguments: [
            ("https://vault.example", "https://vault.example/"),
            ("https://VAULT.example/mcp", "https://vault.example/mcp"),
            ("HTTPS://vault.example:443/mcp", "https://vault.example/mcp"),
            ("http://localhost:80", "http://localhost/"),
        ])
    func sameResource(one: String, other: String) {
        let (left, right) = (ResourceIndicator(parsing: one), ResourceIndicator(parsing: other))
        #expect(left != nil && left == right)
    }

    @Test("Another code point for the same character is another address")
    func canonicallyEqual() throws {
        let registered = try #require(RedirectURI(registering: "https://app.example/cb?K=1;2"))
        #expect(registered.permits("https://app.example/cb?K=1;2"))
        #expect(!registered.permits("https://app.example/cb?\u{212A}=1;2"))
        #expect(!registered.permits("https://app.example/cb?K=1\u{37E}2"))
    }

    @Test(
        "Not the same resource, or none",
        arguments: [
            ("https://vault.example/mcp", "https://vault.example/mcp/"),
            ("https://vault.example/mcp", "https://vault.example/MCP"),
            ("https://vault.example", "https://vault.example:444"), ("https://vault.example", "http://vault.example"),
            ("https://vault.example/?a", "https://vault.example/"),
            ("https://vault.example", "https://vault.example#x"),
            ("https://vault.example", "vault.example"), ("https://vault.example", "https://user@vault.example"),
            ("https://vault.example", "https://vault.example:443:443"), ("https://vault.example", "https:///"),
            ("https://vault.example", "https://vault.example/ü"),
        ])
    func otherResource(one: String, other: String) {
        let (left, right) = (ResourceIndicator(parsing: one), ResourceIndicator(parsing: other))
        #expect(left != nil && left != right)
    }
}
