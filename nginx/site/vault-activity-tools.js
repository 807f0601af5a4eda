// Choosing what of the activity is shown, and taking it along as a file.
import { byId, call, clean, local, Problem, say, trouble } from "/page.js";
import { some } from "/vault-list.js";
import { eventWord, events, goneWord } from "/words.js";

const form = () => byId("activity-filter");

/** The choice as query parameters. Days are the person's own, so they begin when it is midnight here. */
export function chosen() {
    const query = new URLSearchParams();
    for (const name of ["event", "caller", "provider", "connection"]) {
        if (form().elements[name].value) query.set(name, form().elements[name].value);
    }
    const from = day(form().elements.from.value, 0);
    const until = day(form().elements.until.value, 1);
    if (from) query.set("from", from);
    if (until) query.set("until", until);
    return query;
}

export const isChosen = () => chosen().size > 0;

function day(text, later) {
    const [year, month, date] = text.split("-").map(Number);
    if (!date) return "";
    const midnight = new Date(year, month - 1, date + later);
    return Number.isNaN(midnight.getTime()) ? "" : `${midnight.toISOString().slice(0, 19)}Z`;
}

export function offerTools(show) {
    byId("activity-tools").addEventListener("toggle", event => event.target.open && fillChoices());
    form().addEventListener("submit", event => {
        event.preventDefault();
        show();
    });
    form().addEventListener("reset", () => setTimeout(show));
    for (const button of form().querySelectorAll("[data-export]")) button.addEventListener("click", () => take(button));
}

// Of one kind no list to choose from should be longer.
const MOST = 500;

/** What can be chosen, asked for whenever somebody wants to choose. */
async function fillChoices() {
    try {
        const lists = ["connections", "plugins", "clients", "keys", "sessions"].map(plural => some(`/api/${plural}`, plural, { most: MOST }));
        const [connections, plugins, clients, keys, sessions, former, { providers }] = await Promise.all([
            ...lists, some("/api/activity/former", "former", { most: MOST }), call("GET", "/api/providers"),
        ]);
        const there = [plugins, clients, keys, sessions];
        choices("event", [group("", events.map(event => [event, eventWord(event)]))]);
        choices("caller", [
            group("Still there", there.flatMap(({ items }) => items).map(one => [one.id, clean(one.name)]), there.some(({ next }) => next)),
            group("No more there", former.items.map(one => [one.id, `${clean(one.name)} (${goneWord(one.kind)} ${local(one.endedAt)})`]), former.next),
        ]);
        choices("provider", [group("", providers.filter(one => one.configured).map(one => [one.provider, clean(one.name, 80)]))]);
        choices("connection", [group("", connections.items.map(one => [
            one.id, `${clean(one.providerName ?? one.provider, 80)}: ${clean(one.account) || "account not shown"}`,
        ]), connections.next)]);
    } catch (problem) {
        trouble(problem);
    }
}

/** Options under a heading, or without one; `more`: they are not all. */
function group(label, pairs, more) {
    const options = pairs.map(([value, text]) => new Option(text, value));
    if (more) {
        options.push(new Option("There are more than are listed here.", ""));
        options.at(-1).disabled = true;
    }
    if (!label || options.length === 0) return options;
    const place = document.createElement("optgroup");
    place.label = label;
    place.append(...options);
    return [place];
}

/** What was chosen stays chosen. */
function choices(name, groups) {
    const select = form().elements[name];
    const { value } = select;
    select.replaceChildren(select.options[0], ...groups.flat());
    if ([...select.options].some(option => option.value === value)) select.value = value;
}

// So many requests of 5000 records each: a file that a browser can still hold.
const MOST_PARTS = 100;

async function take(button) {
    const format = button.dataset.export;
    button.disabled = true;
    try {
        const parts = [];
        let address = `/api/activity/export?${chosen()}&format=${format}`;
        for (let count = 0; address && count < MOST_PARTS; count += 1) {
            const part = await fetchPart(address);
            parts.push(part.text);
            address = part.next;
            if (address) say(`Collecting: ${parts.length * 5000} records so far.`, { tone: "plain" });
        }
        save(format === "csv" ? joinCSV(parts) : joinJSON(parts), format);
        say(address ? `Saved the newest ${MOST_PARTS * 5000} records; choose an earlier last day for the rest.` : "Saved to your downloads.");
    } catch (problem) {
        trouble(problem);
    }
    button.disabled = false;
    if (document.activeElement === document.body) button.focus();
}

async function fetchPart(address) {
    let response, text;
    try {
        response = await fetch(address, { credentials: "same-origin", cache: "no-store", redirect: "error", signal: AbortSignal.timeout(60_000) });
        text = await response.text();
    } catch {
        throw new Problem(0, { error: "unreachable" });
    }
    if (!response.ok) throw new Problem(response.status, {}, response.headers.get("Retry-After"));
    const next = /^<(\/api\/activity\/export\?[^>]*)>; rel="next"$/.exec(response.headers.get("Link") ?? "");
    return { text, next: next?.[1] };
}

/** Every part begins with the same line of names; the file has it once. */
function joinCSV(parts) {
    return parts.map((part, index) => (index === 0 ? part : part.slice(part.indexOf("\r\n") + 2))).join("");
}

function joinJSON(parts) {
    return JSON.stringify({ activity: parts.flatMap(part => JSON.parse(part).activity) }, null, 2);
}

function save(text, format) {
    const type = format === "csv" ? "text/csv;charset=utf-8" : "application/json";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = `toolshed-activity-${new Date().toISOString().slice(0, 10)}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
