// The services from which more can be connected.
import { byId, call, clean, fill, names, stamp } from "/page.js";
import { connectLink } from "/vault-connections.js";

export async function showProviders() {
    const place = byId("providers");
    try {
        const { providers = [] } = await call("GET", "/api/providers");
        place.querySelector("ul").replaceChildren(...providers.filter(({ configured }) => configured).map(providerRow));
        const unset = providers.filter(({ configured }) => !configured).map(({ provider, name }) => clean(name ?? provider, 80));
        fill(place, { unset: unset.join(", ") });
    } catch {
        place.hidden = true;
    }
}

function providerRow({ provider, name, defaultScopes }) {
    const said = clean(name ?? provider, 80);
    const row = stamp("provider", { name: said, verb: `Connect ${said}`, scopes: names(defaultScopes) });
    row.querySelector("a").href = connectLink(provider, defaultScopes, { connection: "new" });
    return row;
}
