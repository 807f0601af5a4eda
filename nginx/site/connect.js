// /connect: shows what is asked, by whom and why, and takes the decision. Opening it changes nothing.
import { byId, call, clean, fill, head, path, say, show, signIn, stamp, start } from "/page.js";
import { armed } from "/armed.js";
import { kindWord, scopeRow } from "/words.js";

const link = new URLSearchParams(location.search);
const buttons = [byId("approve"), byId("decline")];
const states = new Set([
    "owner-mismatch", "request-expired", "unknown-provider", "provider-not-configured", "provider-misconfigured",
    "invalid-request",
]);
const headings = {
    "owner-mismatch": "This link is not for you", "request-expired": "This request is over", finished: "Already answered",
    "unknown-provider": "Unknown service", "invalid-request": "This link does not work",
    "provider-not-configured": "Not set up yet", "provider-misconfigured": "Not set up yet",
};

let shown = null; // the document that the person is looking at
let busy = false; // an answer of the worker is awaited
let expiry;

const { arm, disarm } = armed(buttons, () => shown && !busy);

async function load({ changed = false } = {}) {
    disarm();
    clearTimeout(expiry);
    busy = true;
    try {
        const asked = await call("GET", `/api/connect${location.search}`);
        busy = false;
        if (asked.status === "ready") present(asked, changed);
        else settle(asked.status === "sign-in" ? "sign-in" : "finished");
    } catch (problem) {
        busy = false;
        refuse(problem);
    }
}

function refuse(problem) {
    const code = problem.code === "not-found" ? "invalid-request" : problem.code;
    const state = problem.status === 401 ? "sign-in" : states.has(code) ? code : "failed";
    if (state === "failed") say(problem.sentence, { tone: "bad" });
    settle(state);
    if (state === "owner-mismatch") sayWho();
}

/** Who reads it may be somebody with two accounts, or at a machine of many. */
async function sayWho() {
    const answer = await call("GET", "/api/me").catch(() => null);
    if (!answer || shown) return;
    const me = clean(answer.name, 80) || "an unnamed person";
    fill(document, { signedInAs: me, me });
}

async function switchAccount() {
    const [{ ask }, { takeAway }] = await Promise.all([import("/question.js"), import("/vault-keys.js")]);
    const button = byId("switch");
    ask(button, {
        effect: "This browser’s key to the vault of the account that is signed in is deleted. What else opens the vault goes on opening it.",
        yes: "Sign out",
        act: () => takeAway(button, "POST", "/api/sign-out", "Sign out", signIn),
    });
}

/** Any state in which there is nothing to decide: it shows nothing of whom the link may be for. */
function settle(state) {
    shown = null;
    disarm();
    fill(document, { signedInAs: null });
    head(headings[state] ?? "Connect an account");
    show(state);
}

function present(asked, changed) {
    const again = shown !== null;
    const different = shown?.digest !== asked.digest;
    shown = asked;
    if (different) draw(asked);
    // What the page holds is good for this long; then it asks again, and what is over says so.
    const lasts = Math.min(asked.expiresIn, 86_400) * 1000;
    fill(document, { until: lasts > 0 ? new Date(Date.now() + lasts).toISOString() : null });
    if (lasts > 0) expiry = setTimeout(() => load(), lasts + 500);
    show("ready");
    if (changed || (again && different)) {
        say("Something changed since you last looked. Please read it again before you decide.", { tone: "bad", focus: true });
    }
    arm();
}

function draw(asked) {
    const provider = clean(asked.provider.name, 80);
    const requester = asked.requester ? clean(asked.requester.name, 80) || "An unnamed program" : null;
    head(requester ? `${requester} asks for ${provider}` : asked.reconnects ? `Reconnect ${provider}` : asked.separate ? `Connect ${provider} separately` : `Connect ${provider}`);
    const fresh = asked.scopes.filter(scope => scope.state === "new");
    const granted = asked.scopes.filter(scope => scope.state === "granted");
    const limited = asked.beyondLimits.length > 0; // there is nothing to approve
    fill(document, {
        signedInAs: clean(asked.signedInAs, 80) || "an unnamed person", provider, requester, own: !requester && !asked.reconnects && !asked.separate,
        kind: asked.requester ? kindWord(asked.requester.kind) : "", addedBy: clean(asked.requester?.addedBy),
        owner: asked.owner === "toolshed" ? null : clean(asked.owner),
        account: clean(asked.account), namedAccount: clean(asked.namedAccount), anyAccount: !asked.account && !asked.namedAccount && !asked.keyForm,
        keyAccount: !asked.account && !asked.namedAccount && asked.keyForm,
        several: asked.accounts.length, one: !asked.accounts.length, reconnects: asked.reconnects, separate: asked.separate,
        resumes: asked.resumes, separable: asked.separable && asked.alsoIncludes.length > 0, reason: clean(asked.reason, 300), tool: clean(asked.tool, 80),
        matchCode: clean(asked.matchCode, 8), askedAt: asked.askedAt, address: clean(asked.address, 60),
        ownAddress: asked.ownAddress, foreignAddress: !asked.ownAddress,
        new: fresh.length, newTitle: granted.length ? "New, not allowed so far" : requester ? "What it asks for" : "What you would allow",
        granted: granted.length && !limited, also: asked.alsoIncludes.length && !limited, others: asked.others.some(other => !other.asks), open: asked.others.some(other => !other.locked), fixed: asked.others.some(other => other.locked),
        needsProvider: asked.needsProvider && !asked.keyForm, stays: !asked.needsProvider && !limited,
        key: asked.keyForm, keyName: clean(asked.keyForm?.name, 64), keyPage: asked.keyForm?.page,
        named: asked.keyForm && asked.account,
        beyond: limited, separately: asked.separable,
    });
    byId("account").replaceChildren(...asked.accounts.map(accountChoice), new Option("another account", "new", false, !asked.account));
    byId("separate").href = byId("separate-instead").href = changed({ separate: "true" });
    byId("key-page").href = /^https:\/\//.test(asked.keyForm?.page ?? "") ? asked.keyForm.page : "/connect";
    byId("approve").hidden = limited;
    byId("beyond").replaceChildren(...asked.beyondLimits.map(scopeRow));
    byId("new").replaceChildren(...fresh.map(scopeRow));
    byId("granted").replaceChildren(...granted.map(scope => scopeRow({ ...scope, optional: false })));
    byId("also").replaceChildren(...asked.alsoIncludes.map(scopeRow));
    byId("others").replaceChildren(...asked.others.map(otherRow));
}

