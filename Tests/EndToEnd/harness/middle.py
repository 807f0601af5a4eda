"""Stands on the way to a provider: lets everything through and keeps what was said, or swallows it, or is not to be reached."""

import re
import socket
import threading
from contextlib import suppress


class Middle:
    """`heard` and `said`: the bytes of every connection's requests and answers, the latest last."""

    def __init__(self, port: int):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.heard: list[bytearray] = []
        self.said: list[bytearray] = []
        self.swallows = False
        self._open: list[socket.socket] = []
        self._swallowed: list[socket.socket] = []
        self._fillers: list[socket.socket] = []
        self._accepting = threading.Event()
        self._accepting.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        for one in [self.listener, *self._open, *self._fillers]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def requests(self, since: int = 0) -> int:
        """How many were sent over the connections from number `since` on."""
        return sum(bytes(heard).count(b"POST ") for heard in self.heard[since:])

    def answers(self, member: str) -> list[str]:
        """What the answers had in this member, the latest last."""
        pattern = re.compile(rb'"%s"\s*:\s*"([^"]+)"' % member.encode())
        return [value.decode() for said in self.said for value in pattern.findall(bytes(said))]

    # What it does to those who come

    def swallow(self) -> None:
        """Connections open, requests are taken, and nothing is ever said or passed on."""
        self.swallows = True

    def drop(self) -> None:
        """Whoever wants to connect hears nothing at all: the queue is full, and the kernel drops what comes."""
        self._accepting.clear()
        # Wakes the one that waits in accept.
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.listener.listen(0)
        while True:
            filler = socket.socket()
            filler.settimeout(0.3)
            try:
                filler.connect(("127.0.0.1", self.port))
            except TimeoutError:
                filler.close()
                return
            self._fillers.append(filler)

    def let_through(self) -> None:
        """What was swallowed stays so."""
        self.swallows = False
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        self.listener.listen(128)
        self._accepting.set()
        for one in self._swallowed:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    # Its threads

    def _accept(self) -> None:
        while True:
            self._accepting.wait()
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self._open.append(near)
            if self._accepting.is_set():
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()
            else:
                near.close()

    def _serve(self, near: socket.socket) -> None:
        heard, said = bytearray(), bytearray()
        self.heard.append(heard)
        self.said.append(said)
        with suppress(OSError), near:
            if self.swallows:
                self._swallowed.append(near)
                while block := near.recv(65536):
                    heard += block
                return
            with socket.create_connection(("127.0.0.1", self.target)) as far:
                self._open.append(far)
                threading.Thread(target=self._pump, args=(far, near, said), daemon=True).start()
                self._pump(near, far, heard)

    def _pump(self, source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                kept += block
                if self.swallows:
                    self._swallowed.append(source)
                else:
                    sink.sendall(block)
            sink.shutdown(socket.SHUT_WR)
