// /vault: the page of control. Each part loads by itself, so that one that fails hides no other.
import { byId, call, clean, fill, say, show, start } from "/page.js";
import { showActivity } from "/vault-activity.js";
import { showClients } from "/vault-clients.js";
import { showConnections } from "/vault-connections.js";
import { showKeys, showSessions, takeNewKeys } from "/vault-holders.js";
import { offerEverything } from "/vault-everything.js";
import { showPlugins, takeNewPlugins } from "/vault-plugins.js";
import { lock, showVault, takeAway } from "/vault-keys.js";
import { showLosses } from "/vault-losses.js";
import { showProviders } from "/vault-providers.js";
import { showRequests } from "/vault-requests.js";
import { showPasskeys, takeNewPasskeys } from "/vault-passkeys.js";
import { ask } from "/question.js";

async function open() {
    let me;
    try {
        me = await call("GET", "/api/me");
    } catch (problem) {
        if (problem.status === 401) return show("sign-in");
        say(problem.sentence, { tone: "bad" });
        return show("failed");
    }
    fill(document, { name: clean(me.name, 80) || "an unnamed person", userId: clean(me.userId) });
    show("open");
    const parts = () => Promise.all([
        showRequests(), showConnections(), showProviders(), showPlugins(), showClients(), showKeys(), showSessions(),
        showPasskeys(), showActivity(), showVault(), showLosses(),
    ]);
    offerEverything(parts);
    await parts();
    // The parts have their height only now, so an address like /vault#keys is gone to again.
    if (location.hash.length > 1) byId(location.hash.slice(1))?.scrollIntoView();
}

function signOut() {
    ask(byId("sign-out"), {
        effect: "This browser’s key to your vault is deleted. What else opens the vault goes on opening it.",
        yes: "Sign out",
        act: () => takeAway(byId("sign-out"), "POST", "/api/sign-out", "Sign out", () => location.assign("/sign-in")),
    });
}

/** The line lies over the page, so it goes when the person goes on; not when only the window is left for a moment. */
function clearWhenLeft() {
    const line = byId("status");
    line.addEventListener("focusout", event => {
        if (document.hasFocus() && !line.contains(event.relatedTarget)) line.textContent = "";
    });
}

start(() => {
    clearWhenLeft();
    byId("lock").addEventListener("click", lock);
    byId("link").addEventListener("click", () => location.assign("/link"));
    byId("sign-out").addEventListener("click", signOut);
    takeNewKeys();
    takeNewPasskeys(() => Promise.all([showSessions(), showVault()]));
    takeNewPlugins();
    open();
});
