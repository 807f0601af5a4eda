// As much of Node.js as toolshed.js uses, so that checking it needs nothing from a registry.
declare class Buffer extends Uint8Array {
    static concat(parts: Uint8Array[]): Buffer;
    static from(text: string, encoding: "utf8" | "base64url"): Buffer;
    static from(bytes: number[]): Buffer;
    static byteLength(text: string): number;
    subarray(start?: number, end?: number): Buffer;
    toString(encoding?: "utf8" | "base64url"): string;
}

declare const process: { env: Record<string, string | undefined>; exitCode?: number };

declare module "node:crypto" {
    export interface Hmac {
        update(part: Uint8Array): Hmac;
        digest(): Buffer;
    }
    export function createHmac(algorithm: "sha256", key: Uint8Array): Hmac;
}

declare module "node:fs" {
    export function readFileSync(path: string): Buffer;
    export function readFileSync(path: string, encoding: "ascii"): string;
}

declare module "node:util" {
    export const inspect: { readonly custom: unique symbol };
}

declare module "node:http" {
    export interface Reply {
        statusCode?: number;
        headers: Record<string, string | undefined>;
        on(event: "data", take: (part: Buffer) => void): void;
        on(event: "end", take: () => void): void;
        on(event: "error", take: (fault: Error & { code?: string }) => void): void;
    }
    export interface Request {
        on(event: "timeout", take: () => void): void;
        on(event: "error", take: (fault: Error & { code?: string }) => void): void;
        end(body?: string): void;
        destroy(fault: Error): void;
    }
    export interface Options {
        method: string;
        headers: Record<string, string | number>;
        ca?: Buffer;
        timeout: number;
    }
    export function request(url: URL, options: Options, take: (reply: Reply) => void): Request;
}

declare module "node:https" {
    export { request } from "node:http";
}
