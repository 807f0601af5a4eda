import ToolshedClient

#if canImport(Glibc)
    import Glibc
#endif

/// A plugin that needs a token: shows the link once, waits for the click, and has it. docs/CLIENTS.md says how to run it.
@main struct Issues {
    static func main() async throws {
        let ctx = try Toolshed().person(getenv("TOOLSHED_USER").map { String(cString: $0) })
        do {
            let token = try await token(ctx)
            print("Got a token for \(token.account), good for: \(token.scopes.joined(separator: ", "))")
        } catch is Declined {
            print("You said no; nothing was done.")
            exit(1)
        }
    }

    private static func token(_ ctx: Person) async throws -> Token {
        do {
            return try await ctx.auth.getToken(
                "demo", scopes: ["repo"], reason: "List your open issues", tool: "Issues.swift")
        } catch let needed as AuthorizationRequired {
            print("Open \(needed.url)\nand compare the code: \(needed.matchCode)")
            fflush(nil)
            return try await needed.whenAuthorized()
        }
    }
}
