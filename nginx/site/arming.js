// A page that pops up under a moving finger must not be answered by it: buttons that decide work only after the page was
// visible and focused for 700 ms without a break.
let arming;
let focused = null;

/** Unless `may` says otherwise by then. */
export function arm(buttons, may) {
    clearTimeout(arming);
    if (!may() || document.visibilityState !== "visible" || !document.hasFocus()) return;
    arming = setTimeout(() => {
        for (const button of buttons) button.disabled = false;
        if (focused && document.activeElement === document.body) focused.focus();
        focused = null;
    }, 700);
}

export function disarm(buttons) {
    clearTimeout(arming);
    if (buttons.includes(document.activeElement)) focused = document.activeElement;
    for (const button of buttons) button.disabled = true;
}
