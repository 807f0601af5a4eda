// /done: the outcome named in the fragment, and what can still be done about it.
import { byId, call, clean, fill, head, say, show, start } from "/page.js";
import { ask } from "/question.js";
import { afterwards, lookThere, there } from "/revocation.js";
import { offerRecovery } from "/secret.js";
import { scopeRow } from "/words.js";

const headings = {
    connected: provider => `${provider} is connected`,
    "connected-unused": () => "Keep this account?",
    kept: provider => `${provider} is connected`,
    approved: provider => `${provider} is allowed`,
    removed: () => "Removed",
    declined: () => "You declined",
    failed: provider => `${provider} was not connected`,
    working: provider => `Finishing with ${provider}…`,
};

/** Why it failed, for the closed set of codes that the server has. */
const causes = {
    failed: () => "Something did not work out on this server.",
    denied: provider => `You said no at ${provider}.`,
    "provider-refused": provider => `${provider} refused. Sometimes an administrator there has to agree first.`,
    "admin-needed": provider => `${provider} wants an administrator of your account there to agree first.`,
    "action-at-provider": provider => `${provider} wants you to do something there first. Sign in to it and look for a notice.`,
    "provider-unavailable": provider => `${provider} did not answer as it should. Try again in some minutes.`,
    misconfigured: provider => `${provider} does not accept this server’s own registration. Tell the operator of this server.`,
    expired: () => "It took too long between the click there and the way back.",
    "wrong-issuer": provider => `The answer did not come from ${provider}, so it was thrown away. If this repeats, tell the operator of this server.`,
    "wrong-browser": () => "It came back in another browser than the one in which you approved.",
    "session-ended": () => "You were signed out meanwhile.",
};

/** What was taken back after the click, for the closed set of codes that the server has. It wins. */
const since = {
    withdrawn: (provider, requester) => `You withdrew, muted or declined ${requester || "the program that asked"} after you had approved this. So it was not let in, and asks again if it still needs this.`,
    "other-withdrawn": () => "You withdrew or muted a program after you had approved this for it, too. So it was not let in with the others.",
    paused: () => "You paused this connection after you had approved this. It stays paused: nothing gets a key before you resume it in your vault.",
    revoked: provider => `You revoked a connection to ${provider} after you had approved this. So nobody was let in by this one.`,
    stopped: () => "You revoked everything after you had approved this. So nobody was let in, and what was paused stays paused.",
    "session-ended": () => "The browser in which you approved this was signed out meanwhile. So nobody was let in.",
};
const asksNew = new Set(["revoked", "stopped", "session-ended"]);

const usable = new Set(["connected", "connected-unused", "kept", "approved"]);

let outcome = null;
let again;
// The account has no name any more once it was removed.
let named = "";
const address = () => `/api/outcomes/${encodeURIComponent(location.hash.slice(1))}`;

async function load() {
    if (!/^#o_[A-Za-z0-9_-]{22}$/.test(location.hash)) return lost("unknown", "No result");
    try {
        present(await call("GET", address()));
    } catch (problem) {
        refuse(problem);
    }
}

function refuse(problem) {
    if (problem.status === 401) return lost("sign-in", "Sign in to see the result");
    if (problem.status >= 400 && problem.status < 429) return lost("unknown", "No result");
    say(problem.sentence, { tone: "bad", focus: outcome !== null });
    if (!outcome) lost("unreachable", "Result");
}

function lost(state, heading) {
    outcome = null;
    head(heading);
    show(state);
}

function present(document_) {
    outcome = document_;
    const state = outcome.status in headings ? outcome.status : "unknown";
    const provider = clean(outcome.provider?.name, 80) || "The service";
    const requester = clean(outcome.requester?.name);
    const account = clean(outcome.account), isAsked = asksNew.has(outcome.message), goesOn = !outcome.message || outcome.message === "other-withdrawn";
    named = account || (state === "removed" ? named : "");
    const look = outcome.removal && lookThere(outcome.removal, provider);
    head(isAsked && state === "connected-unused" ? "Keep this connection?" : headings[state]?.(provider) ?? "No result");
    fill(document, {
        provider, requester, own: !requester && goesOn, goes: requester && goesOn && requester, account: named || "an unnamed account",
        another: !isAsked && account, nameless: !isAsked && !account, since: since[outcome.message]?.(provider, requester),
        named, noname: !named, removable: outcome.removable, replaced: outcome.replaced, there: outcome.removal && afterwards(outcome.removal, provider),
        scopes: usable.has(state) && outcome.scopes.length > 0, missing: outcome.missingScopes.length,
        told: requester && state !== "connected-unused", cause: causes[outcome.message]?.(provider), unused: state === "connected-unused", first: state === "connected",
    });
    byId("scopes").replaceChildren(...outcome.scopes.map(scopeRow));
    byId("missing").replaceChildren(...outcome.missingScopes.map(scopeRow));
    const link = byId("look");
    link.hidden = !look;
    if (look) [link.href, link.textContent] = [look.href, look.text];
    show(state);
    // The same answer delivered twice gets here while the first delivery is still with the service.
    clearTimeout(again);
    if (state === "working") again = setTimeout(load, 1000);
    const recovery = byId("recovery");
    if (outcome.recoveryOffered && recovery.hidden) offerRecovery(recovery, () => { recovery.hidden = true; });
}

async function settle(decision) {
    present(await call("POST", address(), { decision, formToken: outcome.formToken }));
    say("");
    document.querySelector("h1").focus();
}

/** What was decided meanwhile in another window is shown, and nothing else is done. */
async function refused(problem) {
    if (problem.status === 409) await load();
    else refuse(problem);
}

async function keep() {
    const buttons = [byId("keep"), byId("remove")];
    for (const button of buttons) button.disabled = true;
    say("Keeping…", { tone: "plain" });
    await settle("keep").catch(refused);
    for (const button of buttons) button.disabled = false;
}

function remove() {
    const provider = clean(outcome.provider?.name, 80) || "The service";
    const account = named || "this account";
    ask(byId("remove"), {
        effect: `${provider} as ${account} is deleted here. ${there({ connection: outcome.removable, provider, account, state: outcome.account === null ? "locked" : "" })}`,
        yes: "Remove", act: () => settle("remove").catch(refused),
    });
}

start(() => {
    byId("keep").addEventListener("click", keep);
    byId("remove").addEventListener("click", remove);
    addEventListener("hashchange", load);
    load();
});
