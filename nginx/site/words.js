// The words for the closed sets that the API speaks in. What is in no set is shown as it came, as text.
import { clean, stamp } from "/page.js";

const risks = { read: "read only", write: "can change things", admin: "far-reaching", unknown: "effect unknown" };
const kinds = {
    plugin: "plugin", session: "browser", browser: "browser", cli: "command line", key: "API key", "api-key": "API key",
    mcp: "MCP client", client: "application", recovery: "recovery code", passkey: "passkey",
};

// The closed set of what is recorded.
const happened = {
    vended: "Token given to", refreshed: "Renewed at the service", "refresh-failed": "Could not be renewed at the service",
    consented: "Approved", declined: "Declined", connected: "Connected", kept: "Kept", removed: "Revoked", revoked: "Taken back at the service",
    "revocation-unsupported": "The service cannot take it back", "revocation-failed": "The service did not confirm that it took it back",
    "revocation-not-asked": "Not taken back at the service",
    "plugin-approved": "Allowed for", "plugin-withdrawn": "Withdrawn from", "plugin-muted": "Muted", "plugin-unmuted": "No longer muted",
    "plugin-limited": "Limits changed of", "plugin-changed": "The operator changed the limits of", "plugin-removed": "The operator removed",
    "plugin-renamed": "The operator added a plugin with the name of yours, which from now on is called",
    "plugin-key-changed": "The operator gave another key to", "plugin-key-ended": "The operator ended an old key of", "token-replaced": "Token replaced", "key-made": "Key made", "key-removed": "Key or signed-in place revoked:",
    "signed-in": "Signed in", "signed-out": "Signed out", mismatch: "A link of yours was opened by another account",
    "background-on": "Background refresh on", "background-off": "Background refresh off", "recovery-made": "Recovery code made",
    "passkey-added": "Passkey added", "passkey-removed": "Passkey removed",
    "passkey-suspect": "A passkey was refused: its counter went back, so there may be a copy of it",
    paused: "Paused", resumed: "Resumed", "everything-stopped": "Everything stopped",
    "link-sealed": "The key of a vault was offered to another browser of yours", linked: "Two vaults were linked",
    unlocked: "Given the key of the vault again:", lost: "Revoked as lost:",
    "client-approved": "Let in:", "client-allowed": "Allowed for", "client-revoked": "Sent away:", "code-replayed": "A code was used twice; sent away:", "refresh-replayed": "A token was used twice; sent away:",
};
export const events = Object.keys(happened);
const by = {
    "key-made plugin-person": "A key of your own for", "signed-in passkey": "Signed in with a passkey", "signed-in recovery": "Signed in with the recovery code",
    "signed-in invitation": "Signed in by the invitation", "signed-in provider": "Signed in by way of", "signed-in header": "Signed in as the web server says",
};
export const eventWord = (event, callerKind) => by[`${event} ${callerKind}`] ?? happened[event] ?? clean(event, 60);

const riskWord = risk => risks[risk] ?? risks.unknown;
/** Who did it. Of who is gone and forgotten only the id is left. */
export function callerWord(name, gone = false) {
    if (/^[a-z]_[\w-]{22}$/.test(name ?? "")) return "something since removed";
    return gone && name ? `${clean(name)} (removed)` : clean(name);
}
/** What became of somebody of this kind who is no more there. */
export const goneWord = kind => (kind === "session" ? "signed out" : "removed");
export const kindWord = kind => kinds[kind] ?? clean(kind, 40);

/** One scope in words, by a template of the page; a service's own name for it is shown whole, and once. */
export function scopeRow({ scope, text, risk, optional }) {
    const words = clean(text, 600);
    const row = stamp(optional === true ? "optional" : "asked", {
        text: words && words !== scope ? words : "No description is known for this.", risk: riskWord(risk), scope: clean(scope, 2000),
    });
    row.querySelector("[data-f=risk]").dataset.tone = risk;
    const box = row.querySelector("input");
    if (box) box.value = scope;
    return row;
}
