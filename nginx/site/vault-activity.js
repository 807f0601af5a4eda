// What happened, newest first, a page at a time.
import { byId, call, clean, names, stamp, trouble } from "/page.js";
import { showList } from "/vault-list.js";

// The closed set of what is recorded.
const events = {
    vended: "Token given to", refreshed: "Renewed at the service", "refresh-failed": "Could not be renewed at the service",
    consented: "Approved", declined: "Declined", connected: "Connected", removed: "Revoked", revoked: "Taken back at the service",
    "plugin-approved": "Allowed for", "plugin-withdrawn": "Withdrawn from", "key-made": "Key made", "key-removed": "A key or a signed-in place revoked",
    "signed-in": "Signed in", "signed-out": "Signed out", mismatch: "A link of yours was opened by another account",
    "background-on": "Background refresh on", "background-off": "Background refresh off", "recovery-made": "Recovery code made",
    paused: "Paused", resumed: "Resumed",
    "client-approved": "Let in:", "client-revoked": "Sent away:", "code-replayed": "A code was used twice; sent away:", "refresh-replayed": "A token was used twice; sent away:",
};
// Those whose caller is who did it, here in this list of the person's own doings.
const own = new Set(["signed-in", "signed-out", "recovery-made", "removed", "key-removed"]);

let next = null;

export function showActivity() {
    byId("more").addEventListener("click", more);
    return showList("activity", () => rows("/api/activity"));
}

async function rows(address) {
    const page = await call("GET", address);
    next = page.next ?? null;
    byId("more").hidden = next === null;
    return (page.activity ?? []).map(eventRow);
}

function eventRow({ at, event, provider, providerName, caller, scopes, reason, tool }) {
    // Whoever is gone has no name any more.
    const name = /^[a-z]_[\w-]{22}$/.test(caller ?? "") ? "something since removed" : clean(caller);
    return stamp("event", {
        at, what: events[event] ?? clean(event, 60), provider: clean(providerName ?? provider, 80), caller: own.has(event) ? "" : name,
        scopes: names(scopes), reason: clean(reason, 300), tool: clean(tool, 80),
    });
}

async function more() {
    const button = byId("more");
    button.disabled = true;
    try {
        const added = await rows(`/api/activity?after=${encodeURIComponent(next)}`);
        byId("activity").querySelector("[data-list]").append(...added);
        const first = added[0];
        if (first) {
            first.tabIndex = -1;
            first.focus();
        }
    } catch (problem) {
        trouble(problem);
    }
    button.disabled = false;
}
