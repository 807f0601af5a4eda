// Tokens from a Toolshed server, for plugins and agents. One file, no dependency (Node.js 18 or newer).
//
//     import { Toolshed, AuthorizationRequired } from "./toolshed.js";
//
//     const ctx = new Toolshed().person("u_…");   // TOOLSHED_URL, TOOLSHED_KEY or TOOLSHED_KEY_FILE, TOOLSHED_CA_FILE
//     let token;
//     try {
//         token = await ctx.auth.getToken("github", { scopes: ["repo"], reason: "List your open issues" });
//     } catch (needed) {
//         if (!(needed instanceof AuthorizationRequired)) throw needed;
//         console.log("Please allow it:", needed.url, "code", needed.matchCode);
//         token = await needed.whenAuthorized();
//     }
//
// Nothing is stored: ask again whenever a token is needed. docs/CLIENTS.md has the rest.
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { inspect } from "node:util";

const MOST_BYTES = 1 << 20;
const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const TERMINAL = new Set(["completed", "declined", "expired", "failed"]);

/** What a provider's API takes. Its text does not show when it is printed. */
export class Token {
    #accessToken;

    /** @param {Record<string, any>} document */
    constructor(document) {
        if (typeof document.accessToken !== "string" || typeof document.connection?.id !== "string") {
            throw unexpected("a token", document);
        }
        this.#accessToken = document.accessToken;
        /** @type {string} */ this.tokenType = document.tokenType;
        /** @type {string[]} */ this.scopes = document.scopes;
        /** @type {string} */ this.provider = document.provider;
        /** @type {string} */ this.connection = document.connection.id;
        /** @type {string} */ this.account = document.connection.account;
        /** @type {boolean} */ this.refreshed = document.refreshed;
        /** Absent where the provider says nothing of an end. @type {number | undefined} */ this.expiresIn = document.expiresIn;
        /** @type {string | undefined} */ this.validUntil = document.validUntil;
    }

    get accessToken() {
        return this.#accessToken;
    }
}

/** A refusal. Branch on `status` and `error`, never on the words. */
export class ToolshedError extends Error {
    /**
     * @param {number} status
     * @param {string} error
     * @param {string} detail
     * @param {Record<string, any>} document
     * @param {number} [retryAfter]
     */
    constructor(status, error, detail, document, retryAfter) {
        super(detail ? `${error}: ${detail}` : error);
        this.name = new.target.name;
        this.status = status;
        this.error = error;
        this.detail = detail;
        /** Everything the server said, such as `accounts` of `account-choice`. */
        this.document = document;
        this.retryAfter = retryAfter;
    }
}

/** The person said no. Do without; do not ask again before `until`, where it is given. */
export class Declined extends ToolshedError {
    /** @returns {string | undefined} */
    get until() {
        return this.document.until;
    }
}

/** The link ended without a yes or a no: `error` is expired, failed or timeout. */
export class RequestEnded extends ToolshedError {}

/** A person must act: show them `url` and `matchCode`, then wait, or ask again when they come back. */
export class AuthorizationRequired extends ToolshedError {
    #caller;
    #ask;
    #statusUrl;
    #interval;

    /**
     * @param {number} status
     * @param {Record<string, any>} document
     * @param {Caller} caller
     * @param {() => Promise<Token>} ask
     */
    constructor(status, document, caller, ask) {
        super(status, "authorization-required", String(document.detail ?? ""), document);
        if (typeof document.authorizationUrl !== "string" || typeof document.statusUrl !== "string") {
            throw unexpected("a link", document);
        }
        /** @type {string} */ this.url = document.authorizationUrl;
        /** @type {string} */ this.matchCode = document.matchCode;
        /** @type {string} */ this.reason = document.reason;
        /** @type {string} */ this.requestId = document.requestId;
        /** @type {string[]} */ this.missingScopes = document.missingScopes ?? [];
        /** @type {string[]} */ this.grantedScopes = document.grantedScopes ?? [];
        /** @type {number} */ this.expiresIn = document.expiresIn;
        this.#statusUrl = String(document.statusUrl);
        this.#interval = Number(document.interval);
        this.#caller = caller;
        this.#ask = ask;
    }

