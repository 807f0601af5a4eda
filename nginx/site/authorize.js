// /authorize: shows which application asks to be let in, and takes the decision. Opening it changes nothing.
import { armed } from "/armed.js";
import { anew, byId, call, clean, fill, head, names, say, show, signIn, stamp, start } from "/page.js";

const states = new Set(["unknown-client", "redirect-mismatch", "invalid-request"]);
const headings = {
    "unknown-client": "Unknown application", "redirect-mismatch": "Unknown application",
    "invalid-request": "This address does not work",
};

let shown = null; // the document that the person is looking at
let warned = false;
let busy = false; // an answer of the worker is awaited
let gate;

async function load(why = null) {
    gate.disarm();
    busy = true;
    try {
        const asked = await call("GET", `/api/authorize${location.search}`);
        busy = false;
        if (asked.status === "ready") present(asked, why);
        else goBack(asked, "refused");
    } catch (problem) {
        busy = false;
        refuse(problem);
    }
}

function refuse(problem) {
    const state = problem.status === 401 ? "sign-in" : states.has(problem.code) ? problem.code : "failed";
    if (state === "failed") say(problem.sentence, { tone: "bad" });
    shown = null;
    gate.disarm();
    fill(document, { signedInAs: null });
    head(headings[state] ?? "Let an application in");
    show(state);
}

function present(asked, why) {
    shown = asked;
    draw(asked);
    if (asked.warning && !warned) return show("warning");
    show("ready");
    if (why) say(anew(why), { tone: why.code === "confirmed" ? "good" : "bad", focus: true });
    gate.arm();
}

function draw({ client, redirect, scopes, connections, signedInAs }) {
    const name = clean(client.name, 80);
    head(`Let ${name} in?`);
    fill(document, {
        signedInAs: clean(signedInAs, 80) || "an unnamed person", client: name, host: clean(client.host, 260),
        unverified: client.unverified, ownName: client.kind === "registered", documented: client.kind === "document", builtIn: client.kind === "built-in",
        destination: clean(redirect.destination, 300), loopback: redirect.kind === "loopback",
        imitable: client.kind !== "built-in" && client.loopbackOnly,
        connectionsTitle: connections.length === 0 ? "Nothing is connected yet"
            : connections.length === 1 ? "It can use this connection at once" : `It can use these ${connections.length} connections at once`,
        some: connections.length > 0, none: connections.length === 0,
    });
    byId("scopes").replaceChildren(...scopes.map(({ scope, text }) => stamp("scope", { scope: clean(scope), text: clean(text, 300) })));
    byId("connections").replaceChildren(...connections.map(connection => stamp("connection", {
        provider: clean(connection.provider, 80), account: clean(connection.account) || "account not shown",
        scopes: names(connection.scopes) || "nothing named",
    })));
}

async function decide(decision) {
    if (!shown || busy) return;
    gate.disarm();
    busy = true;
    say(decision === "approve" ? "Approving…" : "Declining…", { tone: "plain" });
    try {
        const back = await call("POST", "/api/authorize", {
            decision, digest: shown.digest, formToken: shown.formToken, query: location.search.slice(1),
        }, { again: false });
        say("", { tone: "plain" });
        goBack(back, decision === "approve" ? "approved" : "declined");
    } catch (problem) {
        busy = false;
        undecided(problem);
    }
}

function undecided(problem) {
    if (problem.status === 401) return signIn();
    if (problem.status === 409) return load(problem);
    if (states.has(problem.code)) return refuse(problem);
    say(problem.sentence, { tone: "bad", focus: true });
    gate.arm();
}

const neverThere = /^(?:javascript|data|vbscript|blob|file|about|filesystem|view-source):/i;

/** The server has compared the address with what the application registered; what could run here is refused here, too. */
function goBack({ location: target, client, destination, goesByItself, error }, how) {
    shown = null;
    gate.disarm();
    if (!/^[a-z][a-z0-9+.-]*:/i.test(target ?? "") || neverThere.test(target)) return refuse({ status: 400, code: "invalid-request" });
    const approved = how === "approved" && !error;
    head(approved ? "Let in" : how === "declined" || error === "access_denied" ? "Declined" : "This did not work");
    fill(document, {
        client: clean(client, 80), destination: clean(destination, 300), error: clean(error, 60), approved,
        declined: error === "access_denied", refused: !approved && error !== "access_denied",
    });
    byId("back").href = target;
    show("return");
    if (goesByItself) location.assign(target);
    else byId("back").focus();
}

start(() => {
    gate = armed([byId("approve"), byId("decline")], () => shown && !busy && (warned || !shown.warning));
    byId("approve").addEventListener("click", () => decide("approve"));
    byId("decline").addEventListener("click", () => decide("decline"));
    byId("go-on").addEventListener("click", () => {
        warned = true;
        show("ready");
        document.querySelector("h1").focus();
        gate.arm();
    });
    load();
});
