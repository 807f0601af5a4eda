// WebAuthn: the worker asks, the authenticator answers, the worker checks. What the authenticator derives (PRF) opens the
// vault: it goes into one request's body and is overwritten here.
import { call, Problem } from "/page.js";

const algorithms = [-7, -8, -257]; // ES256, EdDSA, RS256

export const possible = () => "PublicKeyCredential" in window && "credentials" in navigator;

const ask = () => call("POST", "/api/sign-in/passkey/options");
const question = asked => ({
    challenge: bytes(asked.challenge), rpId: asked.rpId, timeout: asked.timeout, allowCredentials: [],
    userVerification: "required", extensions: { prf: { eval: { first: bytes(asked.prfSalt) } } },
});

/** Signs in, or in a session confirms that it is still the same person. */
export async function showPasskey() {
    waiting?.abort(); // a browser does one at a time, and the button comes first
    const asked = await ask();
    return show(await ceremony(() => navigator.credentials.get({ publicKey: question(asked) })));
}

let waiting = null;

/** Whether this browser lists passkeys in a field, as it lists names and passwords. */
export const lists = async () => possible() && await PublicKeyCredential.isConditionalMediationAvailable?.().catch(() => false) === true;

/**
 * Waits in that list until a passkey is chosen, then calls `chosen` with what signs in with it. Asks again before the
 * question is too old, while the page is seen; ends when a button is used.
 */
export async function listPasskeys(chosen) {
    for (;;) {
        const asked = await ask();
        const attempt = waiting = new AbortController();
        let tooOld = false;
        const clock = setTimeout(() => attempt.abort(tooOld = true), asked.timeout - 30_000);
        try {
            const credential = await navigator.credentials.get({ mediation: "conditional", signal: attempt.signal, publicKey: question(asked) });
            return chosen(() => show(credential));
        } catch {
            if (!tooOld) return;
        } finally {
            clearTimeout(clock);
            if (waiting === attempt) waiting = null;
        }
        while (document.hidden) await new Promise(seen => document.addEventListener("visibilitychange", seen, { once: true }));
    }
}

function show(credential) {
    const { clientDataJSON, authenticatorData, signature, userHandle } = credential.response;
    const prf = derived(credential);
    return call("POST", "/api/sign-in/passkey", {
        id: text(credential.rawId), clientData: text(clientDataJSON), authenticatorData: text(authenticatorData),
        signature: text(signature), userHandle: userHandle?.byteLength ? text(userHandle) : null, prf: taken(prf),
    });
}

/** Adds one to the person's. Some authenticators derive nothing while they make it: those are asked once more. */
export async function addPasskey(name) {
    const asked = await call("POST", "/api/passkeys/options");
    const credential = await ceremony(() => navigator.credentials.create({ publicKey: {
        challenge: bytes(asked.challenge), timeout: asked.timeout, attestation: "none",
        rp: { id: asked.rpId, name: "Toolshed" }, user: { ...asked.user, id: bytes(asked.user.id) },
        pubKeyCredParams: algorithms.map(alg => ({ type: "public-key", alg })),
        excludeCredentials: asked.excludeCredentials.map(({ id }) => ({ type: "public-key", id: bytes(id) })),
        authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
        extensions: { prf: { eval: { first: bytes(asked.prfSalt) } } },
    } }));
    const { response } = credential;
    const key = response.getPublicKey();
    if (!key) throw new Problem(400, { detail: "This authenticator has none of the kinds of keys that Toolshed knows." });
    const prf = derived(credential);
    const added = await call("POST", "/api/passkeys", {
        name, id: text(credential.rawId), clientData: text(response.clientDataJSON), publicKey: text(key),
        authenticatorData: text(response.getAuthenticatorData()), algorithm: response.getPublicKeyAlgorithm(), prf: taken(prf),
    });
    if (prf || !credential.getClientExtensionResults().prf?.enabled) return added;
    await showPasskey();
    return { ...added, opensVault: true };
}

async function ceremony(run) {
    try {
        return await run();
    } catch (error) {
        if (error.name === "InvalidStateError") throw new Problem(400, { detail: "This authenticator has a passkey of yours already." });
        if (error.name === "NotAllowedError" || error.name === "AbortError") {
            throw new Problem(400, { detail: "No passkey was used. Nothing was changed; try again when you are ready." });
        }
        throw new Problem(400, { detail: "This browser cannot use a passkey here." });
    }
}

function derived(credential) {
    return credential.getClientExtensionResults().prf?.results?.first ?? null;
}

/** As text, and gone from where it was. */
function taken(output) {
    if (!output) return null;
    const said = text(output);
    new Uint8Array(output).fill(0);
    return said;
}

function text(buffer) {
    return btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function bytes(base64url) {
    return Uint8Array.from(atob(base64url.replace(/-/g, "+").replace(/_/g, "/")), letter => letter.charCodeAt(0));
}
