"""An API behind /proxy that does what no good API does, and takes and gives bodies of any length without holding them."""

import hashlib
import socket
import threading
from urllib.parse import parse_qsl, urlsplit

BLOCK = bytes(range(256)) * 256


class Upstream:
    """`answers[path]` is a function of (connection, call) that writes the answer itself; other paths are echoed."""

    def __init__(self):
        self.calls: list[Call] = []
        self.answers = {"/sink": sink, "/source": source}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            try:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = reader.readline(65536)
                    if not line:
                        return
                    head += line
                call = Call(head, reader)
                self.calls.append(call)
                path = urlsplit(call.target).path.removeprefix("/base")
                self.answers.get(path, echo)(connection, call)
            except OSError:
                pass

    def close(self) -> None:
        self.listener.close()

    def provider(self, double_port: int) -> str:
        """The operator's file: people connect at the double, the API is here."""
        return f"""\
version: 1
owner: toolshed
providers:
  upstream:
    name: Upstream
    issuer: http://127.0.0.1:{double_port}/generic
    allow_loopback_http: true
    client: {{ id: generic-client, secret: generic-secret }}
    api: {{ base: "http://127.0.0.1:{self.port}/base", headers: [X-Own-Version], bundles: [/many] }}
    default_scopes: [read]
    operations:
      items.list: {{ call: "GET /items", text: "List items.", scopes: [read] }}
      items.create: {{ call: "POST /items", text: "Create an item.", scopes: [write], or: ["admin"] }}
      notes.read: {{ call: "GET /notes/{{id}}", text: "Read a note.", scopes: [notes] }}
    authorize: {{ pkce: {{ default: S256, available: [S256] }} }}
    identity:
      - {{ method: GET, url: "http://127.0.0.1:{double_port}/generic/userinfo", id: sub, label: preferred_username }}
"""

    def keyed(self) -> str:
        """The same API for those who have a key."""
        return f"""\
version: 1
providers:
  upkeyed:
    name: Upstream with keys
    kind: api_key
    allow_loopback_http: true
    api_key: {{ header: X-Api-Key }}
    api: {{ base: "http://127.0.0.1:{self.port}/base", headers: [X-Api-Key] }}
"""


class Call:
    def __init__(self, head: bytes, reader):
        self.head, self.reader = head, reader
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:] if line)]
        self.received = 0
        self.digest = hashlib.sha256()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def body(self):
        """Blocks of the body as they come."""
        if self.header("transfer-encoding") == "chunked":
            while size := int(self.reader.readline().split(b";")[0], 16):
                yield from self.blocks(size)
                self.reader.readline()
            self.reader.readline()
        else:
            yield from self.blocks(int(self.header("content-length") or 0))

    def blocks(self, left: int):
        while left:
            block = self.reader.read1(min(left, 65536))
            if not block:
                raise ConnectionError("the body ended early")
            left -= len(block)
            self.received += len(block)
            self.digest.update(block)
            yield block


def reply(connection, body: bytes = b"{}", status: str = "200 OK", headers: tuple = (("Content-Type", "application/json"),)) -> None:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}", "", ""]
    connection.sendall("\r\n".join(lines).encode() + body)


def echo(connection, call: Call) -> None:
    for _ in call.body():
        pass
    reply(connection)


def sink(connection, call: Call) -> None:
    for _ in call.body():
        pass
    reply(connection, f'{{"bytes": {call.received}, "sha256": "{call.digest.hexdigest()}"}}'.encode())


def source(connection, call: Call) -> None:
    left = int(dict(parse_qsl(urlsplit(call.target).query))["bytes"])
    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {left}\r\n\r\n".encode())
    while left:
        sent = min(left, len(BLOCK))
        connection.sendall(BLOCK[:sent])
        left -= sent


def raw(text: bytes):
    """An answer of exactly these bytes, and then the end."""
    def answer(connection, call: Call) -> None:
        for _ in call.body():
            pass
        connection.sendall(text)
    return answer
