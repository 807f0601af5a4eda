// A question inside the page: says what will happen, and only then does it.
import { stamp, trouble } from "/page.js";

let asked = 0;

/**
 * Puts the question in the place of the actions that `button` stands in. `yes` names the button that does it, `effect`
 * is the sentence before, `act` does it and answers nothing; what happened afterwards is said by `act`. `danger` is how
 * the button looks.
 */
export function ask(button, { effect, yes, act, danger = true }) {
    if (button.closest("li, .card").querySelector(".confirm")) return; // one question at a time in one place
    const place = button.closest(".actions, .check");
    const question = stamp("question", { effect, yes });
    const text = question.querySelector("p");
    question.setAttribute("aria-labelledby", text.id = `question-${asked += 1}`);
    const [confirm, leave] = question.querySelectorAll("button");
    confirm.classList.toggle("danger", danger);
    const close = () => {
        question.remove();
        place.hidden = false;
    };
    const give = () => {
        close();
        button.focus();
    };
    confirm.addEventListener("click", async () => {
        confirm.disabled = leave.disabled = true;
        try {
            await act();
            close();
        } catch (problem) {
            give();
            trouble(problem);
        }
    });
    leave.addEventListener("click", give);
    question.addEventListener("keydown", event => event.key === "Escape" && !confirm.disabled && give());
    place.hidden = true;
    place.after(question);
    text.focus();
}
