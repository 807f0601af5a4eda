// By which of its keys a plugin asks for this person: one that opens their approvals alone, or the one that opens everybody's.

const WORDS = {
    own: "a key of your own, which opens nothing of anybody else’s",
    general: "its general key, which opens what everybody approved for it",
};

/** What a row says of it: nothing of a plugin that may use nothing, and of one that asks nobody else only whose key it is. */
export function usedKey({ keyInUse, keyUsedAt, connections, addedBy }) {
    if (connections.length === 0) return { usedKey: null, keyUsedAt: null };
    return { usedKey: keyInUse === "general" && addedBy === "you" ? "its general key" : WORDS[keyInUse], keyUsedAt };
}
