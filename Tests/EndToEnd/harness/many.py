"""Many requests at the same moment: connections that are open already, all written to before any answer is read."""

import concurrent.futures
import http.client
import json
import re
import socket
import ssl
import time

from .instance import Instance


class Many:
    def __init__(self, instance: Instance, number: int):
        context = ssl.create_default_context(cafile=instance.ca)
        self.host = f"localhost:{instance.port}"
        self.connections = [
            context.wrap_socket(socket.create_connection(("127.0.0.1", instance.port), timeout=30), server_hostname="localhost")
            for _ in range(number)]

    def __enter__(self) -> "Many":
        return self

    def __exit__(self, *_) -> None:
        for connection in self.connections:
            connection.close()

    def send(self, method: str, path: str, key: str, body: dict) -> None:
        content = json.dumps(body).encode()
        head = (f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n")
        for connection in self.connections:
            connection.sendall(head.encode() + content)

    def answers(self) -> list[tuple[int, dict]]:
        """Status and JSON of each."""
        read = []
        for connection in self.connections:
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            read.append((reply.status, json.loads(reply.read())))
        return read


def set_aside(instance: Instance, seconds: float = 2) -> dict[int, int]:
    """How many requests wait for the network, by worker. Each answers for itself, and nginx asks whom it has a connection
    to: so many are asked at a time that it needs new ones, and more than one worker takes up at once."""
    found: dict[int, int] = {}
    end = time.monotonic() + seconds
    with concurrent.futures.ThreadPoolExecutor(24) as threads:
        while set(found) != set(instance.children("work")) and time.monotonic() < end:
            for reply in threads.map(lambda _: instance.get("/metrics"), range(24)):
                [(pid, count)] = re.findall(
                    r'^toolshed_worker_requests_set_aside\{pid="(\d+)"\} (\d+)$', reply.text, re.MULTILINE)
                found[int(pid)] = int(count)
    return found
