import Encoding
import Foundation
import OAuth
import ProviderHTTP
import Providers
import Secrets
import Testing

/// The catalogue's calls against the double, over the network: what one side writes the other must read.
@Suite("The catalogue and the provider double speak the same language", .serialized)
struct FamilyTests {
    static let families = ["github", "google", "slack", "linear", "corp", "demo"]
    static let callback = "https://localhost:8443/api/auth/x/callback"
    // RFC 7636 appendix B.
    static let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    static let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

    @Test(
        "A code becomes tokens for the default scopes, with an account, and nothing to complain of", arguments: families
    )
    func connects(family: String) async throws {
        let fixture = try await Fixture(family)
        let tokens = try await fixture.connect()
        #expect(fixture.provider.missing(from: tokens.scopes, for: fixture.provider.defaultScopes).isEmpty)
        #expect(try await fixture.isLive(tokens.accessToken))
        let account = try await fixture.identity(tokens)
        #expect(account?.label.lowercased().contains("octo") == true)
        #expect(try await fixture.complaints() == [])
    }

    @Test("Another person's consent is another account", arguments: families)
    func accounts(family: String) async throws {
        let fixture = try await Fixture(family)
        let octo = try await fixture.identity(fixture.connect())
        let mallory = try await fixture.identity(fixture.connect(account: "mallory"))
        #expect(octo != nil && mallory != nil && octo?.id != mallory?.id)
    }

