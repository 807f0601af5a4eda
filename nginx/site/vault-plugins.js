// The plugins of /vault: what each may use and how far it is narrowed, one's own, and what a plugin that was shut out
// may still hold.
import { byId, call, clean, names, say, stamp, trouble } from "/page.js";
import { fromLimits, toLimits } from "/plugin-limits.js";
import { ask } from "/question.js";
import { revealKey } from "/secret.js";
import { showConnections } from "/vault-connections.js";
import { offerLost } from "/vault-keys.js";
import { pagedList, tie } from "/vault-list.js";
import { usedKey } from "/vault-plugin-key.js";

let known = [];
const list = pagedList("plugins", "/api/plugins", "plugins", pluginRow, { what: "plugins", drawn: plugins => { known = plugins; } });

export async function showPlugins() {
    await list.show();
    await showHeld();
}

const address = plugin => `/api/plugins/${encodeURIComponent(plugin.id)}`;

function pluginRow({ connections, ...rest }) {
    const plugin = { ...rest, connections: connections.filter(({ status }) => status !== "withdrawn") };
    const own = plugin.addedBy === "you";
    // Of the operator's plugins only those that were let in or narrowed; one's own also before.
    if (!own && plugin.connections.length === 0 && !plugin.muted && !plugin.limits) return null;
    const name = clean(plugin.name) || "An unnamed plugin";
    const old = plugin.keys.find(({ endsAt }) => endsAt);
    const row = stamp("plugin", {
        name, addedBy: own ? "you" : `the operator of ${location.hostname}`, createdAt: own && plugin.createdAt, muted: plugin.muted, unmuted: !plugin.muted,
        ...usedKey(plugin), limited: plugin.limits, theirs: plugin.operatorLimits && said(plugin.operatorLimits), own, oldKeyUntil: own && old?.endsAt,
    });
    row.querySelector("[data-reach]").append(...plugin.connections.map(({ providerName, account, scopes, status }) => stamp("reach", {
        provider: clean(providerName, 80), account: clean(account) || "account not shown", scopes: names(scopes),
        outgrown: status === "outgrown", waiting: status === "waiting",
    })));
    const on = (what, act) => row.querySelector(`[data-do=${what}]`).addEventListener("click", act);
    on("mute", event => ask(event.target, {
        effect: `${name} gets neither tokens nor links for you, and is not told why. What you approved stays, for when you hear it again.`,
        yes: "Mute", act: () => change(plugin, { muted: true }, `${name} is muted.`),
    }));
    on("unmute", () => change(plugin, { muted: false }, `${name} may ask you again.`).catch(trouble));
    on("revoke", event => revoke(event.target, plugin, name, own));
    offerLost(row, plugin.id, name, showPlugins);
    on("end-old", () => endOld(plugin, name));
    limitsForm(row.querySelector("[data-form=limits]"), plugin, name);
    keyForm(row.querySelector("[data-form=key]"), plugin, name);
    return tie(row);
}

async function change(plugin, members, done) {
    await call("PATCH", address(plugin), members);
    await showPlugins();
    say(done, { focus: true });
}

function said(limits) {
    const { providers, scopes, rate, calls } = fromLimits(limits);
    return [providers && `only ${providers}`, scopes && `tokens that carry at most ${scopes}`, rate && `${rate} tokens a minute`, calls && `only calls ${calls}`]
        .filter(Boolean).map(text => clean(text.replaceAll("\n", "; "), 400)).join(" · ");
}

function limitsForm(form, plugin, name) {
    const fields = fromLimits(plugin.limits ?? {});
    for (const [field, value] of Object.entries(fields)) form.elements[field].value = value;
    form.addEventListener("submit", async event => {
        event.preventDefault();
        const limits = toLimits(Object.fromEntries(new FormData(form)));
        try {
            await change(plugin, { limits }, Object.keys(limits).length ? `${name} is limited as you said.` : `${name} has no limits of yours.`);
        } catch (problem) {
            trouble(problem);
        }
    });
}

function keyForm(form, plugin, name) {
    form.addEventListener("submit", async event => {
        event.preventDefault();
        try {
            const { key } = await call("POST", `${address(plugin)}/key`, { key: form.elements.key.value.trim() });
            form.reset();
            await showPlugins();
            reveal(name, key);
        } catch (problem) {
            trouble(problem);
        }
    });
}

async function endOld(plugin, name) {
    try {
        await call("DELETE", `${address(plugin)}/key`);
        await showPlugins();
        say(`Only the newest key of ${name} works now.`, { focus: true });
    } catch (problem) {
        trouble(problem);
    }
}

