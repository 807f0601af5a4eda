// The words for the closed sets that the API speaks in. What is in no set is shown as it came, as text.
import { clean, stamp } from "/page.js";

const risks = { read: "read only", write: "can change things", admin: "far-reaching", unknown: "effect unknown" };
const kinds = {
    plugin: "plugin", session: "browser", browser: "browser", cli: "command line", key: "API key", "api-key": "API key",
    mcp: "MCP client", recovery: "recovery code", passkey: "passkey",
};

const riskWord = risk => risks[risk] ?? risks.unknown;
/** Who is gone has only an id left. */
export const callerWord = name => (/^[a-z]_[\w-]{22}$/.test(name ?? "") ? "something since removed" : clean(name));
export const kindWord = kind => kinds[kind] ?? clean(kind, 40);

/** One scope in words, by a template of the page; a service's own name for it is shown whole, and once. */
export function scopeRow({ scope, text, risk, optional }) {
    const words = clean(text, 600);
    const row = stamp(optional === true ? "optional" : "asked", {
        text: words && words !== scope ? words : "No description is known for this.", risk: riskWord(risk), scope: clean(scope, 2000),
    });
    row.querySelector("[data-f=risk]").dataset.tone = risk;
    const box = row.querySelector("input");
    if (box) box.value = scope;
    return row;
}
