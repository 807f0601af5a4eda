"""Pieces of a consent for tests that go a way of their own."""

import threading
import time
from base64 import urlsafe_b64encode

from .database import Database
from .people import Person, link_members

GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}
CORP = {"owner": "toolshed", "bridge": "corp", "scope": "read"}


def approval(person: Person, link=None, **decision) -> str:
    """The login address that a click on Approve gives."""
    reply = person.decide(link or GITHUB, **decision)
    assert reply.status_code == 200, reply.text
    assert "approval=" in reply.json()["location"], reply.text
    return reply.json()["location"]


def depart(person: Person, link=None) -> str:
    """As far as the provider's page: its address."""
    return person.login(approval(person, link))


def callback_address(person: Person, link=None, **choice) -> str:
    """As far as back from the provider: the address that the browser is sent to, not opened yet."""
    return person.instance.double.decide(depart(person, link), **choice)


def result(person: Person, arrived) -> dict:
    """The outcome that a callback's answer leads to; the answer itself has no query and shows nothing."""
    assert arrived.status_code == 303, f"{arrived.status_code} {arrived.text}"
    location = arrived.headers["Location"]
    assert location.startswith("/done#o_") and "?" not in location and arrived.text == ""
    reply = person.get(f"/api/outcomes/{location.split('#')[1]}")
    assert reply.status_code == 200, reply.text
    return reply.json()


def error(arrived) -> str:
    """The code of the error page that a callback's answer leads to."""
    assert arrived.status_code == 303, f"{arrived.status_code} {arrived.text}"
    page, _, code = arrived.headers["Location"].partition("#")
    assert page == "/error" and arrived.text == "", arrived.headers["Location"]
    return code


def page_members(shown: dict, link) -> dict:
    """What the page's script would post to approve what it shows."""
    members = link_members(link)
    return {"digest": shown["digest"], "decision": "approve", "owner": members.get("owner"),
            "bridge": members["bridge"], "request": members.get("request"), "formToken": shown["formToken"],
            "scopes": [line["scope"] for line in shown["scopes"]], "alsoFor": []}


def at_once(*calls) -> list:
    """All calls in threads that start together; their results in order."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(number: int) -> None:
        barrier.wait()
        results[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def timed(call) -> tuple:
    """What it returns, and how many seconds it took."""
    start = time.monotonic()
    return call(), time.monotonic() - start


def fastest(call, limit: float, refused: bool = False) -> float:
    """Seconds, of the best of seven tries, or of fifty while none was within `limit`: what else runs on this machine is not
    what is measured."""
    best = float("inf")
    for number in range(50):
        if number >= 7 and best < limit:
            break
        reply, seconds = timed(call)
        best = min(best, seconds)
        assert reply.ok != refused, reply.text
    return best


def newest_outcome(person: Person, status: str) -> str:
    """The path of the newest outcome of this status: its id is only in the browser's address bar."""
    row = Database(person.instance).run("SELECT id FROM outcome WHERE status = ? ORDER BY expires_at_ms DESC LIMIT 1", status)
    return f"/api/outcomes/o_{urlsafe_b64encode(row[0][0]).rstrip(b'=').decode()}"
