// One part of /vault: a list, what to say when it is empty, and when it could not be loaded.
import { byId, call, stamp, trouble } from "/page.js";

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

// As many rows as a page still draws at once, and as many as an answer has at most.
const MOST = 2000;
const PAGE = 500;

/** The items of a list that comes in pages, from after `after`: `most` or a few more of them. With `next` there are more. */
export async function some(address, plural, { after = null, most = MOST } = {}) {
    const items = [];
    let next = after;
    do {
        const query = new URLSearchParams({ limit: Math.min(most, PAGE) });
        if (next) query.set("after", next);
        const page = await call("GET", `${address}?${query}`);
        items.push(...(page[plural] ?? []));
        next = page.next ?? null;
    } while (next && items.length < most);
    return { items, next };
}

/**
 * A list that comes in pages: the `first` at once, more when asked for; it says so where it is cut. `rowOf(item, { loaded,
 * isWhole })` draws one, or answers null for what is not shown; `drawn(loaded)` is told what there is. Shown again, it is
 * as long as it was.
 */
export function pagedList(id, address, plural, rowOf, { what, first = MOST, drawn = () => {} }) {
    let loaded = [];
    let next = null;
    let foot = null;
    const list = () => byId(id).querySelector("[data-list]");
    const load = async options => {
        const found = await some(address, plural, options);
        next = found.next;
        return found.items;
    };
    const draw = items => items.map(item => rowOf(item, { loaded, isWhole: next === null })).filter(Boolean);
    const tell = () => {
        foot.hidden = next === null;
        drawn(loaded);
    };
    const more = async () => {
        const button = foot.querySelector("button");
        button.disabled = true;
        try {
            let rows;
            do {
                const added = await load({ after: next, most: first });
                loaded = loaded.concat(added);
                rows = draw(added);
            } while (rows.length === 0 && next !== null);
            list().append(...rows);
            tell();
            const heading = rows[0]?.querySelector("h3");
            if (heading) {
                heading.tabIndex = -1;
                heading.focus();
            }
        } catch (problem) {
            trouble(problem);
        }
        button.disabled = false;
    };
    return {
        show: () => showList(id, async () => {
            if (!foot) {
                foot = stamp("more-rows", { what });
                foot.hidden = true;
                foot.querySelector("button").addEventListener("click", more);
                list().after(foot);
            }
            loaded = await load({ most: Math.max(loaded.length, first) });
            tell();
            return draw(loaded);
        }),
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
