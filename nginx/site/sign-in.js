// /sign-in: an invitation from the fragment of its link, or a recovery code typed in.
import { arrived, byId, call, clean, comeBack, destination, fill, head, say, show, start, trouble } from "/page.js";

const invitation = byId("invitation");
const recovery = byId("recovery");

/** Opening a link does nothing by itself: its code is put into the field, and wiped from the address and the history. */
function takeFragment() {
    const code = location.hash.slice(1);
    const target = new URLSearchParams(location.search).get("return");
    if (target !== null) comeBack(target);
    if (location.hash || location.search) history.replaceState(null, "", location.pathname);
    if (code.startsWith("tsi_")) invitation.elements.code.value = code;
    fill(document, { destination: destination(), invited: invitation.elements.code.value });
}

async function look() {
    try {
        const me = await call("GET", "/api/me");
        fill(document, { name: clean(me.name, 80) || "an unnamed person" });
        byId("onward").href = destination() ?? "/vault";
        head("Signed in");
        show("in");
    } catch (problem) {
        show("out");
        if (problem.status !== 401) say(problem.sentence, { tone: "bad" });
    }
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
    } catch (problem) {
        trouble(problem);
    }
}

start(() => {
    submits(invitation, "/api/sign-in/invitation", refusals.invitation);
    submits(recovery, "/api/sign-in/recovery", refusals.recovery);
    byId("sign-out").addEventListener("click", signOut);
    byId("onward").addEventListener("click", arrived);
    addEventListener("hashchange", takeFragment); // the link pasted into a window that is already here
    takeFragment();
    look();
});
