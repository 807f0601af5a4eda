"""A small HTTP/1.1 server on asyncio: whole requests in, responses out, delivered well or badly on purpose.

Python's http.server spends a thread on every connection and hides the socket; a double has to hold hundreds of
connections, drop some of them halfway and feed others one byte at a time.
"""

import asyncio
import json
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

MOST_HEADER_BYTES = 256 * 1024
MOST_BODY_BYTES = 64 * 1024 * 1024

REASONS = {200: "OK", 204: "No Content", 302: "Found", 303: "See Other", 307: "Temporary Redirect", 400: "Bad Request",
           401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
           422: "Unprocessable Entity", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
           503: "Service Unavailable"}


class Malformed(Exception):
    """The bytes on the connection are not an HTTP request."""


@dataclass
class Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def __post_init__(self):
        parts = urlsplit(self.target)
        self.path = parts.path
        self.query_pairs = parse_qsl(parts.query, keep_blank_values=True)
        self.query = dict(self.query_pairs)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def media_type(self) -> str:
        return (self.header("content-type") or "").split(";")[0].strip().lower()

    @property
    def form_pairs(self) -> list[tuple[str, str]]:
        if self.media_type != "application/x-www-form-urlencoded":
            return []
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)

    @property
    def json(self) -> dict:
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def fields(self) -> dict:
        """The body's fields, whichever of the two encodings it came in."""
        return self.json if self.media_type == "application/json" else dict(self.form_pairs)

    @property
    def bearer(self) -> str | None:
        scheme, _, value = (self.header("authorization") or "").partition(" ")
        return value if scheme.lower() == "bearer" else None


@dataclass
class Response:
    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    # How the bytes travel: whole | drop (close, nothing sent) | cut (half the body, then close) | drip (a byte at a time).
    delivery: str = "whole"
    interval: float = 0.2

    @staticmethod
    def of_json(value, status: int = 200, *headers: tuple[str, str]) -> "Response":
        body = json.dumps(value, separators=(",", ":")).encode()
        return Response(status, body, [("Content-Type", "application/json; charset=utf-8"), *headers])

    @staticmethod
    def of_html(text: str, status: int = 200) -> "Response":
        policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
        return Response(status, text.encode(), [("Content-Type", "text/html; charset=utf-8"),
                                                ("Content-Security-Policy", policy), ("Cache-Control", "no-store")])

    @staticmethod
    def redirect(location: str, status: int = 302) -> "Response":
        return Response(status, b"", [("Location", location), ("Cache-Control", "no-store")])

    def encoded(self) -> bytes:
        head = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Status')}"]
        head += [f"{name}: {value}" for name, value in self.headers]
        if self.status != 204:
            head.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*head, "", ""]).encode() + self.body


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Malformed(lines[0])
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:] if line)]
    request = Request(words[0], words[1], headers, b"", connection)
    if (request.header("expect") or "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        request.body = await read_body(request, reader)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return request


async def read_body(request: Request, reader: asyncio.StreamReader) -> bytes:
    if (request.header("transfer-encoding") or "").lower() == "chunked":
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readuntil(b"\r\n")
        while (await reader.readuntil(b"\r\n")) != b"\r\n":
            pass
        return b"".join(parts)
    length = int(request.header("content-length") or 0)
    if length > MOST_BODY_BYTES:
        raise Malformed("body too large")
    return await reader.readexactly(length) if length else b""


async def deliver(response: Response, writer: asyncio.StreamWriter) -> bool:
    """Sends the response as it asks to be sent; answers whether the connection may carry another request."""
    whole = response.encoded()
    if response.delivery == "drop":
        writer.transport.abort()
        return False
    if response.delivery == "cut":
        writer.write(whole[:len(whole) - max(1, len(response.body) // 2)])
        await writer.drain()
        return False
    if response.delivery == "drip":
        for index in range(len(whole)):
            writer.write(whole[index:index + 1])
            await writer.drain()
            await asyncio.sleep(response.interval)
        return False
    writer.write(whole)
    await writer.drain()
    return True


class Server:
    """Serves connections with `respond`, a coroutine from Request to Response."""

    def __init__(self, respond):
        self.respond = respond
        self.connections = 0

    async def listen(self, host: str, port: int, tls) -> asyncio.Server:
        return await asyncio.start_server(self.serve, host, port, backlog=2048, limit=MOST_HEADER_BYTES, ssl=tls)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        try:
            while request := await read_request(reader, writer, connection):
                response = await self.respond(request)
                if not await deliver(response, writer):
                    break
                if (request.header("connection") or "").lower() == "close":
                    break
        except (Malformed, ValueError, ConnectionError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
