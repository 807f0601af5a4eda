// The passkeys of the person: what each does, adding and removing.
import { byId, call, clean, say, stamp, trouble } from "/page.js";
import { here } from "/confirm.js";
import { addPasskey, possible } from "/passkey.js";
import { ask } from "/question.js";
import { offerLost, takeAway } from "/vault-keys.js";
import { pagedList, tie } from "/vault-list.js";

const list = pagedList("passkeys", "/api/passkeys", "passkeys", passkeyRow, { what: "passkeys" });
export const showPasskeys = () => list.show();

function passkeyRow(passkey, { loaded }) {
    const name = clean(passkey.name) || "An unnamed passkey";
    const row = stamp("passkey", {
        name, opens: passkey.opensVault, signsIn: !passkey.opensVault, synced: passkey.synced, suspect: passkey.suspectAt,
        createdAt: passkey.createdAt, lastUsedAt: passkey.lastUsedAt, never: !passkey.lastUsedAt,
    });
    row.querySelector("[data-do=remove]").addEventListener("click", event => ask(event.target, {
        effect: `“${name}” no longer signs you in${passkey.opensVault ? " and no longer opens the vault" : ""}. Delete it in your device’s own list, too. If it was stolen, copies of the database made before can still be opened with it.${loaded.length > 1 ? "" : " It is your only one: without a recovery code or a provider to sign in with, nothing shows any more that it is you, so add another first."}`,
        yes: "Remove",
        act: () => takeAway(event.target, "DELETE", `/api/passkeys/${encodeURIComponent(passkey.id)}`, "Remove", async () => {
            await showPasskeys();
            say(`“${name}” is removed.`, { focus: true });
        }),
    }));
    const form = row.querySelector("form");
    form.elements.name.value = passkey.name;
    form.addEventListener("submit", async event => {
        event.preventDefault();
        try {
            const renamed = form.elements.name.value.trim();
            await call("PATCH", `/api/passkeys/${encodeURIComponent(passkey.id)}`, { name: renamed });
            await showPasskeys();
            say(`“${name}” is called “${clean(renamed, 80)}” from now on.`, { focus: true });
        } catch (problem) {
            trouble(problem);
        }
    });
    offerLost(row, passkey.id, name, showPasskeys);
    return tie(row);
}

export function takeNewPasskeys(changed) {
    const form = byId("make-passkey");
    const button = form.querySelector("button");
    form.hidden = !possible();
    form.elements.name.value = here();
    form.addEventListener("submit", async event => {
        event.preventDefault();
        button.disabled = true;
        try {
            const name = form.elements.name.value.trim();
            const { opensVault } = await addPasskey(name);
            say(opensVault ? `“${clean(name)}” signs you in from now on, and opens this vault.`
                : `“${clean(name)}” signs you in from now on. It cannot open this vault: keep a recovery code for that.`, { focus: true });
            form.elements.name.value = here();
            await Promise.all([showPasskeys(), changed()]);
        } catch (problem) {
            trouble(problem);
        }
        button.disabled = false;
    });
}
