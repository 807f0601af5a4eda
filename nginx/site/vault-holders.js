// Who can use what is in the vault: API keys, and the places that are signed in.
import { byId, call, clean, say, stamp, trouble } from "/page.js";
import { ask } from "/question.js";
import { revealKey } from "/secret.js";
import { offerLost, showVault, takeAway } from "/vault-keys.js";
import { pagedList, tie } from "/vault-list.js";
import { kindWord } from "/words.js";

const keys = pagedList("keys", "/api/keys", "keys", keyRow, { what: "API keys" });
export const showKeys = () => keys.show();

function keyRow(key) {
    const name = clean(key.name) || "An unnamed key";
    const row = holderRow({ ...key, kind: "" }, name);
    row.querySelector("[data-do=revoke]").addEventListener("click", event => ask(event.target, {
        effect: `The program that uses “${name}” is refused from now on. Tokens that it already holds live until they expire. If somebody else has the key, copies of the database made before can still be opened with it: then revoke it as lost instead.`,
        yes: "Revoke",
        act: () => takeAway(event.target, "DELETE", `/api/keys/${encodeURIComponent(key.id)}`, "Revoke", async () => {
            await showKeys();
            say(`The key “${name}” no longer works.`, { focus: true });
        }),
    }));
    offerLost(row, key.id, name, showKeys);
    return row;
}

const sessions = pagedList("sessions", "/api/sessions", "sessions", sessionRow, { what: "signed-in places" });
export const showSessions = () => sessions.show();

function sessionRow(session) {
    const name = clean(session.name) || kindWord(session.kind) || "A session";
    const row = holderRow(session, name, session.current);
    row.querySelector("[data-do=revoke]").addEventListener("click", event => ask(event.target, {
        effect: `${name} is signed out at once and loses its key to the vault. If it was stolen, copies of the database made before can still be opened with what was stolen.`,
        yes: "Revoke",
        act: () => takeAway(event.target, "DELETE", `/api/sessions/${encodeURIComponent(session.id)}`, "Revoke", async () => {
            await showSessions();
            say(`${name} is signed out.`, { focus: true });
        }),
    }));
    offerLost(row, session.id, name, showSessions);
    return row;
}

function holderRow({ kind, createdAt, lastUsedAt, expiresAt }, name, here = false) {
    return tie(stamp("holder", {
        name, kind: kind ? kindWord(kind) : "", here, revocable: !here, createdAt, lastUsedAt, expiresAt, never: !lastUsedAt && !here,
    }));
}

/** A new key is shown once, above the form that made it. */
export function takeNewKeys() {
    const form = byId("make-key");
    const button = form.querySelector("button");
    form.addEventListener("submit", async event => {
        event.preventDefault();
        button.disabled = true;
        try {
            const name = form.elements.name.value.trim();
            const { key } = await call("POST", "/api/keys", { name });
            form.reset();
            revealKey(byId("new-key"), name, key, `The key “${clean(name)}” is no longer shown.`);
            await Promise.all([showKeys(), showVault()]);
        } catch (problem) {
            trouble(problem);
        }
        button.disabled = false;
    });
}
