// One part of /vault: a list, what to say when it is empty, and when it could not be loaded.
import { byId, call, trouble } from "/page.js";

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

const PAGE = 50;

/**
 * A list that comes in pages: the first at once, the next when asked for. `rowOf(item, { loaded, isWhole })` draws one.
 * Shown again, it is as long as it was.
 */
export function pagedList(id, address, plural, rowOf) {
    let loaded = [];
    let next = null;
    const part = () => byId(id);
    const button = () => part().querySelector("[data-more]");
    const load = async query => {
        const page = await call("GET", `${address}?${query}`);
        next = page.next ?? null;
        button().hidden = next === null;
        return page[plural] ?? [];
    };
    const draw = items => items.map(item => rowOf(item, { loaded, isWhole: next === null }));
    const more = async () => {
        button().disabled = true;
        try {
            const added = await load(`limit=${PAGE}&after=${encodeURIComponent(next)}`);
            loaded = loaded.concat(added);
            const rows = draw(added);
            part().querySelector("[data-list]").append(...rows);
            const heading = rows[0]?.querySelector("h3");
            if (heading) {
                heading.tabIndex = -1;
                heading.focus();
            }
        } catch (problem) {
            trouble(problem);
        }
        button().disabled = false;
    };
    let ready = false;
    return {
        show: () => {
            if (!ready) button().addEventListener("click", more);
            ready = true;
            return showList(id, async () => draw(loaded = await load(`limit=${Math.min(Math.max(loaded.length, PAGE), 500)}`)));
        },
    };
}

let rows = 0;

/** Ties the buttons of a row to its heading, so that "Revoke" is heard with what it revokes. */
export function tie(row) {
    const heading = row.querySelector("h3");
    heading.id = `row-${rows += 1}`;
    for (const control of row.querySelectorAll("button, input")) control.setAttribute("aria-describedby", heading.id);
    return row;
}
