// The connections of /vault: what each is, and where it can be connected again.
import { clean, names, stamp } from "/page.js";
import { offerChanges, offerRevoke } from "/vault-change.js";
import { pagedList, tie } from "/vault-list.js";
import { callerWord, scopeRow } from "/words.js";

const states = {
    active: ["", "good"],
    "reauthorization-required": ["must be renewed", "attention", "The service no longer accepts it. Reconnect to go on using it; it keeps its place and what you allowed others."],
    locked: ["locked here", "attention", "This browser cannot open it: it is in another vault of yours. You can still pause or revoke it."],
    paused: ["paused", "attention", "No program gets a key for it, and it is not renewed, until you resume it."],
    unused: ["not in use", "attention", "It was connected as another account than the one asked for, or after you had taken something back, and was not kept. Nothing can use it."],
    superseded: ["in reserve", "attention", "The same account is connected once more, since two vaults were linked, and that one is used. This one goes when that one has been used or is revoked, and takes its place if it turns out to be dead. What came of it at the service is then in Activity."],
};

const list = pagedList("connections", "/api/connections", "connections", connectionRow, { what: "connections", first: 50 });
export const showConnections = () => list.show();

function connectionRow(connection, { loaded, isWhole }) {
    const state = connection.supersededBy ? "superseded" : connection.unused ? "unused" : connection.status;
    const [word, tone, hint] = states[state] ?? [clean(state, 40), "attention"];
    const open = state !== "locked" && !connection.unused;
    const said = {
        connection, state, open, provider: clean(connection.providerName ?? connection.provider, 80),
        account: clean(connection.account) || "account not shown",
        changed: showConnections,
        // A default is a choice among several; of a list that is not all here nobody knows that it is the only one.
        several: !isWhole || loaded.filter(other => other.provider === connection.provider && !other.unused).length > 1,
    };
    const row = stamp("connection", {
        provider: said.provider, account: said.account, status: word, hint, label: clean(connection.label, 80),
        default: connection.default && said.several, createdAt: connection.createdAt, lastUsedAt: connection.lastUsedAt,
        lastUsedBy: callerWord(connection.lastUsedBy, connection.lastUserGone), never: !connection.lastUsedAt, expiresAt: connection.expiresAt,
        background: connection.backgroundRefresh && open, scopes: names(connection.scopes) || "nothing named",
        reconnect: open, change: !connection.unused, renewal: connection.renewalPending,
    });
    row.querySelector("[data-f=status]").dataset.tone = tone;
    row.querySelector("details ul").append(...(connection.scopeTexts ?? []).map(scopeRow));
    const reconnect = row.querySelector("[data-do=reconnect]");
    reconnect.href = connectLink(connection.provider, connection.scopes, { connection: connection.id });
    reconnect.classList.toggle("primary", state === "reauthorization-required");
    offerRevoke(row, said);
    offerChanges(row, said);
    return tie(row);
}

/** The consent page for this provider and these scopes; `more` are further members of the link. */
export function connectLink(provider, scopes, more = {}) {
    const [bridge, owner = "toolshed"] = provider.split("/").reverse();
    return `/connect?${new URLSearchParams({ owner, bridge, scope: (scopes ?? []).join(" "), ...more })}`;
}
