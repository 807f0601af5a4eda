// A secret that is shown once: a recovery code, or a new API key.
import { call, clean, say, stamp, trouble } from "/page.js";

/** Draws the secret in groups of four; its text stays the secret itself, so that copying and reading agree. */
function spell(place, secret) {
    place.replaceChildren(...secret.match(/.{1,4}/gu).map(group => {
        const part = document.createElement("span");
        part.textContent = group;
        return part;
    }));
}

async function copy(secret) {
    try {
        await navigator.clipboard.writeText(secret);
        say("Copied. Other programs can read it until you copy something else.");
    } catch {
        say("This browser did not allow copying. Select the code and copy it yourself.", { tone: "bad" });
    }
}

/** Shows a new key once, in `place`; `gone` is said when the person has stored it. */
export function revealKey(place, name, key, gone) {
    const shown = stamp("key-shown", { name: clean(name) });
    spell(shown.querySelector("[data-f=key]"), key);
    shown.querySelector("[data-do=copy]").addEventListener("click", () => copy(key));
    shown.querySelector("[data-do=stored]").addEventListener("click", () => {
        place.replaceChildren();
        place.hidden = true;
        say(gone, { focus: true });
    });
    place.replaceChildren(shown);
    place.hidden = false;
    shown.querySelector("h3").focus();
}

/**
 * Offers a recovery code in `place`: makes it, shows it once, and forgets it when the person has `stored` it. `now`: the
 * person has said yes already.
 */
export async function offerRecovery(place, stored, now = false) {
    if (now) return reveal(place, (await call("POST", "/api/vault/recovery", {})).code, stored);
    const offer = stamp("recovery-part", {});
    const button = offer.querySelector("[data-do=make]");
    button.addEventListener("click", async () => {
        button.disabled = true;
        try {
            reveal(place, (await call("POST", "/api/vault/recovery", {})).code, stored);
        } catch (problem) {
            trouble(problem);
            button.disabled = false;
        }
    });
    place.replaceChildren(offer);
    place.hidden = false;
}

function reveal(place, code, stored) {
    const shown = stamp("recovery-code", { host: location.host, at: new Date().toISOString() });
    spell(shown.querySelector("[data-f=code]"), code);
    shown.querySelector("[data-do=print]").addEventListener("click", () => print());
    shown.querySelector("[data-do=copy]").addEventListener("click", () => copy(code));
    shown.querySelector("[data-do=stored]").addEventListener("click", () => {
        place.replaceChildren();
        stored();
        say("Good. With that code you can open your vault again from any browser.", { focus: true });
    });
    place.replaceChildren(shown);
    shown.querySelector("[tabindex]").focus();
}
