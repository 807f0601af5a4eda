/// What the list of signed-in places calls a browser, so that a person can tell theirs apart: words of ours, chosen by
/// what the User-Agent claims. Nothing that a client wrote is kept.
enum BrowserName {
    static func of(userAgent: String?) -> String {
        let claims = userAgent ?? ""
        // Most claim to be several; the first that matches is the one that it is.
        func first(_ names: [(mark: String, name: String)]) -> String? {
            names.first { claims.contains($0.mark) }?.name
        }
        let browser = first([
            ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Firefox/", "Firefox"),
            ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
        ])
        let system = first([
            ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"),
            ("CrOS", "ChromeOS"), ("Mac OS X", "macOS"), ("Linux", "Linux"),
        ])
        guard let browser else { return "Browser" }
        return system.map { "\(browser) on \($0)" } ?? browser
    }
}
