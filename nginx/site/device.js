// /device: takes the code that a program without a browser shows, says who waits under it, and takes the decision. The
// code is only ever typed: an address that held it would be an address that somebody else can send.
import { armed } from "/armed.js";
import { keeps } from "/keeping.js";
import { anew, byId, call, clean, fill, head, names, say, show, signIn, stamp, start } from "/page.js";

const form = byId("code");
let shown = null; // the document that the person is looking at, with the code that led to it
let busy = false;
let gate;

async function look() {
    try {
        const me = await call("GET", "/api/me");
        fill(document, { signedInAs: clean(me.name, 80) || "an unnamed person" });
        show("type");
        form.elements.code.focus();
    } catch (problem) {
        if (problem.status === 401) return show("sign-in");
        say(problem.sentence, { tone: "bad" });
        show("failed");
    }
}

async function ask(code, why = null) {
    const button = form.querySelector("button");
    button.disabled = true;
    say("Looking…", { tone: "plain" });
    try {
        const asked = await call("POST", "/api/device", { userCode: code });
        form.reset();
        say(why ? anew(why) : "", { tone: why ? "good" : "plain" });
        present(asked, code);
    } catch (problem) {
        refuse(problem);
    }
    button.disabled = false;
}

function refuse(problem) {
    if (problem.status === 401) return signIn();
    const wrong = problem.status === 404;
    if (wrong) form.elements.code.setAttribute("aria-invalid", "true");
    say(wrong ? "No program waits under this code. Compare it with what the program shows; after ten minutes it ends." : problem.sentence,
        { tone: "bad", focus: true });
}

function present(asked, code) {
    shown = { ...asked, code };
    const client = clean(asked.client, 80);
    head(`Let ${client} in?`);
    fill(document, {
        client, address: clean(asked.address, 60) || "an unknown address", own: asked.ownAddress, foreign: !asked.ownAddress,
        askedAt: asked.askedAt, signedInAs: clean(asked.signedInAs, 80) || "an unnamed person",
        connectionsTitle: asked.connections.length === 0 ? "Nothing is connected yet" : "It would get these connections",
    });
    byId("scopes").replaceChildren(...asked.scopes.map(({ scope, text }) => stamp("scope", { scope: clean(scope), text: clean(text, 300) })));
    byId("connections").replaceChildren(...asked.connections.map(connection => stamp("connection", {
        provider: clean(connection.provider, 80), account: clean(connection.account) || "account not shown",
        scopes: names(connection.scopes) || "nothing named",
    })));
    show("ready");
    document.querySelector("h1").focus();
    gate.arm();
}

async function decide(decision) {
    if (!shown || busy) return;
    gate.disarm();
    busy = true;
    try {
        await call("POST", "/api/device/decision", {
            decision, userCode: shown.code, digest: shown.digest, formToken: shown.formToken,
        }, { again: false });
        shown = null;
        const approved = decision === "approve";
        head(approved ? "Let in" : "Declined");
        show(approved ? "approved" : "declined");
        document.querySelector("h1").focus();
    } catch (problem) {
        const code = shown.code;
        shown = null;
        busy = false;
        if (problem.code === "confirmed") return ask(code, problem);
        head("Let a program without a browser in");
        show("type");
        form.elements.code.value = problem.status === 409 ? code : "";
        refuse(problem);
    }
    busy = false;
}

start(() => {
    gate = armed([byId("approve"), byId("decline")], () => shown && !busy);
    byId("approve").addEventListener("click", () => decide("approve"));
    byId("decline").addEventListener("click", () => decide("decline"));
    form.elements.code.addEventListener("input", () => form.elements.code.removeAttribute("aria-invalid"));
    form.addEventListener("submit", event => {
        event.preventDefault();
        ask(form.elements.code.value.trim());
    });
    keeps(() => shown?.code, ask);
    look();
});
