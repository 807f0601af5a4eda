// A plugin's limits as lines that a person can read and write, and back. What is written wrongly goes to the server as it
// is, which says what it expected.

/** {"providers": "github slack", "scopes": "github: repo", "rate": "60", "calls": "github GET /repos"} */
export function fromLimits({ providers, scopes, ratePerMinute, calls }) {
    return {
        providers: (providers ?? []).join(" "),
        scopes: Object.entries(scopes ?? {}).map(([provider, list]) => `${provider}: ${list.join(" ")}`).join("\n"),
        rate: ratePerMinute ? String(ratePerMinute) : "",
        calls: (calls ?? []).map(({ provider, methods, path }) => `${provider} ${methods.join(",")} ${path}`).join("\n"),
    };
}

export function toLimits({ providers, scopes, rate, calls }) {
    const limits = {};
    if (words(providers).length) limits.providers = words(providers);
    if (lines(scopes).length) {
        limits.scopes = Object.fromEntries(lines(scopes).map(line => {
            const [provider, ...rest] = line.split(":");
            return [provider.trim(), words(rest.join(":"))];
        }));
    }
    if (rate.trim()) limits.ratePerMinute = /^\d+$/.test(rate.trim()) ? Number(rate) : rate;
    if (lines(calls).length) {
        limits.calls = lines(calls).map(line => {
            const [provider, methods = "", path = ""] = line.split(/\s+/u);
            return { provider, methods: methods.toUpperCase().split(",").filter(Boolean), path };
        });
    }
    return limits;
}

const words = text => text.split(/[\s,]+/u).filter(Boolean);
const lines = text => text.split("\n").map(line => line.trim()).filter(Boolean);
