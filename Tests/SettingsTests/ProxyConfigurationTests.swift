import Testing

@testable import Settings

@Suite("What nginx is told of a provider")
struct ProxyConfigurationTests {
    @Test("An address is taken apart as nginx needs it")
    func address() throws {
        let github = try #require(APIAddress("https://api.github.com"))
        #expect(
            github.host == "api.github.com" && github.authority == "api.github.com" && github.isTLS && !github.isNumeric
        )
        let double = try #require(APIAddress("http://127.0.0.1:8000/github/api"))
        #expect(double.host == "127.0.0.1" && double.authority == "127.0.0.1:8000" && !double.isTLS && double.isNumeric)
        let six = try #require(APIAddress("https://[2001:db8::1]:443/v1"))
        #expect(six.host == "[2001:db8::1]" && six.authority == "[2001:db8::1]:443" && six.isNumeric)
    }

    @Test(
        "What could end a value or begin a variable is in no file",
        arguments: [
            "https://a.example/\"", "https://a.example/$host", "https://a.example/;", "https://a.example/{",
            "https://a b/",
            "https://", "a.example", "https://a.example/\n", "https://a.example/'", "https://a.example/#x",
        ])
    func refused(_ url: String) { #expect(APIAddress(url) == nil) }

    @Test("Name servers are those of resolv.conf, as nginx writes them")
    func resolvers() {
        let text = """
            # nameserver 9.9.9.9
            search example.com
            nameserver 192.0.2.1
            nameserver\t2001:db8::53
            nameserver fe80::1%eth0
            nameserver evil; }
            options edns0
            """
        #expect(nameServers(of: text) == ["192.0.2.1", "[2001:db8::53]"])
        #expect(nameServers(of: "") == [])
    }
}
