import Glibc
import Providers

// What is permitted and unwise: nothing here keeps the service from starting.

extension Settings {
    static func warnings(_ base: RedirectBase, _ catalogue: Catalogue) -> [String] {
        var warnings: [String] = []
        let configured = catalogue.providers.values.filter(\.isConfigured).sorted { $0.id < $1.id }
        if configured.isEmpty { warnings.append("no provider is configured") }
        if base.text.hasPrefix("http:") {
            warnings.append("AUTH_REDIRECT_BASE is http: browsers send no secure cookie over it; for development only")
        }
        for provider in configured where provider.authorize.refusesLocalhost && base.host == "localhost" {
            warnings.append("\(provider.id): refuses redirect URIs on localhost; use 127.0.0.1")
        }
        if !base.isLoopback {
            for provider in configured where provider.allowsLoopbackHTTP {
                warnings.append("\(provider.id): allow_loopback_http on a host that is not a development host")
            }
        }
        return warnings
    }

    /// The default one need not be there; one that was named is meant.
    static func warnings(folder: String?) -> [String] {
        guard let folder, access(folder, F_OK) != 0 else { return [] }
        return ["TOOLSHED_CONFIG_DIR: there is no folder \(folder), so nothing is read from it"]
    }

    static func warnings(_ base: RedirectBase, _ tuning: Tuning) -> [String] {
        var warnings: [String] = []
        if case .anyone? = tuning.signIn.header?.newPeople {
            warnings.append("sign_in.header.new_people: anyone whom the web server names becomes a person here")
        }
        if tuning.signIn.idleDays > 90 || tuning.signIn.days > 180 {
            warnings.append("sign_in: a session that is stolen is good for months; idle_days and days shorten that")
        }
        if tuning.warmSeconds > 3600 {
            warnings.append("warm_seconds: keys stay in memory for more than an hour after a vend")
        }
        if tuning.audit.reserveBytes == 0 {
            warnings.append("audit_reserve_mb: 0 ends all vending the moment the disk is full")
        }
        if tuning.registrationsPerHour > 100_000, !base.isLoopback {
            warnings.append("registrations_per_hour: that many let anybody fill the database")
        }
        if tuning.process.failedAuthenticationsPerSecond == 0, !base.isLoopback {
            warnings.append("failed_authentications_per_second: 0 lets an address try keys as fast as it can")
        }
        if ["root", "0"].contains(tuning.peerUser), !base.isLoopback {
            warnings.append("peer_user: root; a web server's workers run as a user of their own")
        }
        return warnings
    }
}