function accountChoice({ id, account, label, chosen }) {
    const name = clean(account) || "account not shown";
    return new Option(label ? `${name} “${clean(label, 80)}”` : name, id, chosen, chosen);
}

/** This page's address with other members. */
function changed(members) {
    return `${location.pathname}?${new URLSearchParams({ ...Object.fromEntries(link), ...members })}`;
}

/** Who can use it anyway has a box that cannot be unticked here: that is taken back in the vault. */
function otherRow({ id, name, kind, addedBy, asks, ticked, locked }) {
    const row = stamp("other", { name: clean(name) || "(no name)", kind: kindWord(kind), addedBy: clean(addedBy), asks, isIn: locked && !asks });
    const box = row.querySelector("input");
    box.value = id;
    box.checked = ticked === true;
    box.disabled = locked === true;
    return row;
}

/** The values of the boxes in `list` that are ticked, or that are not. */
function boxes(list, checked) {
    return [...byId(list).querySelectorAll("input")].filter(box => box.checked === checked).map(box => box.value);
}

async function decide(decision) {
    if (!shown || busy) return;
    const key = decision === "approve" && shown.keyForm ? byId("key").value.trim() : undefined;
    if (key === "") return missing();
    disarm();
    busy = true;
    say(decision === "approve" ? "Approving…" : "Declining…", { tone: "plain" });
    const left = new Set(boxes("new", false));
    try {
        const answer = await call("POST", "/api/connect", {
            digest: shown.digest, decision, owner: link.get("owner"), bridge: link.get("bridge"),
            scopes: shown.scopes.map(scope => scope.scope).filter(scope => !left.has(scope)),
            request: link.get("request") ?? undefined, connection: link.get("connection") ?? undefined,
            separate: link.get("separate") === "true" || undefined, alsoFor: boxes("others", true), formToken: shown.formToken, key,
            label: key === undefined ? undefined : byId("label").value.trim() || undefined,
        });
        byId("key").value = "";
        location.assign(path(answer.location));
    } catch (problem) {
        busy = false;
        undecided(problem);
    }
}

function missing() {
    say(`Paste your ${clean(shown.keyForm.name, 64)} first, or decline.`, { tone: "bad" });
    byId("key").focus();
}

/** The link is still good, and what was typed still stands there; only the page has to be asked for again. */
async function unstored(problem) {
    const wrong = problem.document.errors?.find(({ member }) => member === "key" || member === "label");
    await load();
    if (!shown) return;
    say(wrong ? `Nothing was stored. Expected: ${clean(wrong.expected, 200)}.` : problem.sentence, { tone: "bad" });
    byId(wrong?.member ?? "key").focus();
}

function undecided(problem) {
    if (problem.status === 401) return signIn();
    if (problem.status === 409) return load({ changed: true });
    if (shown.keyForm && (problem.status === 400 || problem.status >= 500)) return unstored(problem);
    if (states.has(problem.code)) return refuse(problem);
    // Where the answer was lost, the decision may have arrived.
    const unsure = problem.status === 0 || problem.status >= 500;
    say(problem.sentence, { tone: "bad", focus: true, link: unsure ? { href: "/vault", text: "See what is connected." } : null });
    arm();
}

start(() => {
    byId("approve").addEventListener("click", () => decide("approve"));
    byId("decline").addEventListener("click", () => decide("decline"));
    byId("switch").addEventListener("click", switchAccount);
    byId("key-form").addEventListener("submit", event => {
        event.preventDefault();
        if (!byId("approve").disabled && !byId("approve").hidden) decide("approve");
    });
    byId("account").addEventListener("change", event => location.replace(changed({ connection: event.target.value })));
    load();
});
