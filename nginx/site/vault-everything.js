// "Revoke everything": first all of it stops at once, then each connection is taken back, with its own result.
import { byId, call, clean, fill, say, stamp, trouble } from "/page.js";
import { ask } from "/question.js";
import { afterwards, lookThere } from "/revocation.js";

const AT_ONCE = 4;

/** `changed` draws the page anew. */
export function offerEverything(changed) {
    const button = byId("revoke-everything");
    const leave = byId("leave");
    button.addEventListener("click", () => ask(button, {
        effect: `Everything stops at once: no program gets anything of yours any more, every plugin and API key and every other browser loses its key, open requests are declined. Then each connection is deleted here and taken back at its service where that is possible; at some services that ends everything that the account ever allowed this server’s app. ${leave.checked ? "This browser is signed out at the end." : "This browser stays signed in."} Your recovery code and passkeys still work. Tokens that programs already hold live until they expire or their service ends them.`,
        yes: "Revoke everything",
        act: () => revoke(changed, leave.checked),
    }));
}

async function revoke(changed, leaves) {
    const stopped = await call("POST", "/api/vault/stop");
    say("Everything is stopped. Taking back each connection…", { focus: true, tone: "plain" });
    const results = [];
    const list = byId("everything-results").querySelector("ul");
    list.replaceChildren();
    byId("everything-results").hidden = false;
    try {
        await takeBack(results, list);
    } catch (problem) {
        trouble(problem);
        say("Everything is stopped and nothing of yours is given out. Not every connection could be taken back yet: press Revoke everything once more to go on.", { tone: "bad", focus: true });
        return changed();
    }
    const open = results.filter(result => result.provider !== "revoked").length;
    const sentence = `Done. ${count(results.length, "connection")} removed, ${count(stopped.plugins, "plugin")} and ${count(stopped.holders, "key or browser", "keys and browsers")} taken out.${open ? ` ${count(open, "service was", "services were")} not told or did not confirm: see the list.` : ""}`;
    if (leaves) await call("POST", "/api/sign-out");
    else await changed();
    say(leaves ? `${sentence} This browser is signed out.` : sentence, { focus: true, tone: open ? "bad" : "good" });
}

/**
 * Some at a time, page after page, until there are none. What this browser cannot open goes first: as long as it is there,
 * its service is not told of the others, because that might end it. What is in reserve goes with the one that it is behind.
 */
async function takeBack(results, list) {
    for (;;) {
        const { connections } = await call("GET", "/api/connections?limit=100");
        if (!connections.length) return;
        const locked = connections.filter(({ status }) => status === "locked");
        const open = connections.filter(({ status, supersededBy }) => status !== "locked" && !supersededBy);
        for (const waiting of locked.length + open.length ? [locked, open] : [connections]) await takeAway(waiting, results, list);
    }
}

async function takeAway(waiting, results, list) {
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        for (let next = waiting.shift(); next; next = waiting.shift()) {
            const result = await call("DELETE", `/api/connections/${encodeURIComponent(next.id)}`).catch(goneAlready);
            if (!result) continue;
            results.push(result);
            list.append(resultRow(next, result));
            fill(byId("everything-results"), { done: String(results.length) });
        }
    }));
}

/** It went with another one, or in another window. */
function goneAlready(problem) {
    if (problem.status !== 404) throw problem;
    return null;
}

function resultRow(connection, result) {
    const provider = clean(connection.providerName, 80);
    const row = stamp("result", { provider, account: clean(connection.account) || "account not shown", said: afterwards(result, provider) });
    const there = lookThere(result, provider);
    const link = row.querySelector("a");
    link.hidden = !there;
    if (there) [link.href, link.textContent] = [there.href, there.text];
    return row;
}

const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
