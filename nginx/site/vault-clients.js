// Applications that the person let in: agents by OAuth, and command lines.
import { clean, say, stamp } from "/page.js";
import { ask } from "/question.js";
import { offerLost, takeAway } from "/vault-keys.js";
import { pagedList, tie } from "/vault-list.js";
import { kindWord } from "/words.js";

const list = pagedList("clients", "/api/clients", "clients", clientRow, { what: "applications" });
export const showClients = () => list.show();

function clientRow({ id, name: said, kind, unverified, destination, connections, createdAt, lastUsedAt }) {
    const name = clean(said) || "An unnamed application";
    const commandLine = kind === "cli";
    const row = stamp("client", {
        name, kind: kindWord(kind), unverified, destination: clean(destination, 300), createdAt, lastUsedAt,
        all: commandLine, none: !commandLine && connections.length === 0,
    });
    row.querySelector("[data-reach]").append(...connections.map(({ providerName, account }) => stamp("client-reach", {
        provider: clean(providerName, 80), account: clean(account) || "account not shown",
    })));
    row.querySelector("[data-do=revoke]").addEventListener("click", event => ask(event.target, {
        effect: commandLine
            ? `${name} is refused from now on. A token of a service that it was handed lives until it expires. If its own was stolen, copies of the database made before can still be opened with it.`
            : `${name} is refused from now on, and must ask you to be let in again. If its token was stolen, copies of the database made before can still be opened with it.`,
        yes: "Revoke",
        act: () => takeAway(event.target, "DELETE", `/api/clients/${encodeURIComponent(id)}`, "Revoke", async () => {
            await showClients();
            say(`${name} is no longer let in.`, { focus: true });
        }),
    }));
    offerLost(row, id, name, showClients);
    return tie(row);
}
