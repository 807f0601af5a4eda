// A plugin that needs a token: shows the link once, waits for the click, and has it. docs/CLIENTS.md says how to run it.
import { AuthorizationRequired, Declined, Toolshed } from "../javascript/toolshed.js";

const ctx = new Toolshed().person(process.env.TOOLSHED_USER);

async function token() {
    try {
        return await ctx.auth.getToken("demo", { scopes: ["repo"], reason: "List your open issues", tool: "issues.mjs" });
    } catch (needed) {
        if (!(needed instanceof AuthorizationRequired)) throw needed;
        console.log(`Open ${needed.url}\nand compare the code: ${needed.matchCode}`);
        return await needed.whenAuthorized();
    }
}

try {
    const { account, scopes } = await token();
    console.log(`Got a token for ${account}, good for: ${scopes.join(", ")}`);
} catch (refusal) {
    if (!(refusal instanceof Declined)) throw refusal;
    console.log("You said no; nothing was done.");
    process.exitCode = 1;
}
