// /sign-in: a passkey, whom nginx names, an invitation from the fragment of its link, or a recovery code typed in.
import { arrived, byId, call, clean, comeBack, destination, fill, head, say, show, stamp, start, trouble } from "/page.js";
import { lists, listPasskeys, possible, showPasskey } from "/passkey.js";

const invitation = byId("invitation");
const recovery = byId("recovery");

let returned = false; // from a provider, signed in

/** Says that this browser's vault is a new one, before going on. */
function own(name) {
    fill(document, { name: clean(name, 80) || "an unnamed person" });
    byId("own-onward").href = destination() ?? "/vault";
    head("Signed in");
    show("own");
    document.querySelector("h1").focus();
}

/** Opening a link does nothing by itself: its code is put into the field, and wiped from the address and the history. */
function takeFragment() {
    const code = location.hash.slice(1);
    const target = new URLSearchParams(location.search).get("return");
    if (target !== null) comeBack(target);
    if (location.hash || location.search) history.replaceState(null, "", location.pathname);
    if (code === "confirmed" || code === "back") return void comesBack(code);
    returned = code === "own";
    if (code.startsWith("tsi_")) invitation.elements.code.value = code;
    const invited = invitation.elements.code.value;
    // Who brings an invitation is new here and has no passkey.
    fill(document, { destination: destination(), invited, passkey: possible() && !invited });
}

/** From confirming elsewhere, on to where the person was; what they had typed is kept there. */
async function comesBack(how) {
    if (how === "confirmed") (await import("/keeping.js")).confirmedElsewhere();
    go();
}

async function look() {
    try {
        const me = await call("GET", "/api/me");
        if (returned) return own(me.name);
        fill(document, { name: clean(me.name, 80) || "an unnamed person" });
        byId("onward").href = destination() ?? "/vault";
        head("Signed in");
        show("in");
    } catch (problem) {
        show("out");
        if (problem.status !== 401) return say(problem.sentence, { tone: "bad" });
        offer();
    }
}

/** Ways that not every server has. */
async function offer() {
    try {
        const { passkey, header, providers } = await call("GET", "/api/sign-in/methods");
        fill(document, { header: clean(header, 80), elsewhere: header || providers.length });
        byId("providers").replaceChildren(...providers.map(providerButton));
        byId("providers").hidden = providers.length === 0;
        if (!passkey) return fill(document, { passkey: null });
        if (byId("passkeys").closest("[data-if=passkey]").hidden || !await lists()) return;
        fill(document, { listed: true });
        listInField();
    } catch (problem) {
        trouble(problem);
    }
}

/** The browser's own list; what it cannot do, the button beside it does. */
function listInField() {
    listPasskeys(act => enter(byId("passkey"), act)).catch(() => fill(document, { listed: null }));
}

function providerButton({ provider, name }) {
    const button = stamp("provider", { name: clean(name, 80) });
    button.addEventListener("click", async () => {
        button.disabled = true;
        say("Going there…", { tone: "plain" });
        try {
            const { location: address } = await call("POST", `/api/sign-in/${encodeURIComponent(provider)}/start`);
            location.assign(address);
        } catch (problem) {
            trouble(problem);
            button.disabled = false;
        }
    });
    return button;
}

/** In; and where what was shown opened nothing, says so before going on. */
async function enter(button, act) {
    button.disabled = true;
    say("Signing in…", { tone: "plain" });
    try {
        const { vault, name } = await act();
        if (vault !== "new") return go();
        say("");
        own(name);
    } catch (problem) {
        trouble(problem);
        if (!byId("passkeys").closest("label").hidden) listInField();
    }
    button.disabled = false;
}

function go() {
    const target = destination() ?? "/vault";
    arrived();
    location.replace(target);
}

const refusals = {
    invitation: "This invitation does not work: it was used before, has expired, or is not complete. Ask for a new one.",
    recovery: "This recovery code does not work. Compare it with what you stored, capital letters included.",
};

function submits(form, address, refusal) {
    const field = form.elements.code;
    const button = form.querySelector("button");
    field.addEventListener("input", () => field.removeAttribute("aria-invalid"));
    form.addEventListener("submit", async event => {
        event.preventDefault();
        button.disabled = true;
        say("Signing in…", { tone: "plain" });
        try {
            await call("POST", address, { code: bare(field.value) });
            field.value = "";
            go();
        } catch (problem) {
            const wrong = problem.status === 400;
            if (wrong) field.setAttribute("aria-invalid", "true");
            say(wrong ? refusal : problem.sentence, { tone: "bad", focus: true });
            button.disabled = false;
        }
    });
}

/** What a person pastes may be the whole link, and what is typed from paper has spaces. */
function bare(text) {
    return text.replace(/\s+/g, "").replace(/^.*#/, "");
}

async function signOut() {
    try {
        await call("POST", "/api/sign-out");
        say("You are signed out.", { focus: true });
        head("Sign in");
        show("out");
        offer();
    } catch (problem) {
        trouble(problem);
    }
}

start(() => {
    submits(invitation, "/api/sign-in/invitation", refusals.invitation);
    submits(recovery, "/api/sign-in/recovery", refusals.recovery);
    byId("passkey").addEventListener("click", event => enter(event.currentTarget, showPasskey));
    byId("header").addEventListener("click", event => enter(event.currentTarget, () => call("POST", "/api/sign-in/header")));
    byId("own-onward").addEventListener("click", arrived);
    byId("sign-out").addEventListener("click", signOut);
    byId("onward").addEventListener("click", arrived);
    addEventListener("hashchange", takeFragment); // the link pasted into a window that is already here
    takeFragment();
    look();
});
