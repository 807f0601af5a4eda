// What can be done with a connection: each says what it does before, and what it did after.
import { call, clean, fill, say, trouble } from "/page.js";
import { ask } from "/question.js";
import { afterwards, lookThere, there } from "/revocation.js";
import { connectLink } from "/vault-connections.js";

const address = ({ connection }) => `/api/connections/${encodeURIComponent(connection.id)}`;

async function change(row, members, done) {
    await call("PATCH", address(row), members);
    await row.changed();
    say(done, { focus: true });
}

export function offerChanges(place, row) {
    const { connection, state, open, provider, account, several } = row;
    const name = `${provider} as ${account}`;
    const isPaused = connection.status === "paused";
    fill(place, {
        labelled: open, canDefault: open && several && !connection.default, canPause: state === "active" || state === "locked",
        canResume: isPaused, canBackground: open && !connection.backgroundRefresh, canForeground: open && connection.backgroundRefresh,
        canSeparate: open && connection.separable,
    });
    const on = (verb, act) => place.querySelector(`[data-do=${verb}]`).addEventListener("click", event => act(event.target));
    const form = place.querySelector("form");
    form.elements.label.value = connection.label ?? "";
    form.addEventListener("submit", async event => {
        event.preventDefault();
        const label = form.elements.label.value.trim();
        try {
            await change(row, { label }, label ? `${name} is called “${clean(label, 80)}” from now on.` : `${name} has no name of its own any more.`);
        } catch (problem) {
            trouble(problem);
        }
    });
    on("default", button => ask(button, {
        effect: `A program that names no account at ${provider} gets ${account} from now on.`, yes: "Make default", danger: false,
        act: () => change(row, { default: true }, `${name} is used where no account is named.`),
    }));
    on("pause", button => ask(button, {
        effect: `No program gets a key for ${name} until you resume it, and it is not renewed. A key that a program already holds lives until it expires. Paused for very long, a service may end it by itself.`,
        yes: "Pause", act: () => change(row, { paused: true }, `${name} is paused. Nothing was lost; resume it whenever you like.`),
    }));
    on("resume", button => ask(button, {
        effect: `The programs that you allowed before can use ${name} again.`, yes: "Resume", danger: false,
        act: () => change(row, { paused: false }, `${name} can be used again.`),
    }));
    on("background-on", button => ask(button, {
        effect: `The server itself will be able to open ${name} while you are away, and so will whoever has its ENCRYPTION_KEY and a copy. Copies of the database made while this was on can be opened with the key of that time.`,
        yes: "Switch on", act: () => change(row, { backgroundRefresh: true }, `Background refresh is on for ${name}. Activity says when it was used.`),
    }));
    on("background-off", button => ask(button, {
        effect: `${name} gets a new key that only you and those you let in can open. Copies of the database made while it was on can still be opened with the key of that time.`,
        yes: "Switch off", act: () => change(row, { backgroundRefresh: false }, `Background refresh is off for ${name}. It is renewed when it is used.`),
    }));
    place.querySelector("[data-do=separate]").href = connectLink(connection.provider, connection.scopes, { connection: connection.id, separate: "true" });
}

export function offerRevoke(place, row) {
    place.querySelector("[data-do=revoke]").addEventListener("click", event => ask(event.target, {
        effect: `${row.provider} as ${row.account} is deleted here, and what uses it stops working. ${there(row)}`,
        yes: "Revoke",
        act: async () => {
            const answer = await call("DELETE", address(row));
            // What plugins were let in to, or may still hold, was this connection's, too. Not at the top: that one imports this one.
            const { showPlugins } = await import("/vault-plugins.js");
            await Promise.all([row.changed(), showPlugins()]);
            say(afterwards(answer, row.provider), { focus: true, tone: answer.provider === "failed" ? "bad" : "good", link: lookThere(answer, row.provider) });
        },
    }));
}
