// Taking a connection back at its service: what it will end there, what came of it, and where to look.

/** What happens at the service, by how far its own way of taking back reaches. */
export function there({ connection, provider, account, state }) {
    if (state === "locked") return `This browser cannot open it, so ${provider} is not told; end it there, too.`;
    if (connection.sharesGrant) return `${provider} is not told, because that could end another connection of yours there as well. To end this one alone, look at ${provider} itself.`;
    return {
        none: `${provider} does not let this server take it back; a key that a program already holds lives until it expires, or until you end it there.`,
        token: `${provider} is told to end this key; other keys for the same account stay.`,
        grant: `${provider} ends everything that ${account} ever allowed this server’s app, not only this: other vaults and other people’s connections to the same account end, too.`,
        installation: `${provider} removes this server’s app from the whole workspace, for everybody in it.`,
    }[connection.revocation] ?? `${provider} is told to end it. How far that reaches is not documented: other connections to the same account may end, too.`;
}

/** The four ways in which it can end, as they are. */
export function afterwards({ provider, shared }, name) {
    return {
        revoked: `Removed here and taken back at ${name}.`,
        unsupported: `Removed here. ${name} does not let a server take it back; you can do it there yourself.`,
        failed: `Removed here. ${name} did not confirm that it was taken back; please check there.`,
    }[provider] ?? (shared ? `Removed here. ${name} was not told: another connection of yours may stand on the same consent, and would have ended with it.` : `Removed here. There was nothing that ${name} could be told to end.`);
}

export function lookThere({ provider, manageUrl }, name) {
    return provider !== "revoked" && /^https:\/\//.test(manageUrl ?? "") ? { href: manageUrl, text: `Look at ${name}.` } : null;
}
