// A sign-in that is too old for what was asked: confirm in place that it is still the same person, and go on.
import { call, clean, Problem } from "/page.js";
import { leave } from "/keeping.js";
import { addPasskey, possible, showPasskey } from "/passkey.js";

let open = null;

/** Whether the person confirmed. One dialog at a time: whoever asks meanwhile waits for the same answer. */
export function confirmed(problem) {
    open ??= ask(problem.document).finally(() => { open = null; });
    return open;
}

function ask({ proofs = [], providers = [] }) {
    const dialog = make("dialog");
    const title = make("h2", "Confirm that it is you", { id: "confirm-title", tabIndex: -1 });
    const said = make("p", "", { role: "alert", className: "note", hidden: true });
    dialog.setAttribute("aria-labelledby", title.id);
    dialog.append(title, make("p", "You signed in more than ten minutes ago, and this lets somebody else in or opens more."), said);
    return new Promise(resolve => {
        let isDone = false;
        const attempt = async (button, act) => {
            button.disabled = true;
            said.hidden = true;
            try {
                if (await act() === away) return;
                isDone = true;
                dialog.close();
            } catch (trouble) {
                said.textContent = trouble instanceof Problem && trouble.code === "invalid-invitation"
                    ? "This recovery code does not work. Compare it with what you stored, capital letters included."
                    : trouble.sentence ?? "This did not work, because of a fault in this page.";
                said.hidden = false;
                button.disabled = false;
            }
        };
        if (proofs.includes("passkey") && possible()) dialog.append(way("Use your passkey", attempt, showPasskey));
        if (proofs.includes("recovery")) dialog.append(recovery(attempt));
        for (const provider of providers) dialog.append(elsewhere(provider, attempt));
        if (proofs.includes("first")) dialog.append(...first(attempt));
        if (!proofs.length) dialog.append(make("p", "Nothing of yours is left here that shows that. Sign in again as you did before; what you take away needs no confirmation."));
        const cancel = make("button", "Cancel", { type: "button" });
        cancel.addEventListener("click", () => dialog.close());
        const row = make("p", "", { className: "actions" });
        row.append(cancel);
        dialog.append(row);
        dialog.addEventListener("close", () => {
            dialog.remove();
            resolve(isDone);
        });
        document.body.append(dialog);
        dialog.showModal();
        title.focus();
    });
}

function way(name, attempt, act) {
    const row = make("p", "", { className: "actions" });
    const button = make("button", name, { type: "button", className: "primary" });
    button.addEventListener("click", () => attempt(button, act));
    row.append(button);
    return row;
}

const away = Symbol("the window is on its way elsewhere");

/** The window goes to the provider and comes back to where it was, with what was typed. */
function elsewhere({ provider, name }, attempt) {
    return way(`Confirm with ${clean(name, 80)}`, attempt, async () => {
        const { location: address } = await call("POST", `/api/sign-in/${encodeURIComponent(provider)}/confirm`);
        leave();
        location.assign(address);
        return away;
    });
}

function recovery(attempt) {
    const form = make("form", "", { autocomplete: "off" });
    const label = make("label", "Recovery code");
    const field = make("textarea", "", { name: "code", rows: 2, required: true, maxLength: 400, spellcheck: false, autocomplete: "off" });
    const button = make("button", "Use the recovery code");
    const row = make("p", "", { className: "actions" });
    label.append(field);
    row.append(button);
    form.append(label, row);
    form.addEventListener("submit", event => {
        event.preventDefault();
        attempt(button, () => call("POST", "/api/sign-in/recovery", { code: field.value.replace(/\s+/g, "") }));
    });
    return form;
}

/** Somebody who came by an invitation and has nothing yet to show: what they add now is what they show later. */
function first(attempt) {
    const parts = [];
    if (possible()) {
        parts.push(make("p", "Nothing of yours can show that yet. Add a passkey: from now on it does."));
        parts.push(way("Add a passkey", attempt, () => addPasskey(here())));
    }
    const other = make("p", possible() ? "Or make a recovery code, and enter it here: " : "Make a recovery code first, and enter it here: ");
    const link = make("a", "Recovery", { href: "/vault#recovery" });
    other.append(link);
    return [...parts, other];
}

/** A first name for a passkey: where it was made. */
export function here() {
    const system = clean(navigator.userAgentData?.platform || navigator.platform, 40) || "this device";
    return `Passkey of ${system}`;
}

function make(name, text = "", properties = {}) {
    const { role, ...rest } = properties;
    const element = Object.assign(document.createElement(name), rest);
    if (role) element.setAttribute("role", role);
    if (text) element.textContent = text;
    return element;
}
