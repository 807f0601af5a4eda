"""F21: the power is cut at every sync while people connect, a token is refreshed, a key is made and a connection removed."""

import random

import pytest
from harness.aftermath import in_one, sealed_in, whole
from harness.instance import Instance
from harness.loot import DATABASE
from harness.people import Person, Plugin
from harness.powercut import FILES, Recording, fates, opened, state
from harness.waiting import until

CORP = {"owner": "toolshed", "bridge": "corp", "scope": "read"}
# By chance, at each moment; and how many of the images a real service starts on.
EXTENT = {"sample": (1, 1), "faults": (6, 4), "full": (60, 40)}


@pytest.fixture(scope="module")
def recorded():
    """An instance, who is in it, and what it wrote meanwhile; each mark is an answer that said that something was done."""
    instance = Instance(environment={"TOOLSHED_WORKERS": "1", "TOOLSHED_THREADS": "1"})
    try:
        instance.start()
        instance.double.set("generic", expires_in=0)
        person, plugin = Person(instance), Plugin(instance)
        person.connect(plugin.link("corp", ["read"], user=person)["authorizationUrl"])
        instance.double.set("generic", expires_in=3600)
        other = Person(instance)
        secrets = [person.http.cookies["__Host-toolshed"], other.http.cookies["__Host-toolshed"], plugin.key]
        with Recording(instance, [*instance.children("work"), *instance.children("keep")]) as recording:
            def done(reply, status: int):
                assert reply.status_code == status, reply.text
                recording.mark()
                return reply

            done(plugin.vend("corp", ["read"], user=person), 200)  # which refreshes
            approved = done(other.decide(CORP), 200)
            back = instance.double.decide(other.login(approved.json()["location"]))
            done(other.navigate(back, site="cross-site"), 303)
            secrets.append(done(other.post("/api/keys", {"name": "new"}), 201).json()["key"])
            # The keeper copies that into the database, and what comes begins the WAL anew.
            copied = (instance.dir / DATABASE).read_bytes()
            until(lambda: (instance.dir / DATABASE).read_bytes() != copied, "a checkpoint")
            [connection] = other.connections()
            done(other.delete(f"/api/connections/{connection['id']}"), 200)
            done(person.post("/api/keys", {"name": "another"}), 201)
        yield instance, person, plugin, secrets, recording
    finally:
        instance.end()


def history(recording: Recording) -> tuple[list[bytes], list[tuple[int, int]]]:
    """The states that were committed, in order (one may come back: a row that is made and removed); and for each line of
    the recording which of them it had."""
    states: list[bytes] = []
    at: list[tuple[int, int]] = []
    for line in [0] + [event.ended + 1 for event in recording.events]:
        with opened(recording.whole(line)) as database:
            now = state(database)
        if not states or states[-1] != now:
            states.append(now)
        at.append((line, len(states) - 1))
    return states, at


def test_after_a_power_cut_what_was_said_to_be_done_is_done_and_nothing_is_half_done(recorded, extent):
    instance, person, plugin, secrets, recording = recorded
    by_chance, started = EXTENT[extent]
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    kinds = {(event.file, event.kind) for event in recording.events}
    assert {(FILES[0], "write"), (FILES[0], "sync"), (FILES[1], "write"), (FILES[1], "sync")} <= kinds, kinds
    states, at = history(recording)
    assert len(states) > len(recording.marks), "each answer was one commit or more"

    def reached(line: int) -> int:
        return max((number for end, number in at if end <= line), default=0)

    images = cuts = 0
    kept: dict[bytes, dict[str, bytes]] = {}
    for moment in recording.moments():
        said, now = max((reached(mark) for mark in recording.marks if mark <= moment), default=0), reached(moment)
        cuts += 1
        for fate in fates(dice, by_chance):
            image = recording.image(moment, fate)
            with opened(image) as database:
                where = f"seed {seed}, line {moment}, image {images}"
                assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], where
                assert database.execute("PRAGMA foreign_key_check").fetchall() == [], where
                found = state(database)
            assert found in states[: now + 1], f"{where}: half of something"
            assert found in states[said : now + 1], f"{where}: {states.index(found)}, and {said} was said to be done"
            kept[found] = image
            images += 1
    assert set(kept) == set(states), "some state was never cut in"
    print(f"{len(recording.events)} calls, {len(states)} states, {cuts} cuts, {images} images, seed {seed}")
    for image in kept.values():
        with opened(image) as database:
            assert sealed_in(in_one(database), instance, secrets) == [], f"seed {seed}"
    for found in dice.sample(states, min(started, len(states))):
        start_on(instance, kept[found])
        where = f"seed {seed}, state {states.index(found)}"
        assert len(person.get("/api/connections").json()["connections"]) == 1, where
        # What a cut took back of a refresh, the provider still knows: it is told, or mended.
        reply = until(lambda: (reply := plugin.vend("corp", ["read"], user=person)).status_code in (200, 403) and [reply], where)[0]
        assert reply.status_code == 200 or reply.json()["reason"] == "reauthorization-required", where


def start_on(instance, image: dict[str, bytes]) -> None:
    instance.stop()
    for file in (instance.dir / "state").glob("toolshed.sqlite*"):
        file.unlink()
    for name, content in image.items():
        file = instance.dir / "state" / name
        file.touch(mode=0o600)
        file.write_bytes(content)
    instance.start()
    whole(instance)