    /**
     * Waits for the person and answers the token. Throws `Declined` when they say no and `RequestEnded` when the link ends
     * otherwise, or when `timeout` seconds (by default as long as the link is open) are over.
     * @param {{ timeout?: number }} options
     * @returns {Promise<Token>}
     */
    async whenAuthorized({ timeout = this.expiresIn } = {}) {
        const deadline = performance.now() + timeout * 1000;
        let interval = this.#interval;
        for (;;) {
            const left = (deadline - performance.now()) / 1000;
            if (left <= 0) throw new RequestEnded(0, "timeout", "the person has not decided yet", {});
            await pause(Math.min(interval, left));
            const { status, document, retryAfter } = await this.#caller.call("GET", this.#statusUrl);
            if (status === 429) {
                // Too fast; from now on this is the pace.
                interval = Math.max(Number(document.interval ?? retryAfter ?? 0), interval);
            } else if (status === 503 || status === 0) {
                interval = Math.max(interval, retryAfter ?? 1);
            } else if (status !== 200) {
                throw refusal(status, document, retryAfter);
            } else if (document.status === "completed") {
                return this.#ask();
            } else if (document.status === "declined") {
                throw new Declined(403, "declined", "the person said no", document);
            } else if (TERMINAL.has(document.status)) {
                throw new RequestEnded(200, document.status, "the link has ended; ask again if it still matters", document);
            } else {
                interval = Number(document.interval ?? interval);
            }
        }
    }

    /** Withdraws the request; its link ends. */
    async cancel() {
        const { status, document, retryAfter } = await this.#caller.call("DELETE", this.#statusUrl);
        if (status !== 204 && status !== 404) throw refusal(status, document, retryAfter);
    }
}

/**
 * A server, and who asks it. What is not given comes from TOOLSHED_URL, TOOLSHED_KEY or the file TOOLSHED_KEY_FILE, and
 * TOOLSHED_CA_FILE.
 */
export class Toolshed {
    #transport;

    /** @param {{ url?: string, key?: string, caFile?: string, timeout?: number }} options `timeout` in seconds */
    constructor({ url = process.env.TOOLSHED_URL, key = keyOfEnvironment(), caFile = process.env.TOOLSHED_CA_FILE, timeout = 30 } = {}) {
        this.#transport = new Transport(url ?? "", key, caFile, timeout);
    }

    /**
     * Whose tokens. With a person's own API key there is nobody to name.
     * @param {string} [userId]
     */
    person(userId) {
        return new Person(this.#transport, userId);
    }
}

/** `ctx` of the examples: one person, on whose behalf something is done. */
export class Person {
    /**
     * @param {Transport} transport
     * @param {string} [userId]
     */
    constructor(transport, userId) {
        this.userId = userId;
        this.auth = new Auth(transport, userId);
    }
}

class Auth {
    #caller;
    #userId;

    /**
     * @param {Transport} transport
     * @param {string | undefined} userId
     */
    constructor(transport, userId) {
        this.#caller = new Caller(transport, userId);
        this.#userId = userId;
    }

    /**
     * A token for what is about to be done: exactly these scopes. Throws `AuthorizationRequired` when the person must act
     * first. What passes by itself (503, 429) is tried again for `patience` seconds.
     * @param {string} provider
     * @param {{ scopes?: string[], reason?: string, tool?: string, account?: string, minTTL?: number, patience?: number }} [options]
     * @returns {Promise<Token>}
     */
    async getToken(provider, options = {}) {
        const { scopes, reason, tool, account, minTTL, patience = 15 } = options;
        const body = {
            provider, userId: this.#userId, scopes: scopes?.length ? scopes : undefined, reason: reason || undefined,
            tool: tool || undefined, account, minTTL,
        };
        const deadline = performance.now() + patience * 1000;
        for (;;) {
            const { status, document, retryAfter } = await this.#caller.call("POST", "/api/tokens/vend", body);
            if (status === 200) return new Token(document);
            if (document.error === "authorization-required") {
                throw new AuthorizationRequired(status, document, this.#caller, () => this.getToken(provider, options));
            }
            const wait = Math.max(1, retryAfter ?? 1);
            if (![0, 429, 503].includes(status) || performance.now() + wait * 1000 > deadline) {
                throw refusal(status, document, retryAfter);
            }
            await pause(wait);
        }
    }
}

/**
 * Asks for one person: with a plugin's key by the key that it gives for this person, so that what is sent for one opens
 * nothing of another; by the key itself where the server does not know such keys, or nobody is named.
 */
class Caller {
    #transport;
    #userId;
    #own;

