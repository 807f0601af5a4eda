"""Waiting for a state instead of sleeping."""

import time


def until(condition, what: str, seconds: float = 30):
    """The first true value of `condition()`; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)
