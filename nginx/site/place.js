// Where the person was. What was done is said in the status line, which takes the focus there; from the line they go on
// where they were, though what they acted on may be gone or drawn anew.
let place = []; // from what had the focus outwards, each with its number among its siblings

function remember({ target }) {
    if (target.closest("#status, dialog")) return;
    place = [];
    for (let at = target; at !== document.body && at.parentElement; at = at.parentElement) {
        place.push({ element: at, parent: at.parentElement, number: [...at.parentElement.children].indexOf(at) });
    }
}

/** The same element, or in a list that was drawn anew what is in its place now. */
function now({ element, parent, number }) {
    if (element.isConnected) return element;
    return element.matches("li") && parent.isConnected ? parent.children[Math.min(number, parent.children.length - 1)] : null;
}

function goal(entry) {
    const there = now(entry);
    if (!there?.checkVisibility()) return null;
    if (entry === place[0] && there === entry.element && !there.disabled) return there;
    if (!there.matches("li, section, .card, main")) return null;
    const heading = there.querySelector("h1, h2, h3") ?? there;
    if (heading.tabIndex < 0) heading.tabIndex = -1;
    return heading;
}

/** Tab, from the line or its link, either way. */
function goOn(event) {
    const line = event.currentTarget;
    const inside = event.shiftKey ? event.target !== line : event.target === line && line.querySelector("a");
    if (event.key !== "Tab" || inside) return;
    const back = place.map(goal).find(Boolean);
    if (!back) return;
    event.preventDefault();
    back.focus();
}

export function keepPlace(line) {
    addEventListener("focusin", remember);
    line.addEventListener("keydown", goOn);
}