    /**
     * @param {Transport} transport
     * @param {string | undefined} userId
     */
    constructor(transport, userId) {
        this.#transport = transport;
        this.#userId = userId;
        this.#own = userId ? transport.personKey(userId) : undefined;
    }

    /**
     * @param {string} method
     * @param {string} target
     * @param {object} [body]
     */
    async call(method, target, body) {
        if (!this.#own || !this.#transport.knowsPersonKeys) return this.#transport.call(method, target, body);
        const answer = await this.#transport.call(method, target, body, this.#own);
        if (answer.status !== 401) return answer;
        // The first time for this person: the server is told of the key. Telling it twice does no harm.
        const told = await this.#transport.call("POST", "/api/person-keys", { userId: this.#userId });
        if (told.status === 404 || told.status === 405) {
            this.#transport.knowsPersonKeys = false;
            return this.#transport.call(method, target, body);
        }
        return told.status === 204 ? this.#transport.call(method, target, body, this.#own) : told;
    }
}

/**
 * HKDF-SHA-256 (RFC 5869) of a plugin key's secret for one person (docs/KEYS.md); nothing: not a plugin's key.
 * @param {string} key
 * @param {string} userId
 */
function personKey(key, userId) {
    if (!/^tsp_[A-Za-z0-9_-]{64}[0-9A-Za-z]{6}$/.test(key)) return undefined;
    const secret = Buffer.from(key.slice(4, 68), "base64url").subarray(16);
    const info = Buffer.concat(["toolshed/v1/person-key", userId].flatMap(field => {
        const bytes = Buffer.from(field, "utf8");
        return [Buffer.from([0, 0, bytes.length >> 8, bytes.length & 255]), bytes];
    }));
    const pseudorandom = hmac(new Uint8Array(32), [secret]);
    const first = hmac(pseudorandom, [info, Buffer.from([1])]);
    const second = hmac(pseudorandom, [first, info, Buffer.from([2])]);
    const text = `tsu_${Buffer.concat([first, second.subarray(0, 16)]).toString("base64url")}`;
    let [rest, digits] = [crc32(text), ""];
    for (let place = 0; place < 6; place++) {
        digits = BASE62[rest % 62] + digits;
        rest = Math.floor(rest / 62);
    }
    return text + digits;
}

/**
 * @param {Uint8Array} key
 * @param {Uint8Array[]} parts
 */
function hmac(key, parts) {
    const made = createHmac("sha256", key);
    for (const part of parts) made.update(part);
    return made.digest();
}

/** @param {string} text ASCII */
function crc32(text) {
    let crc = ~0;
    for (const byte of Buffer.from(text, "utf8")) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc >>> 0;
}

/** @param {number} seconds */
function pause(seconds) {
    // A longer timer than this fires at once.
    return new Promise(resolve => setTimeout(resolve, Math.min(seconds * 1000, 2 ** 31 - 1)));
}

/**
 * Something in between may answer in the server's place.
 * @param {string} what
 * @param {Record<string, any>} document
 */
function unexpected(what, document) {
    return new ToolshedError(0, "unexpected-answer", `the server's answer is not ${what}`, document);
}

/**
 * @param {number} status
 * @param {Record<string, any>} document
 * @param {number} [retryAfter]
 */
function refusal(status, document, retryAfter) {
    const error = String(document.error ?? (status === 0 ? "unreachable" : "unavailable"));
    const kind = error === "scope-declined" ? Declined : ToolshedError;
    return new kind(status, error, String(document.detail ?? document.title ?? ""), document, retryAfter);
}

function keyOfEnvironment() {
    if (process.env.TOOLSHED_KEY) return process.env.TOOLSHED_KEY;
    const file = process.env.TOOLSHED_KEY_FILE;
    return file ? readFileSync(file, "ascii").trim() : "";
}

class Transport {
    #key;
    #ca;
    #timeout;

