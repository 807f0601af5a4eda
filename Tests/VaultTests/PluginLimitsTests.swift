import Encoding
import OAuth
import Testing

@testable import Vault

@Suite("What narrows a plugin")
struct PluginLimitsTests {
    static let github = try! ProviderID(parsing: "github")
    static let acme = try! ProviderID(parsing: "acme/github")

    static func rule(_ methods: [String], _ path: String) -> CallRule? {
        CallRule(provider: github, methods: methods, path: path)
    }

    @Test("What is written into the row is read back as it was")
    func roundTrip() throws {
        let limits = PluginLimits(
            providers: [Self.github, Self.acme],
            ceilings: [Self.acme: ScopeSet(["repo", "read:user"]), Self.github: .empty],
            ratePerMinute: 60, calls: [try #require(Self.rule(["POST", "GET"], "/repos"))])
        #expect(try PluginLimits(stored: limits.text) == limits)
        #expect(try PluginLimits(stored: "").isEmpty)
        #expect(try PluginLimits(stored: "providers") == PluginLimits(providers: []))
    }

    @Test(
        "A row that says something else is damaged, and limits nobody less",
        arguments: [
            "rate", "rate many", "rate 0", "everything", "call github GET", "call github get /x", "providers GitHub",
            "scopes",
        ])
    func damaged(text: String) {
        #expect(throws: VaultError.self) { try PluginLimits(stored: text) }
    }

    @Test(
        "A rule means a path and what is below it",
        arguments: [
            ("GET", "/repos", true), ("GET", "/repos/octo/hello", true), ("GET", "/repos?page=2", true),
            ("GET", "/repos/octo?x=/", true), ("GET", "/repository", false), ("GET", "/repos-of-others", false),
            ("GET", "/", false), ("POST", "/repos", false), ("get", "/repos", false), ("GET", "/repos%2Focto", false),
            ("GET", "/repos%2focto", false), ("GET", "/x?/repos", false), ("GET", "", false),
        ])
    func paths(method: String, target: String, permitted: Bool) throws {
        let limits = PluginLimits(calls: [try #require(Self.rule(["GET"], "/repos"))])
        #expect(limits.permits(method, target, at: Self.github) == permitted)
        #expect(limits.permits(method, target, at: Self.acme), "no rule, no limit")
    }

    @Test("What can hold many operations is meant by a rule of its own only")
    func bundles() throws {
        let limits = PluginLimits(calls: [
            try #require(Self.rule(["POST"], "/")), try #require(Self.rule(["POST"], "/graphql")),
        ])
        #expect(limits.permits("POST", "/graphql", isBundle: true, at: Self.github))
        #expect(!limits.permits("POST", "/batch", isBundle: true, at: Self.github))
        #expect(limits.permits("POST", "/batch", isBundle: false, at: Self.github))
    }

    @Test(
        "A path that could be read in two ways is no rule",
        arguments: [
            "", "repos", "/a/../b", "/./a", "/..", "/a//b", "/a b", "/a?b", "/a#b", "/a\\b", "/a%2Fb", "/é",
            "/" + String(repeating: "a", count: 512),
        ])
    func unclear(path: String) {
        #expect(Self.rule(["GET"], path) == nil)
    }

    @Test(
        "A method is one in upper case",
        arguments: [[], ["get"], ["GET", ""], ["G ET"], [String(repeating: "A", count: 17)]])
    func methods(list: [String]) {
        #expect(Self.rule(list, "/") == nil)
    }
}

@Suite("Names that could be mistaken for each other")
struct PluginNameTests {
    @Test(
        "One fold for all that looks the same",
        arguments: [
            ("Toolshed", "Тооlshеd"), ("Toolshed", "TOOLSHED"), ("Toolshed", "𝕿𝖔𝖔𝖑𝖘𝖍𝖊𝖉"),
            ("Toolshed", "T o o l-s_h.e d"),
            ("Linear", "ⅼinear"), ("Linear", "1inear"), ("Linear", "Iinear"), ("Google", "G00gle"), ("Slack", "Ѕlасk"),
            ("modern", "rnodem"), ("web", "vveb"), ("HTTP", "ΗΤΤΡ"), ("cafe", "café"), ("Bot", "Βot"), ("bot", "вot"),
            // Letters that are drawn as nothing.
            ("GitHub", "GitHub\u{3164}"), ("Slack", "\u{3164}Slack"), ("GitHub", "Git\u{115F}Hub"),
            ("GitHub", "GitHub\u{FFA0}"),
            ("GitHub", "Git\u{17B5}Hub"), ("GitHub", "GitHub\u{2800}"), ("GitHub", "GitHub\u{FFFC}"),
            ("GitHub", "Git\u{34F}Hub"),
            // Decoration and badges.
            ("GitHub", "“GitHub”"), ("GitHub", "(GitHub)"), ("GitHub", "«GitHub»"), ("Slack", "[Slack]"),
            ("GitHub", "GitHub`"),
            ("GitHub", "GitHub®"), ("GitHub", "GitHub™"), ("GitHub", "GitHub ✓"), ("GitHub", "✅ GitHub ☑️"),
            ("GitHub", "★GitHub★"),
            ("GitHub", "GitHub+"), ("GitHub", "~GitHub~"), ("GitHub", "GitHub 🔒"), ("GitHub", "GitHub\u{A0}"),
            // Marks of other scripts beside Latin letters, and letters that are one line.
            ("GitHub", "GitHub\u{903}"), ("GitHub", "GitHubʹ"), ("GitHub", "GitHubǃ"), ("GitHub", "GitHubー"),
            ("GitHub", "一GitHub"),
            // Letters in boxes.
            ("bot", "🅱ot"), ("GitHub", "🇬itHub"), ("bot 1", "bot ❶"), ("Google", "G⓿⓿gle"),
        ])
    func same(one: String, other: String) {
        #expect(PluginName.folded(one) == PluginName.folded(other))
    }

    @Test(
        "Names that are different stay different",
        arguments: [
            ("Plugin 2", "Plugin 3"), ("机器人", "助手"), ("бот", "кот"), ("Reader", "Writer"), ("サーバー", "サバ"),
            ("第一機器", "第二機器"), ("मेल", "माल"), ("그림", "글"), ("Ⓒorp", "orp"), ("Bot ٣", "Bot ٤"),
        ])
    func different(one: String, other: String) {
        #expect(PluginName.folded(one) != PluginName.folded(other))
    }

    @Test(
        "What is not shown, or says nothing, is no name",
        arguments: [
            "", "…", "\u{202E}x", "a\u{7}", "\u{200D}", "\u{E000}", String(repeating: "x", count: 81), "x\u{3164}",
            "\u{3164}",
            "a\u{2800}b", "a\u{FFFC}", "a\u{FE0F}", "🔧", "™",
        ])
    func unfit(name: String) {
        #expect(!PluginName.isFit(name))
    }

    @Test(
        "Other scripts and joiners are names",
        arguments: [
            "Issue reader", "机器人", "می\u{200C}خواهم", "Ёлка №2", "👩\u{200D}🔧 bot", "❤\u{FE0F} bot", "葛\u{E0100}城さん",
            "ガイド",
            "그림 도우미", "ตัวช่วย", "सहायक", "עוֹזֵר", "ᠮᠣᠩᠭᠣᠯ\u{180B}", "C++ (nightly)", "1\u{FE0F}\u{20E3} first", "ʻōlelo",
        ])
    func fit(name: String) {
        #expect(PluginName.isFit(name))
    }

    @Test("A sign that can be a letter is read both ways", arguments: ["GitHub|", "GitHubⓇ", "GitHubᵀᴹ", "🅶itHub"])
    func readings(name: String) {
        #expect(PluginName.readings(of: name).contains(PluginName.folded("GitHub")))
    }

    @Test(
        "Another person's own plugin neither takes a name nor tells that it is taken, and gives way to the operator's")
    func others() throws {
        let vault = try TestVault()
        let (first, second) = (try vault.person("Ada").session.person, try vault.person("Bob").session.person)
        func add(_ name: String, _ owner: PersonID?) throws -> PluginID {
            try vault.store.write { try $0.addPlugin(name: name, owner: owner, at: vault.now).id }
        }
        func name(_ id: PluginID) throws -> String? { try vault.store.read { try $0.plugin(id)?.name } }
        let (theirs, mine) = (try add("Payroll", first), try add("payroll", second))
        let numbered = try add("PAYROLL (yours)", second)
        #expect(throws: VaultError.self) { try add("Pay roll", first) }
        #expect(Set(try vault.store.read { try $0.ownPlugins(named: "Payroll") }.map(\.id)) == [theirs, mine])
        let operators = try add("Payroll", nil)
        #expect(try name(operators) == "Payroll")
        #expect(try name(theirs) == "Payroll (yours)")
        #expect(try name(mine) == "payroll (yours 2)")
        #expect(try name(numbered) == "PAYROLL (yours)")
        for owner in [first, nil] { #expect(throws: VaultError.self) { try add("Payroll™", owner) } }
        #expect(try vault.store.read { try $0.ownPlugins(of: second) } == 2)
    }
}

@Suite("Another key for a plugin")
struct PluginKeyTests {
    @Test("Both keys open the same half until the old one ends, and then the new one does")
    func change() throws {
        let vault = try TestVault()
        let (session, _) = try vault.person()
        let (plugin, old) = try vault.plugin()
        let grant = try vault.grant()
        try vault.store.write { rows in
            let id = try rows.insert(grant, into: .open(session.vault), of: session.person, status: .active)
            let row = try #require(try rows.connection(id))
            let key = try rows.openKey(of: row, with: session.vault)
            try rows.approve(plugin.id, for: row, key: key, scopes: ScopeSet(["repo"]), at: vault.now)
        }
        let new = try vault.store.write {
            try $0.replaceKey(of: plugin, oldEndsAt: vault.now.adding(seconds: 60), at: vault.now)
        }
        #expect(try vault.vend(old, person: session.person) == ["gho_one"])
        #expect(try vault.vend(new, person: session.person) == ["gho_one"])
        #expect(throws: VaultError.self) {
            try vault.store.write { try $0.replaceKey(of: plugin, oldEndsAt: vault.now, at: vault.now) }
        }
        let oldToken = try vault.token(old)
        let newToken = try vault.token(new)
        let before = try vault.store.read { try $0.openPlugin(oldToken, at: vault.now.adding(seconds: 59)) }
        let after = try vault.store.read { try $0.openPlugin(oldToken, at: vault.now.adding(seconds: 61)) }
        let newer = try vault.store.read { try $0.openPlugin(newToken, at: vault.now.adding(seconds: 61)) }
        #expect(before != nil && after == nil && newer != nil)
        #expect(try vault.store.write { try $0.endReplacedKeys(of: plugin.id) } == 1)
        let keys = try vault.store.read { try $0.keys(of: plugin.id, at: vault.now) }
        #expect(keys.map(\.endsAt) == [nil])
    }
}
