// What a "Revoke as lost" led to: there until the person puts it away, so that it is no matter whether they stay on the page.
import { byId, call, clean, local, say, stamp, trouble } from "/page.js";
import { kindWord } from "/words.js";

/** All of them; `shown`, the one that was just revoked, is gone to. */
export async function showLosses(shown) {
    const place = byId("losses");
    let losses;
    try {
        ({ losses } = await call("GET", "/api/vault/lost"));
    } catch (problem) {
        if (shown) trouble(problem);
        return;
    }
    place.replaceChildren(...losses.map(lossCard));
    place.querySelector(`[data-holder="${CSS.escape(shown ?? "")}"] h2`)?.focus();
}

const fates = {
    replaced: () => ["The service issued new tokens, and the old ones are dead.", "good", "replaced"],
    live: provider => [`${provider} gave nothing that ends the tokens that may be known. To end them, revoke the connection, or take it back at ${provider}, and connect anew.`, "attention", "still good"],
    pending: provider => [`${provider} could not be asked yet. It is asked again as soon as it can be.`, "attention", "not yet"],
    ended: provider => [`${provider} had ended it before. Reconnect to go on using it.`, "attention", "ended"],
};

function fate(tokens, provider) {
    if (tokens.startsWith("expire-at ")) {
        if (Date.parse(tokens.slice(10)) <= Date.now()) return ["A token that may be known has ended by itself.", "good", "ended by itself"];
        return [`A token that may be known ends by itself, ${local(tokens.slice(10))}.`, "attention", "ends by itself"];
    }
    return (fates[tokens] ?? fates.pending)(provider);
}

function lossCard({ holder, kind, name: said, at, local: keys, leftOut, connections, others }) {
    const name = kind === "recovery" ? "The recovery code" : clean(said) || kindWord(kind);
    const rows = connections.map(lossLine);
    const card = stamp("loss", {
        name, at, done: keys === "done", pending: keys === "pending", later: keys === "later",
        leftOut: leftOut > 0 && (leftOut === 1 ? "1 holder" : `${leftOut} holders`), others: others > 0 && others.toLocaleString(),
        none: rows.length === 0 && keys === "done",
    });
    card.dataset.holder = holder;
    const heading = card.querySelector("h2");
    card.setAttribute("aria-labelledby", heading.id = `loss-${holder}`);
    card.querySelector("ul").append(...rows);
    card.querySelector("[data-do=away]").addEventListener("click", event => putAway(event.target, holder, name));
    return card;
}

function lossLine({ providerName, account, tokens, manageUrl }) {
    const provider = clean(providerName, 80);
    const [what, tone, word] = fate(String(tokens), provider);
    const link = tokens === "live" && /^https?:\/\//.test(manageUrl ?? "");
    const row = stamp("loss-line", { provider, account: clean(account) || "account not shown", what, word, at: link && provider });
    row.querySelector("[data-f=word]").dataset.tone = tone;
    if (link) row.querySelector("a").href = manageUrl;
    return row;
}

async function putAway(button, holder, name) {
    button.disabled = true;
    try {
        await call("DELETE", `/api/vault/lost?${new URLSearchParams({ holder })}`);
        await showLosses();
        say(`Put away. “${name}” stays revoked.`, { focus: true });
    } catch (problem) {
        trouble(problem);
        button.disabled = false;
    }
}
