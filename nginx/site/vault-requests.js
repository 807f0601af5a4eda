// What waits for this person: open requests, and what they said no to.
import { byId, call, clean, names, say, stamp } from "/page.js";
import { ask } from "/question.js";
import { pagedList, tie } from "/vault-list.js";
import { kindWord, scopeRow } from "/words.js";

const requests = pagedList("requests", "/api/requests", "requests", requestRow, { what: "requests" });
const declines = pagedList("declines", "/api/declines", "declines", declineRow, { what: "of these" });

export async function showRequests() {
    await Promise.all([requests.show(), declines.show()]);
    byId("declines").hidden = !byId("declines").querySelector("li") && byId("declines").querySelector("[data-trouble]").hidden;
}

function requestRow(request) {
    const requester = clean(request.requester.name, 80) || "An unnamed program";
    const row = stamp("request", {
        requester, kind: kindWord(request.requester.kind), addedBy: clean(request.requester.addedBy),
        provider: clean(request.providerName, 80), account: clean(request.account), reason: clean(request.reason, 300),
        tool: clean(request.tool, 80), address: clean(request.address, 60), ownAddress: request.ownAddress,
        foreignAddress: !request.ownAddress, matchCode: clean(request.matchCode, 8), askedAt: request.askedAt,
        expiresAt: request.expiresAt, link: request.link, lost: !request.link,
    });
    row.querySelector("ul").append(...request.scopes.map(scopeRow));
    if (request.link) {
        row.querySelector("[data-do=look]").href = request.link;
        row.querySelector("[data-do=decline]").addEventListener("click", event => ask(event.target, {
            effect: `${requester} is told no, and gets no new link for this for 24 hours, or until you allow it to ask again here.`,
            yes: "Decline",
            act: async () => {
                await decline(new URL(request.link).searchParams);
                await showRequests();
                say(`${requester} was told no. Nothing was allowed.`, { focus: true });
            },
        }));
    }
    return tie(row);
}

/** What the consent page does, without its being opened: the same document, the same decision. */
async function decline(link) {
    const shown = await call("GET", `/api/connect?${link}`);
    await call("POST", "/api/connect", {
        digest: shown.digest, decision: "decline", owner: link.get("owner"), bridge: link.get("bridge"),
        scopes: shown.scopes.map(({ scope }) => scope), request: link.get("request"), alsoFor: [], formToken: shown.formToken,
    });
}

function declineRow(declined) {
    const [name, provider] = [clean(declined.name, 80), clean(declined.providerName, 80)];
    const row = stamp("decline", { name, provider, scopes: names(declined.scopes), until: declined.until });
    row.querySelector("button").addEventListener("click", event => ask(event.target, {
        effect: `${name} may ask you for ${provider} again. Nothing is allowed by that: you decide when it asks.`, yes: "Allow asking again", danger: false,
        act: async () => {
            await call("DELETE", `/api/declines?${new URLSearchParams({ caller: declined.caller, provider: declined.provider })}`);
            await showRequests();
            say(`${name} may ask again.`, { focus: true });
        },
    }));
    return tie(row);
}
