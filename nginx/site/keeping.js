// Confirming at another service leaves the page. What was typed into it is kept in this window, and is there again when the
// person comes back; what lets anybody in is not kept.
import { comeBack, say } from "/page.js";

const KEPT = "kept";
const secret = /ts[a-z]_[\w-]{8}/;
let own = { save: () => null, restore: () => {} };

/** For what a page holds beside its forms: `save` answers it, `restore` is given it back. */
export function keeps(save, restore) {
    own = { save, restore };
}

const named = form => [...form.elements].filter(({ name, type }) => name && type !== "password" && type !== "file");

/** Notes what is typed, and that the person comes back to exactly this address. */
export function leave() {
    const forms = {};
    for (const form of document.querySelectorAll("form[id]")) {
        forms[form.id] = named(form).filter(({ value }) => !secret.test(value)).map(field => [field.name, field.value, field.checked === true]);
    }
    sessionStorage.setItem(KEPT, JSON.stringify({ page: location.pathname + location.search, at: Date.now(), forms, own: own.save() }));
    comeBack(location.pathname + location.search + location.hash);
}

/** The other service said that it is them. */
export function confirmedElsewhere() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT));
    if (kept) sessionStorage.setItem(KEPT, JSON.stringify({ ...kept, confirmed: true }));
}

/** Back on the page. Nothing goes on by itself: what the person was about to do, they do. */
export async function restore() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT));
    const old = Date.now() - kept?.at > 900_000;
    const here = kept?.page === location.pathname + location.search;
    if (here || old) sessionStorage.removeItem(KEPT);
    if (!here || old) return; // on the way, or too late
    for (const [id, fields] of Object.entries(kept.forms)) {
        const form = document.getElementById(id);
        if (!(form instanceof HTMLFormElement)) continue;
        for (const [name, value, checked] of fields) {
            const field = form.elements.namedItem(name);
            if (field?.type === "checkbox") field.checked = checked;
            else if (field) field.value = value;
        }
    }
    if (kept.own) await own.restore(kept.own);
    if (kept.confirmed) say("It is confirmed that it is you. What you were doing is not done yet: do it once more.", { focus: true });
}
