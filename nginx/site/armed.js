// Buttons that decide something. A page that pops up under a moving finger must not be answered by it: they work only
// after the page was visible and focused for 700 ms without a break.

/** `ready()` says whether there is anything to decide now. Answers `arm` and `disarm`. */
export function armed(buttons, ready) {
    let timer;
    let focused = null;

    function arm() {
        clearTimeout(timer);
        if (!ready() || document.visibilityState !== "visible" || !document.hasFocus()) return;
        timer = setTimeout(() => {
            for (const button of buttons) button.disabled = false;
            if (focused && document.activeElement === document.body) focused.focus();
            focused = null;
        }, 700);
    }

    function disarm() {
        clearTimeout(timer);
        if (buttons.includes(document.activeElement)) focused = document.activeElement;
        for (const button of buttons) button.disabled = true;
    }

    addEventListener("blur", disarm);
    addEventListener("focus", arm);
    document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? arm() : disarm()));
    return { arm, disarm };
}
