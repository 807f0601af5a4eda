"""Callers that ask again and again until told to stop, and remember every answer."""

import threading
from collections import Counter

import requests


class Load:
    """`call(number)` is made by each of `threads` in a loop and returns a requests.Response."""

    def __init__(self, call, threads: int = 8):
        self._call, self._stop = call, threading.Event()
        self._lock = threading.Lock()
        self.statuses: Counter = Counter()
        self.odd: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def total(self) -> int:
        with self._lock:
            return sum(self.statuses.values())

    def _run(self, number: int) -> None:
        while not self._stop.is_set():
            try:
                reply = self._call(number)
                status, text = reply.status_code, reply.text[:300]
            except requests.RequestException as failure:
                status, text = type(failure).__name__, str(failure)
            with self._lock:
                self.statuses[status] += 1
                if status != 200:
                    self.odd.append(f"{status} {text}")
