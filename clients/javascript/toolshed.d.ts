// Types of toolshed.js.

export interface TokenOptions {
    /** What this one operation needs, nothing for later. */
    scopes?: string[];
    /** What for, in words for the person; at most 256 characters. */
    reason?: string;
    /** At most 64 characters. */
    tool?: string;
    /** One of several accounts, by connection id or name. */
    account?: string;
    /** Seconds that the token must still live. */
    minTTL?: number;
    /** For so many seconds what passes by itself (503, 429) is tried again. */
    patience?: number;
}

export interface ToolshedOptions {
    url?: string;
    key?: string;
    caFile?: string;
    /** Seconds for one request. */
    timeout?: number;
}

/** What a provider's API takes. Its text does not show when it is printed. */
export class Token {
    private constructor();
    readonly accessToken: string;
    readonly tokenType: string;
    readonly scopes: string[];
    readonly provider: string;
    readonly connection: string;
    readonly account: string;
    readonly refreshed: boolean;
    readonly expiresIn: number | undefined;
    readonly validUntil: string | undefined;
}

/** A refusal. Branch on `status` and `error`, never on the words. */
export class ToolshedError extends Error {
    readonly status: number;
    readonly error: string;
    readonly detail: string;
    readonly document: Record<string, any>;
    readonly retryAfter: number | undefined;
}

/** The person said no. */
export class Declined extends ToolshedError {
    readonly until: string | undefined;
}

/** The link ended without a yes or a no: `error` is expired, failed or timeout. */
export class RequestEnded extends ToolshedError {}

/** A person must act: show them `url` and `matchCode`. */
export class AuthorizationRequired extends ToolshedError {
    readonly url: string;
    readonly matchCode: string;
    readonly reason: string;
    readonly requestId: string;
    readonly missingScopes: string[];
    readonly grantedScopes: string[];
    readonly expiresIn: number;
    /** `timeout` in seconds; by default as long as the link is open. */
    whenAuthorized(options?: { timeout?: number }): Promise<Token>;
    cancel(): Promise<void>;
}

export interface Auth {
    getToken(provider: string, options?: TokenOptions): Promise<Token>;
}

/** One person, on whose behalf something is done. */
export interface Person {
    readonly userId: string | undefined;
    readonly auth: Auth;
}

/** A server, and who asks it. */
export class Toolshed {
    constructor(options?: ToolshedOptions);
    person(userId?: string): Person;
}
