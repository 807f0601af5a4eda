// Who else opens the vault: the person's other vaults, the recovery code, and what to do when a holder was lost.
import { byId, call, clean, fill, say, stamp, trouble } from "/page.js";
import { ask } from "/question.js";
import { offerRecovery } from "/secret.js";
import { tie } from "/vault-list.js";
import { showLosses } from "/vault-losses.js";
import { kindWord } from "/words.js";

export const several = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** The parts "Your vaults" and "Recovery". */
export async function showVault() {
    let vault;
    try {
        vault = await call("GET", "/api/vault");
    } catch (problem) {
        return void fill(byId("vaults"), { trouble: problem.sentence ?? "This part could not be shown." });
    }
    const others = (vault.others ?? []).filter(({ connections }) => connections > 0);
    const elsewhere = others.reduce((sum, { connections }) => sum + connections, 0);
    fill(byId("vaults"), {
        trouble: "", alone: others.length === 0, elsewhere: elsewhere > 0 && several(elsewhere, "connection"),
        here: several(vault.connections ?? 0, "connection"),
    });
    byId("vaults").querySelector("[data-list]").replaceChildren(...others.map(otherRow));
    showRecovery(vault);
    await showOffers();
}

/** Vaults that wait for this browser to say yes: it reads on /link what comes together. */
async function showOffers() {
    const place = byId("offers");
    const { offers } = await call("GET", "/api/vault/link").catch(() => ({ offers: [] }));
    place.replaceChildren(...offers.filter(({ side, status }) => side === "second" && status === "sealed").map(offerRow));
    place.hidden = place.children.length === 0;
}

function offerRow({ id, from, expiresAt }) {
    const row = stamp("offer", { from: clean(from, 80) || "another browser", until: expiresAt });
    row.querySelector("[data-do=decline]").addEventListener("click", async event => {
        event.target.disabled = true;
        try {
            await call("POST", "/api/vault/link", { step: "cancel", id });
            await showOffers();
            say("Declined. The two vaults stay as they are.", { focus: true });
        } catch (problem) {
            trouble(problem);
            event.target.disabled = false;
        }
    });
    return tie(row);
}

function otherRow({ connections, holders }) {
    const names = (holders ?? []).map(({ name, kind }) => clean(name, 80) || kindWord(kind));
    return stamp("other-vault", {
        count: several(connections, "connection"), holders: names.slice(0, 6).join(", ") + (names.length > 6 ? " and others" : ""),
        gone: names.length === 0,
    });
}

function showRecovery({ recovery, lastingHolders, connections }) {
    const place = byId("recovery-place");
    fill(byId("recovery"), { fragile: connections > 0 && lastingHolders === 0 });
    if (place.querySelector(".secret")) return; // shown once, and not stored yet
    if (!recovery) return offerRecovery(place, showVault);
    const part = stamp("recovery-there", { createdAt: recovery.createdAt, checkedAt: recovery.checkedAt, unchecked: !recovery.checkedAt });
    part.querySelector("[data-do=replace]").addEventListener("click", event => ask(event.target, {
        effect: "You get a new code, shown once. The code that you have now signs nobody in any more. If somebody else has it, copies of the database made before can still be opened with it: then revoke it as lost instead.",
        yes: "Replace the code",
        act: () => offerRecovery(place, showVault, true),
    }));
    offerLost(part, recovery.id, "The recovery code", showVault);
    const form = part.querySelector("form");
    form.addEventListener("submit", event => {
        event.preventDefault();
        check(form);
    });
    place.replaceChildren(part);
    place.hidden = false;
}

const checks = {
    "this-vault": ["This is the right code: it opens this vault. It was not used up.", "good"],
    "other-vault": ["This code opens another vault of yours, not this one. It was not used up.", "bad"],
    nothing: ["This code opens nothing of yours. Compare it letter by letter; if it is an older one, replace it.", "bad"],
};

async function check(form) {
    const button = form.querySelector("button");
    button.disabled = true;
    try {
        const { opens } = await call("POST", "/api/vault/recovery/check", { code: form.elements.code.value.replace(/\s+/gu, "") || "-" });
        form.reset();
        if (opens === "this-vault") await showVault();
        const [said, tone] = checks[opens] ?? checks.nothing;
        say(said, { tone, focus: true });
    } catch (problem) {
        trouble(problem);
    }
    button.disabled = false;
}

/**
 * Takes a holder away. When nobody else opens its vault, what goes with it is said, and only a second yes does it.
 * `shown` gets the answer and shows what it led to.
 */
export async function takeAway(button, method, path, yes, shown, body) {
    const done = async answer => {
        // Elsewhere than on /vault nothing is said of the vault, and who signs out leaves.
        if (byId("vaults") && path !== "/api/sign-out") await showVault();
        await shown(answer);
    };
    let answer;
    try {
        answer = await call(method, path, body);
    } catch (problem) {
        if (problem.code !== "last-holder") throw problem;
        const { connections, confirm } = problem.document;
        // When the first question has gone.
        setTimeout(() => ask(button, {
            effect: `Nothing else opens this vault. With it ${several(connections, "connection")} can never be opened again, by nobody. To keep them, make a recovery code first.`,
            yes: `${yes} and lose them`,
            act: async () => {
                await done(await call(method, `${path}?confirm=${encodeURIComponent(confirm)}`, body));
            },
        }));
        return;
    }
    await done(answer);
}

/** "Revoke as lost", for whatever can be lost; `after` shows the lists anew. */
export function offerLost(row, holder, name, after) {
    const button = row.querySelector("[data-do=lost]");
    button?.addEventListener("click", () => ask(button, {
        effect: `${name} is refused at once. Because somebody else may have it, everything that it could open gets new keys, and new tokens where the service gives them. All others of yours go on working.`,
        yes: "Revoke as lost",
        act: () => takeAway(button, "POST", "/api/vault/lost", "Revoke as lost", async () => {
            await Promise.all([after(), showLosses(holder)]);
        }, { holder }),
    }));
}

export async function lock() {
    const button = byId("lock");
    button.disabled = true;
    try {
        const { plugins, backgroundRefresh } = await call("POST", "/api/vault/lock");
        const left = [
            plugins && `${several(plugins, "plugin")} that you let in ${plugins === 1 ? "has a key" : "have keys"} of ${plugins === 1 ? "its" : "their"} own`,
            backgroundRefresh && `${several(backgroundRefresh, "connection")} with background refresh can be opened by the server`,
        ].filter(Boolean);
        say(`Locked: the server has forgotten the keys that it kept ready. Whoever holds a key still opens what it opens${left.length ? `: ${left.join(", and ")}` : ", this browser too"}.`, { focus: true });
    } catch (problem) {
        trouble(problem);
    }
    button.disabled = false;
}
