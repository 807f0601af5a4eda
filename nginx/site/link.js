// /link: brings the vault of this browser together with another one of the same person; docs/LINKING.md.
import { anew, byId, call, clean, fill, head, names, say, show, stamp, start, trouble } from "/page.js";
import { kindWord } from "/words.js";

const LINK = "/api/vault/link";
const PATIENCE = 2000;
const step = (name, members = {}, how) => call("POST", LINK, { step: name, ...members }, how);

let me, offer, timer, stumbled = false;

async function look() {
    clearTimeout(timer);
    const request = new URLSearchParams(location.search).get("request");
    try {
        me = await call("GET", "/api/me");
        fill(document, { name: clean(me.name, 80) || "an unnamed person", host: location.host });
        const found = await call("GET", request === null ? LINK : `${LINK}?request=${encodeURIComponent(request)}`);
        if (request !== null && found.request) return showLocked(found.request);
        await showOffers(found.offers ?? []);
        if (stumbled) say("", { tone: "plain" });
        stumbled = false;
    } catch (problem) {
        if (problem.status === 401) return show("sign-in");
        if (request !== null && problem.status === 404) return show("unlock-over");
        say(problem.sentence ?? "This page has a fault.", { tone: "bad" });
        // Whoever waits for the other browser goes on waiting when one answer is lost.
        const passes = problem.status === 0 || problem.status === 429 || problem.status >= 500;
        if (!offer || !passes) return show("failed");
        stumbled = true;
        timer = setTimeout(look, PATIENCE);
    }
}

/** The page follows the newest offer that is not over; the code itself is known only to the page that made it. */
async function showOffers(offers) {
    const open = offers.filter(({ status }) => status !== "accepted");
    const done = offers.some(({ id, status }) => status === "accepted" && id === offer?.id);
    if (done) return ended();
    const latest = open.at(-1);
    if (!latest || (latest.status === "offered" && latest.id !== offer?.id)) {
        if (offer && offer.side) say("That offer is over. Begin again.", { tone: "bad" });
        offer = undefined;
        return show("choose");
    }
    offer = { ...offer, ...latest };
    if (offer.side === "second") return offer.status === "sealed" ? showSides() : wait("claimed");
    if (offer.status === "claimed") {
        await step("seal", { id: offer.id });
        return wait("given");
    }
    wait(offer.status === "sealed" ? "given" : "offered");
}

/** Reading starts at what there is to wait for; the button that led here is gone. */
function wait(state) {
    const part = document.querySelector(`[data-state=${state}]`);
    const isNew = part.hidden;
    show(state);
    if (isNew) part.querySelector("p").focus();
    timer = setTimeout(look, PATIENCE);
}

function ended() {
    offer = undefined;
    head("Linked");
    show("accepted");
    document.querySelector("h1").focus();
}

function showSides() {
    if (byId("holders").dataset.digest === offer.digest && !byId("accept").disabled) return show("accept");
    const { here, there } = offer;
    byId("there").replaceChildren(side(there, `Comes from the vault of ${clean(offer.from, 80) || "the other browser"}`));
    byId("here").replaceChildren(side(here, "Comes from this browser’s vault"));
    byId("holders").replaceChildren(...[...there.holders, ...here.holders].map(({ id, name, kind }) => stamp("one-holder", {
        name: clean(name, 80) || kindWord(kind), kind: kindWord(kind), here: id === me.sessionId,
    })));
    byId("holders").dataset.digest = offer.digest;
    fill(document, { from: clean(offer.from, 80) || "the other browser", until: offer.expiresAt });
    byId("accept").disabled = false;
    show("accept");
    head("Link these two vaults?");
    document.querySelector("h1").focus();
}

function side({ connections, count }, title) {
    const part = stamp("side", { title, none: count === 0, more: count > connections.length ? String(count - connections.length) : "" });
    part.querySelector("ul").append(...connections.map(({ providerName, account, scopes }) => stamp("line", {
        provider: clean(providerName, 80), account: clean(account) || "account not shown", scopes: names(scopes),
    })));
    return part;
}

async function act(button, work) {
    button.disabled = true;
    try {
        await work();
    } catch (problem) {
        trouble(problem);
    }
    button.disabled = false;
}

const wrong = {
    claim: "This code does not work. Compare it with the other browser, where you must be signed in as the same person; after five wrong codes show a new one.",
    paper: "This recovery code opens no vault of yours. Compare it letter by letter.",
};

function submits(id, name) {
    const form = byId(id);
    form.addEventListener("submit", event => {
        event.preventDefault();
        act(form.querySelector("button"), async () => {
            const field = form.elements.code;
            try {
                const { id: made } = await step(name, { code: field.value.replace(/\s+/gu, "") || "-" });
                offer = { id: made };
            } catch (problem) {
                if (problem.status !== 404) throw problem;
                field.setAttribute("aria-invalid", "true");
                return say(wrong[id], { tone: "bad", focus: true });
            }
            field.removeAttribute("aria-invalid");
            form.reset();
            say("", { tone: "plain" });
            await look();
        });
    });
}

function showLocked({ name, kind, vault, over, matchCode }) {
    head("Give a key back");
    fill(document, { holder: clean(name, 80) || kindWord(kind), kind: kindWord(kind), matchCode: clean(matchCode, 8) });
    show(over ? "unlock-over" : vault === "this-vault" ? "unlock" : "unlock-elsewhere");
}

start(() => {
    byId("offer").addEventListener("click", event => act(event.target, async () => {
        const made = await step("offer");
        offer = { id: made.id, side: "first", status: made.status };
        fill(document, { code: `${made.code.slice(0, 4)} ${made.code.slice(4)}`, until: made.expiresAt });
        say("", { tone: "plain" });
        wait("offered");
    }));
    submits("claim", "claim");
    submits("paper", "recovery");
    byId("accept").addEventListener("click", event => act(event.target, async () => {
        clearTimeout(timer);
        try {
            await step("accept", { id: offer.id, digest: offer.digest }, { again: false });
        } catch (problem) {
            if (problem.status !== 409) throw problem;
            delete byId("holders").dataset.digest;
            await look();
            return say(anew(problem), { tone: problem.code === "confirmed" ? "good" : "bad", focus: true });
        }
        say("Linked.");
        ended();
    }));
    byId("unlock").addEventListener("click", event => act(event.target, async () => {
        try {
            await step("unlock", { request: new URLSearchParams(location.search).get("request") }, { again: false });
        } catch (problem) {
            if (problem.code !== "confirmed") throw problem;
            return say(anew(problem), { focus: true });
        }
        show("unlocked");
        say("The program goes on by itself.", { focus: true });
    }));
    for (const button of document.querySelectorAll("[data-do=cancel]")) {
        button.addEventListener("click", () => act(button, async () => {
            clearTimeout(timer);
            await step("cancel", { id: offer.id });
            offer = undefined;
            fill(document, { code: null, until: null });
            head("Link two vaults");
            show("choose");
            say("Cancelled. The two vaults stay as they are.", { focus: true });
        }));
    }
    look();
});
