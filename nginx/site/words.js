// The words for the closed sets that the API speaks in. What is in no set is shown as it came, as text.
import { clean } from "/page.js";

const risks = { read: "read only", write: "can change things", admin: "far-reaching", unknown: "effect unknown" };
const kinds = {
    plugin: "plugin", session: "browser", browser: "browser", cli: "command line", key: "API key", "api-key": "API key",
    mcp: "MCP client", recovery: "recovery code", passkey: "passkey",
};

export const riskWord = risk => risks[risk] ?? risks.unknown;
export const kindWord = kind => kinds[kind] ?? clean(kind, 40);

/** The fields of one scope, and the tone of its mark. The scope itself is shown whole. */
export function scopeFields({ scope, text, risk }) {
    return { text: clean(text, 600) || "No description is known for this.", risk: riskWord(risk), scope: clean(scope, 2000) };
}