    @Test("A refresh brings a live token and keeps the scopes", arguments: families)
    func refreshes(family: String) async throws {
        let fixture = try await Fixture(family)
        if family == "slack" { try await fixture.set(#""rotation": true"#) }
        if family == "github" { try await fixture.set(#""expiring": true"#) }
        let first = try await fixture.connect()
        let second = try await fixture.refresh(first)
        #expect(second.scopes == first.scopes)
        #expect(try await fixture.isLive(second.accessToken))
        #expect((second.refreshToken == nil) == (family == "google"))
        #expect(try await fixture.complaints() == [])
    }

    @Test("A code is good once, and a dead refresh token asks for the person", arguments: families)
    func refusals(family: String) async throws {
        let fixture = try await Fixture(family)
        if family == "slack" { try await fixture.set(#""rotation": true"#) }
        if family == "github" { try await fixture.set(#""expiring": true"#) }
        let code = try await fixture.code()
        let tokens = try await fixture.tokens(fixture.exchange(code))
        guard case .refused(_, class: .replay) = try await fixture.exchange(code) else {
            Issue.record("the second use of a code was not a replay")
            return
        }
        try await fixture.set(#""forget_refresh": true"#)
        guard case .refused(_, class: .reauthorize) = try await fixture.renew(tokens) else {
            Issue.record("a forgotten refresh token did not ask for the person")
            return
        }
    }

    @Test("Private addresses are refused unless the operator's file permits them", arguments: [true, false])
    func privateAddresses(permitted: Bool) async throws {
        let flag = permitted ? "\n    allow_private_addresses: true" : ""
        let yaml = "version: 1\nproviders:\n  inside:\n    issuer: https://10.255.255.1\(flag)\n"
        let provider = try catalogued("inside", Data(yaml.utf8))
        let loop = try LoopThread()
        for call in provider.discoveryCalls() {
            let outcome = await loop.send(call, deadlineMilliseconds: 100)
            guard case .failure(.notSent(let reason)) = outcome else {
                Issue.record("sent to an address where nothing is")
                return
            }
            #expect((reason == "the address is not permitted") == !permitted)
        }
    }

    @Test("Revoking ends the token, where it is switched on", arguments: families)
    func revokes(family: String) async throws {
        let fixture = try await Fixture(family)
        let tokens = try await fixture.connect()
        let call = try fixture.provider.revocationCall(
            accessToken: tokens.accessToken, refreshToken: tokens.refreshToken)
        let offByDefault = family == "github" || family == "slack"
        #expect((call == nil) == offByDefault)
        guard let call else { return }
        #expect(try await fixture.provider.parseRevocation(fixture.loop.send(call).get()) == .revoked)
        #expect(try await !fixture.isLive(tokens.accessToken))
        #expect(try await fixture.complaints() == [])
    }
}

/// The provider of that name, as a service with this operator's file has it.
private func catalogued(_ bridge: String, _ yaml: Data) throws -> Provider {
    let folder = FileManager.default.temporaryDirectory.appending(path: "wire-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appending(path: "doubles.yaml").path
    #expect(FileManager.default.createFile(atPath: file, contents: yaml, attributes: [.posixPermissions: 0o600]))
    let catalogue = try Catalogue.load(environment: [:], providersFolder: folder.path)
    return try #require(try catalogue[ProviderID(bridge: bridge)])
}

/// The double as at its start, a loop, and one provider of the catalogue pointed at the double.
private struct Fixture {
    /// One for all tests of the suite, which therefore run one after the other.
    private static let shared = Result { try ProviderDouble() }

    let double: ProviderDouble
    let loop: LoopThread
    let family: String
    let provider: Provider

    init(_ bridge: String) async throws {
        double = try Self.shared.get()
        loop = try LoopThread()
        let _: Ignored = try await loop.control(double, "reset", "{}")
        family = bridge == "corp" ? "generic" : bridge
        try SecureHeap.start(bytes: 4 << 20)
        let yaml = try double.operatorFile(demo: bridge == "demo")
        var provider = try catalogued(bridge, yaml)
        if provider.needsDiscovery {
            for call in provider.discoveryCalls() {
                guard let reply = try? await loop.send(call).get(), reply.status == 200 else { continue }
                provider = try provider.applying(metadata: reply)
                break
            }
        }
        self.provider = provider
    }

    func set(_ settings: String) async throws {
        let _: Ignored = try await loop.control(double, "set", #"{"family": "\#(family)", \#(settings)}"#)
    }

    func complaints() async throws -> [String] {
        struct Complaints: Decodable {
            struct Complaint: Decodable { let rule: String }
            let complaints: [Complaint]
        }
        let found: Complaints = try await loop.control(double, "complaints")
        return found.complaints.map(\.rule)
    }

    /// Lets a person approve the authorization request, and takes the code from the callback.
    func code(account: String = "octo") async throws -> String {
        let url = try provider.authorizationURL(
            state: "S", codeChallenge: provider.usesPKCE ? FamilyTests.challenge : nil,
            scopes: provider.requestScopes(asked: provider.defaultScopes, granted: .empty),
            redirectURI: FamilyTests.callback)
        // The page itself, for what it complains of.
        #expect(await loop.send(.loopback("GET", url)).kind == "200")
        struct Made: Decodable { let code: String }
        let request = try JSONEncoder().encode(["url": url, "account": account])
        let made: Made = try await loop.control(double, "code", String(decoding: request, as: UTF8.self))
        return made.code
    }

    func exchange(_ code: String) async throws -> TokenOutcome {
        let call = try provider.codeExchange(
            code: SecretText(code), verifier: provider.usesPKCE ? SecretText(FamilyTests.verifier) : nil,
            redirectURI: FamilyTests.callback)
        return provider.parseTokens(
            try await loop.send(call).get(), for: .authorizationCode, requested: provider.defaultScopes, at: .now())
    }

    func renew(_ tokens: CredentialTokens) async throws -> TokenOutcome {
        let call = try provider.refreshCall(#require(tokens.refreshToken))
        return provider.parseTokens(try await loop.send(call).get(), requested: tokens.scopes, at: .now())
    }

    func tokens(_ outcome: TokenOutcome) throws -> CredentialTokens {
        guard case .tokens(let tokens) = outcome else {
            Issue.record("no tokens: \(outcome)")
            throw CancellationError()
        }
        return tokens
    }

    func connect(account: String = "octo") async throws -> CredentialTokens {
        try await tokens(exchange(code(account: account)))
    }

    func refresh(_ given: CredentialTokens) async throws -> CredentialTokens {
        try await tokens(renew(given))
    }

    func isLive(_ token: SecretText) async throws -> Bool {
        let bearer = try token.withString { try SecretText("Bearer \($0)") }
        let call = ProviderCall.loopback(
            "GET", double.url("/\(family)/api/whoami"), headers: [.init("Authorization", bearer)])
        return try await loop.send(call).get().status == 200
    }

    func identity(_ tokens: CredentialTokens) async throws -> AccountIdentity? {
        var index = 0
        while let call = try provider.identityCall(index, tokens: tokens) {
            if let reply = try? await loop.send(call).get(),
                let account = provider.parseIdentity(index, reply: reply, tokens: tokens)
            {
                return account
            }
            index += 1
        }
        return nil
    }
}
