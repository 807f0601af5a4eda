// What happened, newest first, a page at a time.
import { byId, call, clean, names, stamp, trouble } from "/page.js";
import { showList } from "/vault-list.js";

const events = {
    vend: "Token given to", vended: "Token given to", refresh: "Renewed at the service", refreshed: "Renewed at the service",
    connect: "Connected", connected: "Connected", approve: "Approved for", approved: "Approved for", decline: "Declined for",
    declined: "Declined for", revoke: "Revoked", revoked: "Revoked", removed: "Removed", kept: "Kept", withdrawn: "Withdrawn from",
    "sign-in": "Signed in", "sign-out": "Signed out", "key-made": "API key made", "key-revoked": "API key revoked",
    recovery: "Recovery code made", recovered: "Signed in with the recovery code", locked: "Locked",
    "background-on": "Background refresh on", "background-off": "Background refresh off", refused: "Refused to",
    "owner-mismatch": "A link of yours was opened by another account",
};

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

function eventRow({ at, event, provider, caller, scopes, reason, tool }) {
    return stamp("event", {
        at, what: events[event] ?? clean(event, 60), provider: clean(provider, 80), caller: clean(caller),
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
