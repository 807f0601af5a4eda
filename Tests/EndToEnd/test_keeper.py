"""The keeper through the whole service: lost answers, providers that are down, its own end, another ENCRYPTION_KEY."""

import base64
import secrets
from concurrent.futures import ThreadPoolExecutor

from harness.answers import assert_problem
from harness.people import Person, Plugin
from harness.waiting import until

ENDED = 0  # the provider says: dead on arrival


def connect(person, plugin, double, provider="corp", scope="read", **settings):
    """A connection whose token has ended already."""
    double.set("generic" if provider == "corp" else provider, expires_in=ENDED, **settings)
    arrived = person.connect(plugin.link(provider, [scope], user=person)["authorizationUrl"])
    assert arrived.status_code == 303, arrived.text


def status(person) -> str:
    return person.connections()[0]["status"]


def test_a_provider_that_is_down_kills_nothing(person, plugin, double):
    connect(person, plugin, double)
    double.set("generic", expires_in=3600)
    double.fault("generic", "refresh", "503")
    reply = plugin.vend("corp", ["read"], user=person)
    assert reply.status_code == 503 and int(reply.headers["Retry-After"]) >= 1, reply.text
    assert status(person) == "active"
    double.post("fault", clear=True)
    until(lambda: plugin.vend("corp", ["read"], user=person).status_code == 200, "the provider to be asked again")


def test_a_lost_answer_is_no_loss_where_refresh_tokens_stay(person, plugin, double):
    connect(person, plugin, double, provider="google", scope="calendar")
    double.set("google", expires_in=3600)
    double.fault("google", "refresh", "drop", when="after", times=1)
    until(lambda: plugin.vend("google", ["calendar"], user=person).status_code == 200, "the second try")
    assert double.count("google", "refresh") == 2


def test_a_keeper_that_is_killed_in_the_middle_is_replaced_and_loses_nothing(fresh):
    instance = fresh().start()
    person, plugin, double = Person(instance), Plugin(instance), instance.double
    connect(person, plugin, double, provider="google", scope="calendar")
    double.set("google", expires_in=3600)
    double.fault("google", "refresh", "hold")
    with ThreadPoolExecutor(1) as one:
        asked = one.submit(plugin.vend, "google", ["calendar"], user=person)
        double.get("wait", family="google", endpoint="refresh", count=1, timeout=10)
        before = instance.children("keep")
        for pid in before:
            instance.kill(pid)
        double.post("fault", clear=True)
        double.post("release")
        assert_problem(asked.result(), 503, "provider-unavailable")
    until(lambda: set(instance.children("keep")) - set(before), "another keeper")
    until(lambda: plugin.vend("google", ["calendar"], user=person).status_code == 200, "a token")
    assert status(person) == "active"


def in_background(person, instance, double, seconds=4):
    """A connection whose token ends soon, which the service may renew while nobody is there."""
    double.set("google", expires_in=seconds)
    person.connect({"owner": "toolshed", "bridge": "google", "scope": "calendar"})
    mine = next(connection["id"] for connection in person.connections() if connection["provider"] == "google")
    changed = person.call("PATCH", f"/api/connections/{mine}", {"backgroundRefresh": True})
    assert changed.status_code == 204, changed.text
    assert person.post("/api/vault/lock").status_code == 200


def renewed_by_itself(double) -> bool:
    before = double.count("google", "refresh")
    return until(lambda: double.count("google", "refresh") > before, "a renewal that nobody asked for")


def test_with_background_refresh_on_tokens_are_renewed_while_nobody_is_there_by_any_keeper(fresh):
    instance = fresh().start()
    person, double = Person(instance), instance.double
    in_background(person, instance, double)
    assert renewed_by_itself(double)
    for pid in instance.children("keep"):
        instance.kill(pid)
    assert renewed_by_itself(double)


def with_keys(instance, value):
    instance.stop()
    file = instance.dir / "etc/environment"
    lines = [f"ENCRYPTION_KEY={value}" if line.startswith("ENCRYPTION_KEY=") else line
             for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")
    return instance.start()


def test_after_rotate_key_the_old_key_is_needed_for_nothing(fresh):
    instance = fresh().start()
    person, plugin, double = Person(instance), Plugin(instance), instance.double
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    key = person.api_key()
    in_background(person, instance, double)
    lines = (instance.dir / "etc/environment").read_text().splitlines()
    old = next(line for line in lines if line.startswith("ENCRYPTION_KEY=")).partition("=")[2]
    new = base64.b64encode(secrets.token_bytes(32)).decode()

    with_keys(instance, f"2:{new},1:{old}")
    done = instance.json("rotate-key")
    assert done["failed"] == 0 and done["rekeyed"] == 1 and done["resealed"] > 0 and done["retagged"] > 0
    assert instance.json("rotate-key") == {"failed": 0, "rekeyed": 0, "resealed": 0, "retagged": 0}

    with_keys(instance, f"2:{new}")
    assert plugin.token("github", ["repo"], user=person)["accessToken"]
    assert key.token("github", ["repo"])["accessToken"]
    assert all(connection["account"] for connection in person.connections())
    assert renewed_by_itself(double)