    /**
     * @param {string} url
     * @param {string} key
     * @param {string | undefined} caFile
     * @param {number} timeout
     */
    constructor(url, key, caFile, timeout) {
        const address = parsedURL(url);
        const loopback = ["127.0.0.1", "[::1]", "localhost"].includes(address?.hostname ?? "");
        if (!address || !(address.protocol === "https:" || (address.protocol === "http:" && loopback))) {
            throw new TypeError("TOOLSHED_URL: expected https://HOST");
        }
        if (!key) throw new TypeError("TOOLSHED_KEY or TOOLSHED_KEY_FILE: expected the key of a plugin or of a person");
        this.origin = address.origin;
        /** Until the server says that it does not. */
        this.knowsPersonKeys = true;
        this.#key = key;
        this.#ca = caFile ? readFileSync(caFile) : undefined;
        this.#timeout = timeout * 1000;
    }

    /** @param {string} userId */
    personKey(userId) {
        return personKey(this.#key, userId);
    }

    /**
     * Status (0: nobody answered), document, Retry-After. Redirects are not followed: the key goes to the server that was
     * named and nowhere else.
     * @param {string} method
     * @param {string} target
     * @param {object} [body]
     * @param {string} [key]
     * @returns {Promise<{ status: number, document: Record<string, any>, retryAfter?: number }>}
     */
    call(method, target, body, key = this.#key) {
        const url = new URL(target, this.origin);
        if (url.origin !== this.origin) throw new ToolshedError(0, "unexpected-address", "the server named another server", {});
        const data = body === undefined ? undefined : JSON.stringify(body);
        /** @type {Record<string, string | number>} */
        const headers = { Authorization: `Bearer ${key}`, Accept: "application/json, application/problem+json" };
        if (data !== undefined) {
            headers["Content-Type"] = "application/json";
            headers["Content-Length"] = Buffer.byteLength(data);
        }
        const send = url.protocol === "https:" ? httpsRequest : httpRequest;
        return new Promise((resolve, reject) => {
            const request = send(url, { method, headers, ca: this.#ca, timeout: this.#timeout }, reply => {
                /** @type {Buffer[]} */
                const parts = [];
                let size = 0;
                reply.on("data", part => {
                    size += part.length;
                    if (size > MOST_BYTES) request.destroy(new Error("too large"));
                    else parts.push(part);
                });
                reply.on("end", () => {
                    const wait = reply.headers["retry-after"];
                    resolve({
                        status: reply.statusCode ?? 0, document: parsed(Buffer.concat(parts).toString("utf8")),
                        retryAfter: wait && /^\d+$/.test(wait) ? Number(wait) : undefined,
                    });
                });
                reply.on("error", unanswered);
            });
            /** @param {Error & { code?: string }} fault */
            function unanswered(fault) {
                const code = fault.code ?? "";
                if (/CERT|SIGNED|VERIFY|ISSUER/.test(code)) {
                    reject(new ToolshedError(0, "untrusted-certificate", "set TOOLSHED_CA_FILE to the server's authority", {}));
                } else {
                    resolve({ status: 0, document: { error: "unreachable", detail: code || "no answer" } });
                }
            }
            request.on("timeout", () => request.destroy(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" })));
            request.on("error", unanswered);
            request.end(data);
        });
    }

    [inspect.custom]() {
        return `Transport(${this.origin})`;
    }
}

/** @param {string} text */
function parsedURL(text) {
    try {
        return new URL(text);
    } catch {
        return null;
    }
}

/**
 * @param {string} text
 * @returns {Record<string, any>}
 */
function parsed(text) {
    try {
        const document = JSON.parse(text);
        return document !== null && typeof document === "object" && !Array.isArray(document) ? document : {};
    } catch {
        return {}; // 204, or a page that something in between put in place of the answer
    }
}
