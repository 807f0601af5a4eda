// What happened, newest first, a page at a time.
import { byId, call, clean, names, stamp, trouble } from "/page.js";
import { chosen, isChosen, offerTools } from "/vault-activity-tools.js";
import { showList } from "/vault-list.js";
import { callerWord, eventWord, goneWord } from "/words.js";

// The person's own doings: whose caller is the place where they did it.
const own = new Set(["signed-in", "signed-out", "recovery-made", "link-sealed", "linked", "passkey-added", "passkey-removed", "passkey-suspect", "removed"]);

let next = null;

export function showActivity() {
    byId("more").addEventListener("click", more);
    offerTools(list);
    return list();
}

async function list() {
    await showList("activity", () => rows(""));
    // An empty record is one thing, a choice that fits nothing another.
    const empty = byId("activity").querySelector("[data-empty]");
    byId("activity-none").hidden = empty.hidden || !isChosen();
    empty.hidden ||= isChosen();
}

async function rows(after) {
    const query = chosen();
    if (after) query.set("after", after);
    const page = await call("GET", `/api/activity?${query}`);
    next = page.next ?? null;
    byId("more").hidden = next === null;
    return (page.activity ?? []).map(eventRow);
}

function eventRow({ at, event, provider, providerName, account, caller, callerGone, callerKind, scopes, reason, tool }) {
    const name = callerWord(caller);
    const isOwn = own.has(event);
    return stamp("event", {
        at, what: eventWord(event, callerKind), provider: clean(providerName ?? provider, 80), account: clean(account),
        caller: !isOwn && name, where: isOwn && name, gone: callerGone && name === clean(caller) && goneWord(callerKind), scopes: names(scopes), reason: clean(reason, 300), tool: clean(tool, 80),
    });
}

async function more() {
    const button = byId("more");
    button.disabled = true;
    try {
        // Of a choice that fits rarely, a page may have nothing and the next one more.
        let added;
        do added = await rows(next); while (added.length === 0 && next !== null);
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
