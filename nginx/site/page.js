// What every page needs: asking the worker, putting text into the page, saying what happened.
import { keepPlace } from "/place.js";

/** A refusal by the worker, or by nginx in its place: an RFC 9457 document with a stable member `error`. */
export class Problem extends Error {
    constructor(status, document, wait) {
        super(document.title ?? "");
        this.status = status;
        this.code = document.error ?? "";
        this.document = document;
        this.wait = wait;
    }

    /** One sentence for the person. Only our own server's words are repeated, as text. */
    get sentence() {
        if (this.status === 0) return "Toolshed could not be reached. Check your connection and try again.";
        if (this.status === 401) return "You are signed out. Sign in and try again.";
        if (this.status === 429) return `Too many tries. Try again in ${this.wait || "a few"} seconds.`;
        if (this.status >= 500) return "Toolshed is busy or restarting. Nothing was lost; try again in a moment.";
        return clean(this.document.detail ?? this.document.title, 400) || "Toolshed refused this.";
    }
}

/**
 * Asks the worker on this origin and answers its document, or throws the problem. Where it wants a fresh sign-in, the
 * person confirms in place and it goes on; not with `again: false`, for what a person must decide after they confirmed:
 * then the problem is `confirmed`.
 */
export async function call(method, path, body, { again = true } = {}) {
    const headers = { Accept: "application/json, application/problem+json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response, text;
    try {
        response = await fetch(path, {
            method, headers, body: body === undefined ? undefined : JSON.stringify(body),
            credentials: "same-origin", cache: "no-store", redirect: "error", signal: AbortSignal.timeout(30_000),
        });
        text = await response.text();
    } catch {
        throw new Problem(0, { error: "unreachable" });
    }
    const document = parsed(text);
    if (response.ok) return document;
    const problem = new Problem(response.status, document, response.headers.get("Retry-After"));
    if (problem.code === "fresh-sign-in-required") {
        const { confirmed } = await import("/confirm.js");
        if (await confirmed(problem)) {
            if (again) return call(method, path, body);
            throw new Problem(409, { error: "confirmed", detail: "It is confirmed that it is you. Nothing was decided yet." });
        }
    }
    throw problem;
}

function parsed(text) {
    try {
        return JSON.parse(text) ?? {};
    } catch {
        return {}; // 204, or a page that something in between put in place of the answer
    }
}

/**
 * Somebody else's words, made safe to stand among ours: one line, nothing invisible, no direction marks,
 * no towers of accents that reach into the next line, and not longer than is useful.
 */
export function clean(value, limit = 160) {
    const text = String(value ?? "").slice(0, 20_000)
        .replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, " ")
        .replace(/\u2800/gu, " ")
        .replace(unseen, "")
        .replace(/(\p{M}{4})\p{M}+/gu, "$1")
        .trim();
    const letters = [...text];
    const short = letters.length > limit ? `${letters.slice(0, limit).join("")}…` : text;
    return rightToLeft.test(short) ? `\u2068${short}\u2069` : short; // isolated, or it would turn our own words around
}

// As the server does (Encoding/ShownText.swift): joiners stay, and what chooses a form of the sign before it.
const unseen = /(?![\u200C\u200D])(?!(?<=[\p{Emoji}\p{Ideographic}])[\uFE0E\uFE0F])(?!(?<=\p{Ideographic})[\uFE00-\uFE0D\u{E0100}-\u{E01EF}])(?!(?<=[\u1820-\u18AA])[\u180B-\u180F])[\p{Cf}\p{Default_Ignorable_Code_Point}\uFFFC\u{1D159}\u{13441}\u{13442}]/gu;
const rightToLeft = /[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFF\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}]/u;

/** "repo, read:user", whole: what is asked for is never shortened. Of scopes in words, the names. */
export function names(scopes) {
    return (scopes ?? []).map(scope => clean(scope.scope ?? scope, 2000)).join(", ");
}

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A time of the server in the person's own zone. */
export function local(instant) {
    const date = new Date(instant);
    return Number.isNaN(date.getTime()) ? "" : moment.format(date);
}