function revoke(button, plugin, name, own) {
    ask(button, {
        effect: own
            ? `${name} is ended: its key is refused from now on, and its connections get new ones. A token that it already holds may live until it expires.`
            : `${name} loses its key to these connections at once, and gets no more tokens for them. It may ask you again. A token that it already holds may live until it expires.`,
        yes: "Revoke",
        act: async () => {
            const { connections = [] } = await call("DELETE", address(plugin));
            await Promise.all([showPlugins(), showConnections()]);
            say(withdrawn(name, connections), { focus: true });
        },
    });
}

function withdrawn(name, connections) {
    const words = [`${name} can no longer use anything of yours.`];
    if (connections.some(({ local }) => local === "pending")) {
        words.push("One connection is in a vault that this browser cannot open; it gets its new key when that one is next opened.");
    }
    if (connections.some(({ tokens }) => tokens === "live")) {
        words.push("A token that it already holds does not expire by itself: replace it.");
    } else if (connections.some(({ tokens }) => tokens.startsWith("expire"))) {
        words.push("A token that it already holds ends when it expires.");
    } else if (connections.length) {
        words.push("The token that it held was ended.");
    }
    return words.join(" ");
}

/** What plugins that were shut out, or are gone, may still hold, each with a button that takes it away as far as the service allows. */
async function showHeld() {
    const place = byId("held");
    const { tokens } = await call("GET", "/api/plugins/ended").catch(() => ({ tokens: [] }));
    const held = [
        ...known.flatMap(({ name, connections }) => connections.filter(entry => entry.tokens).map(entry => ({ name, entry }))),
        ...tokens.map(({ name, connection }) => ({ name, entry: connection })),
    ];
    place.replaceChildren(...held.map(heldRow));
    place.hidden = held.length === 0;
    // Who may still hold a token can still use something.
    if (held.length > 0) byId("plugins").querySelector(":scope > [data-empty]").hidden = true;
}

function heldRow({ name, entry }) {
    const service = clean(entry.providerName ?? entry.provider, 80);
    const open = entry.account !== null;
    const row = stamp("held-token", {
        name: clean(name) || "A plugin that is gone", provider: service, account: clean(entry.account) || "account not shown", open, locked: !open,
        until: entry.tokens.startsWith("expire-at ") ? entry.tokens.slice(10) : null, live: entry.tokens === "live",
    });
    row.querySelector("button").addEventListener("click", event => replace(event.target, entry, service));
    return row;
}

function replace(button, entry, service) {
    ask(button, {
        effect: `${service} is asked for a new token, and the old one is ended where ${service} can end a single one. Where it cannot give a new one by itself, you go through ${service} again.`,
        yes: "Replace the token",
        act: async () => {
            const answer = await call("POST", `/api/connections/${encodeURIComponent(entry.id)}/replace`);
            await Promise.all([showPlugins(), showConnections()]);
            replaced(answer, service);
        },
    });
}

function replaced({ tokens, reconnectUrl, manageUrl }, service) {
    const fate = tokens === "replaced" ? `The old token has ended at ${service}.`
        : tokens === "live" ? `${service} cannot end the old token by itself; it lives until you end it there.`
            : `The old token ends at ${new Date(tokens.slice(10)).toLocaleString()}.`;
    const own = reconnectUrl?.startsWith(`${location.origin}/connect?`);
    const link = own ? { href: reconnectUrl, text: `Connect ${service} again.` } : tokens === "live" && /^https:\/\//.test(manageUrl ?? "") ? { href: manageUrl, text: `Look at ${service}.` } : null;
    say(`${fate} ${own ? "A new one needs you." : "A new one is in your vault."}`, { focus: true, tone: tokens === "replaced" ? "good" : "plain", link });
}

/** A plugin of one's own, which may ask nobody else. */
export function takeNewPlugins() {
    const form = byId("make-plugin");
    form.addEventListener("submit", async event => {
        event.preventDefault();
        const button = form.querySelector("button");
        button.disabled = true;
        try {
            const name = form.elements.name.value.trim();
            const { key } = await call("POST", "/api/plugins", { name });
            form.reset();
            await showPlugins();
            reveal(name, key);
        } catch (problem) {
            trouble(problem);
        }
        button.disabled = false;
    });
}

function reveal(name, key) {
    revealKey(byId("new-plugin"), name, key, `The key of ${clean(name)} is no longer shown.`);
}
