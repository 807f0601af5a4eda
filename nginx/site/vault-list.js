// One part of /vault: a list, what to say when it is empty, and when it could not be loaded.
import { byId } from "/page.js";

/** Loads rows into the part `id`; `rows` answers them as elements. */
export async function showList(id, rows) {
    const part = byId(id);
    const list = part.querySelector("[data-list]");
    const trouble = part.querySelector("[data-trouble]");
    list.setAttribute("aria-busy", "true");
    try {
        list.replaceChildren(...await rows());
        trouble.hidden = true;
    } catch (problem) {
        trouble.textContent = problem.sentence ?? "This part could not be shown.";
        trouble.hidden = false;
    }
    list.removeAttribute("aria-busy");
    part.querySelector("[data-empty]").hidden = list.children.length > 0 || !trouble.hidden;
}

let rows = 0;

/** Ties the buttons of a row to its heading, so that "Revoke" is heard with what it revokes. */
export function tie(row) {
    const heading = row.querySelector("h3");
    heading.id = `row-${rows += 1}`;
    for (const control of row.querySelectorAll("button, input")) control.setAttribute("aria-describedby", heading.id);
    return row;
}