export const byId = id => document.getElementById(id);

/**
 * Puts each value where `data-f` names it and hides what `data-if` makes depend on an absent one.
 * Always `textContent`: nothing that comes from elsewhere can become markup.
 */
export function fill(root, fields) {
    for (const [name, value] of Object.entries(fields)) {
        const absent = !value;
        for (const place of root.querySelectorAll(`[data-if="${name}"]`)) place.hidden = absent;
        for (const place of root.querySelectorAll(`[data-f="${name}"]`)) {
            if (place instanceof HTMLTimeElement) place.dateTime = absent ? "" : value;
            place.textContent = absent ? "" : place instanceof HTMLTimeElement ? local(value) : String(value);
        }
    }
    return root;
}

/** A copy of a `template` of this page, filled. */
export function stamp(id, fields) {
    return fill(byId(id).content.firstElementChild.cloneNode(true), fields);
}

/** Shows what belongs to one state of the page and nothing of the others. */
export function show(state) {
    for (const part of document.querySelectorAll("[data-state]")) {
        part.hidden = !part.dataset.state.split(" ").includes(state);
    }
}

/** The heading and the window's title say the same. */
export function head(text) {
    document.querySelector("h1").textContent = text;
    document.title = `${text} · Toolshed`;
}

/** Says what happened, in the status line; with `focus`, where the thing acted upon is gone. */
export function say(text, { tone = "good", focus = false, link } = {}) {
    const line = byId("status");
    line.dataset.tone = tone;
    line.textContent = text;
    if (link) {
        const anchor = document.createElement("a");
        anchor.href = link.href;
        anchor.rel = "noreferrer";
        anchor.textContent = link.text;
        line.append(" ", anchor);
    }
    if (focus) line.focus();
}

/** Says why something did not work, and moves there. A fault of the page itself also goes to the console. */
export function trouble(problem) {
    if (!(problem instanceof Problem)) reportError(problem);
    say(problem.sentence ?? "This did not work, because of a fault in this page.", { tone: "bad", focus: true });
}

/** A path of this site, or "/": the only thing that a return target may be. */
export function path(target) {
    return /^\/(?![/\\])[^\p{Cc}]*$/u.test(target ?? "") ? target : "/";
}

const RETURN = "return";

/** Goes to the sign-in page, which comes back to exactly this address. */
export function signIn() {
    comeBack(location.pathname + location.search + location.hash);
    location.assign("/sign-in");
}

export function comeBack(target) {
    sessionStorage.setItem(RETURN, JSON.stringify({ target: path(target), at: Date.now() }));
}

/** Where the person was going; forgotten after a quarter of an hour, as long as a request is open. */
export function destination() {
    const kept = parsed(sessionStorage.getItem(RETURN) ?? "{}");
    return Date.now() - kept.at < 900_000 ? path(kept.target) : null;
}

export function arrived() {
    sessionStorage.removeItem(RETURN);
}

/** What a page says when it was shown anew before a decision. */
export const anew = problem => (problem.code === "confirmed"
    ? "It is confirmed that it is you. Nothing was decided yet: read it once more, then decide."
    : "Something changed since you last looked. Please read it again before you decide.");

/** Runs a page. What was on it is not kept for the back button: it may be out of date, or another person's. */
export function start(run) {
    addEventListener("pageshow", event => event.persisted && location.reload());
    for (const button of document.querySelectorAll("[data-do=sign-in]")) button.addEventListener("click", signIn);
    for (const button of document.querySelectorAll("[data-do=again]")) {
        button.addEventListener("click", () => location.reload());
    }
    keepPlace(byId("status"));
    run();
    if (sessionStorage.getItem("kept")) import("/keeping.js").then(({ restore }) => restore());
}
