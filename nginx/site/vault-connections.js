// The connections of /vault, and the services from which more can be connected.
import { all, byId, call, clean, fill, names, say, stamp, trouble } from "/page.js";
import { ask } from "/question.js";
import { showList, tie } from "/vault-list.js";
import { scopeRow } from "/words.js";

const states = {
    live: ["", "good"], active: ["", "good"], connected: ["", "good"],
    "reauthorization-required": ["must be renewed", "attention", "The service no longer accepts it. Reconnect to go on using it."],
    locked: ["locked here", "attention", "This browser cannot open it: it is in another vault of yours. You can still revoke it."],
    paused: ["paused", "attention", "No program gets a key for it while it is paused."],
    unused: ["not in use", "attention", "It was connected as another account than the one asked for, and was not kept. Nothing can use it."],
};

export function showConnections() {
    return showList("connections", async () => {
        const connections = await all("/api/connections", "connections");
        return connections.map(connection => connectionRow(connection, connections));
    });
}

function connectionRow(connection, others) {
    const state = connection.unused ? "unused" : connection.status;
    const [word, tone, hint] = states[state] ?? [clean(state, 40), "attention"];
    const name = clean(connection.providerName ?? connection.provider, 80);
    const account = clean(connection.account) || "account not shown";
    const siblings = others.filter(other => other.provider === connection.provider && !other.unused);
    const row = stamp("connection", {
        provider: name, account, status: word, hint, label: clean(connection.label),
        default: connection.default && siblings.length > 1,
        canDefault: !connection.default && siblings.length > 1 && state !== "unused" && state !== "locked",
        createdAt: connection.createdAt, lastUsedAt: connection.lastUsedAt, lastUsedBy: clean(connection.lastUsedBy),
        never: !connection.lastUsedAt, expiresAt: connection.expiresAt, scopes: names(connection.scopes) || "nothing named",
        background: state !== "locked" && state !== "unused", reconnect: state === "reauthorization-required",
    });
    row.querySelector("[data-f=status]").dataset.tone = tone;
    row.querySelector("details ul").append(...(connection.scopeTexts ?? []).map(scopeRow));
    row.querySelector("[data-do=reconnect]").href = connectLink(connection.provider, connection.scopes);
    row.querySelector("[data-do=revoke]").addEventListener("click", event => revoke(event.target, connection, name, account));
    row.querySelector("[data-do=default]").addEventListener("click", () => change(connection, { default: true }, `${name} as ${account} is used where no account is named.`));
    background(row.querySelector("input"), connection, name);
    return tie(row);
}

function connectLink(provider, scopes) {
    const [bridge, owner = "toolshed"] = provider.split("/").reverse();
    return `/connect?${new URLSearchParams({ owner, bridge, scope: (scopes ?? []).join(" ") })}`;
}

function revoke(button, connection, name, account) {
    ask(button, {
        effect: `${name} as ${account} is deleted here, and taken back at ${name} where it allows that. What uses it stops working; a key that a program already holds may live until it expires.`,
        yes: "Revoke",
        act: async () => {
            const answer = await call("DELETE", `/api/connections/${encodeURIComponent(connection.id)}`);
            await showConnections();
            afterwards(answer, name);
        },
    });
}

function afterwards({ provider, manageUrl }, name) {
    const link = /^https:\/\//.test(manageUrl ?? "") ? { href: manageUrl, text: `Look at ${name}.` } : null;
    const said = {
        revoked: `Removed here and taken back at ${name}.`,
        unsupported: `Removed here. ${name} does not let a server take it back; you can do it there yourself.`,
        failed: `Removed here. ${name} did not confirm that it was taken back; please check there.`,
    }[provider] ?? "Removed here.";
    say(said, { focus: true, tone: provider === "failed" ? "bad" : "good", link: provider === "revoked" ? null : link });
}

async function change(connection, members, done) {
    try {
        await call("PATCH", `/api/connections/${encodeURIComponent(connection.id)}`, members);
        await showConnections();
        say(done, { focus: true });
    } catch (problem) {
        trouble(problem);
    }
}

/** Switching it on lets the server open the connection, so it is asked before; both directions say what they mean. */
function background(box, connection, name) {
    box.checked = connection.backgroundRefresh === true;
    box.addEventListener("change", () => {
        const on = box.checked;
        box.checked = !on;
        ask(box, {
            effect: on
                ? `The server itself will be able to open ${name} while you are away, and so will whoever has its ENCRYPTION_KEY. Copies of the database made while this was on can be opened with the key of that time.`
                : `${name} gets a new key that only you and those you let in can open. Copies of the database made while it was on can still be opened with the key of that time.`,
            yes: on ? "Switch on" : "Switch off",
            act: async () => {
                await call("PATCH", `/api/connections/${encodeURIComponent(connection.id)}`, { backgroundRefresh: on });
                await showConnections();
                say(on ? `Background refresh is on for ${name}.` : `Background refresh is off for ${name}.`, { focus: true });
            },
        });
    });
}

export async function showProviders() {
    const list = byId("providers").querySelector("ul");
    try {
        const { providers = [] } = await call("GET", "/api/providers");
        list.replaceChildren(...providers.filter(({ configured }) => configured).map(providerRow));
        const unset = providers.filter(({ configured }) => !configured).map(({ provider, name }) => clean(name ?? provider, 80));
        fill(byId("providers"), { unset: unset.join(", ") });
    } catch {
        byId("providers").hidden = true;
    }
}

function providerRow({ provider, name, defaultScopes }) {
    const said = clean(name ?? provider, 80);
    const row = stamp("provider", { name: said, verb: `Connect ${said}`, scopes: names(defaultScopes) });
    row.querySelector("a").href = connectLink(provider, defaultScopes);
    return row;
}
