import Secrets
import Settings
import Testing

@Suite("Settings")
struct SettingsTests {
    @Test("The origin comes from AUTH_REDIRECT_BASE alone")
    func origin() throws {
        let settings = try Settings.load(environment: [
            "AUTH_REDIRECT_BASE": "https://toolshed.example.com/api/auth", "TOOLSHED_CONFIG_DIR": "/nonexistent",
        ])
        #expect(settings.origin == "https://toolshed.example.com")
        #expect(settings.redirectBase == "https://toolshed.example.com/api/auth")
        #expect(!settings.developmentLoopback)
    }
}
