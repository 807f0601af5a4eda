"""kill −9 of every worker at some moment of a step of linking or of revoking as lost: nothing is lost, and the step can
be taken again until it is done."""

import random
import threading

import decryptor as d
import pytest
import requests

from harness.database import Database
from harness.people import SAME_ORIGIN, Person
from harness.waiting import until

LINK = "/api/vault/link"
PROVIDERS = {"github": "repo", "google": "calendar", "slack": "chat:write", "linear": "read", "corp": "read"}


@pytest.fixture(scope="module")
def killed(module_instance):
    return module_instance


def interrupted(person: Person, path: str, body: dict, after: float) -> int | None:
    """The status of a request during which all workers are killed; None when there was no answer of theirs."""
    answers = []

    def ask() -> None:
        try:
            with person.instance.session() as http:
                http.cookies.update(person.http.cookies)
                answers.append(http.post(person.instance.origin + path, json=body, headers=SAME_ORIGIN, timeout=30).status_code)
        except requests.RequestException:
            answers.append(None)

    victims = person.instance.children("work")
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(after)
    for victim in victims:
        person.instance.kill(victim)
    thread.join()
    # The supervisor would wait longer each time that its workers die so often.
    person.instance.stop()
    person.instance.start()
    return answers[0] if answers[0] and answers[0] < 500 else None


def again(person: Person, body: dict, path: str = LINK) -> requests.Response:
    """The same step once more, as often as it is told to come again."""
    # A response of 404 is false by itself.
    return until(lambda: (reply := person.post(path, body)).status_code < 500 and [reply], "an answer")[0]


def vendable(key, providers) -> None:
    for provider in providers:
        reply = until(lambda: (reply := key.vend(provider, [PROVIDERS[provider]])).status_code < 500 and [reply], "a vend")[0]
        assert reply.status_code == 200, f"{provider}: {reply.text}"


def test_linking_is_interrupted_anywhere_and_loses_nothing(killed):
    dice, seen = random.Random(7), set()
    person = Person(killed)
    key = person.api_key()
    connected = []
    for provider, scope in PROVIDERS.items():
        elsewhere = person.elsewhere()
        theirs = elsewhere.api_key()
        elsewhere.connect({"owner": "toolshed", "bridge": provider, "scope": scope})
        connected.append(provider)

        def step(browser: Person, body: dict) -> dict:
            first = interrupted(browser, LINK, body, dice.uniform(0, 0.04))
            seen.add((body["step"], first is not None))
            reply = again(browser, body)
            assert reply.status_code in (200, 201), f"{body['step']} after {first}: {reply.text}"
            return reply.json()

        offer = step(person, {"step": "offer"})
        step(elsewhere, {"step": "claim", "code": offer["code"]})
        step(person, {"step": "seal", "id": offer["id"]})
        digest = elsewhere.get(LINK).json()["offers"][-1]["digest"]
        step(elsewhere, {"step": "accept", "id": offer["id"], "digest": digest})
        for holder in (key, theirs):
            vendable(holder, connected)
        assert len(elsewhere.connections()) == len(connected)
        assert {c["status"] for c in person.connections()} == {"active"}
    # The kills fell on both sides of the answer, or this has proved nothing.
    assert {answered for _, answered in seen} == {True, False}, seen


def test_revoking_as_lost_is_interrupted_anywhere_and_loses_nothing(killed):
    dice, seen = random.Random(11), set()
    person = Person(killed)
    for provider, scope in PROVIDERS.items():
        person.connect({"owner": "toolshed", "bridge": provider, "scope": scope})
    kept = person.api_key()
    for turn in range(10):
        lost = person.api_key()
        first = interrupted(person, "/api/vault/lost", {"holder": lost.id}, dice.uniform(0, 0.08) if turn % 2 else 0.002 * turn)
        is_there = Database(killed).run("SELECT 1 FROM slot WHERE id = ?", d.identifier(lost.id))
        reply = again(person, {"holder": lost.id}, "/api/vault/lost")
        # Done before it was killed: what it led to is said again.
        assert reply.status_code == 200 and len(reply.json()["connections"]) == len(PROVIDERS), reply.text
        seen.add("before" if is_there else "after")
        assert first in (None, 200)
        assert lost.vend("github", ["repo"]).status_code == 401
        vendable(kept, PROVIDERS)
        assert {c["status"] for c in person.connections()} == {"active"}
    assert seen == {"before", "after"}, seen
