"""F24, F26 to F29: a disk that is full, fails, lies or was tampered with, and a reader that does not leave."""

import errno
import random
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing

import pytest
from harness.aftermath import Aftermath, whole
from harness.answers import assert_problem
from harness.injection import Injection
from harness.loot import DATABASE
from harness.waiting import until


def keys(person) -> list[str]:
    return [key["name"] for key in person.get("/api/keys?limit=500").json()["keys"]]


def one_worker(fresh):
    return fresh(environment={"TOOLSHED_WORKERS": "1"}).start()


def long(*arguments, **more):
    return pytest.param(*arguments, marks=pytest.mark.long, **more)


@pytest.mark.parametrize("call, error", [("fdatasync", errno.EIO), long("pwrite64", errno.EIO),
                                         ("pwrite64", errno.ENOSPC), long("pwrite64", errno.EROFS)])
def test_what_could_not_be_stored_is_not_said_to_be_and_reading_goes_on(fresh, company, call, error):
    """F27, F28, in a worker: a 503 that says so, no partial state, and all is well once the disk is."""
    instance = one_worker(fresh)
    us = company(instance)
    after, names = Aftermath(instance), keys(us.person)
    [worker] = instance.children("work")
    with Injection(worker, call, error) as injection:
        for number in range(3):
            reply = us.person.post("/api/keys", {"name": f"never {number}"})
            assert_problem(reply, 503, "unavailable")
        assert us.vend().status_code == 200, "what is read and appended only goes on"
        assert us.person.get("/api/connections").status_code == 200
    assert injection.struck
    made = until(lambda: (reply := us.person.post("/api/keys", {"name": "afterwards"})).status_code == 201 and [reply], "room")
    assert made[0].json()["key"] and keys(us.person) == [*names, "afterwards"]
    after.check([*us.secrets, made[0].json()["key"]])


def test_a_keeper_whose_sync_fails_leaves_and_its_successor_recovers(fresh, company):
    """F27, in the keeper: after a failed sync nobody knows what is on the disk."""
    instance = one_worker(fresh)
    us = company(instance)
    after = Aftermath(instance)
    [keeper] = instance.children("keep")
    with Injection(keeper, "fdatasync", errno.EIO) as injection:
        us.person.api_key()  # something to copy back
        until(lambda: instance.children("keep") not in ([], [keeper]), "another keeper")
    assert injection.struck and "ended with status 70" in instance.log()
    until(lambda: us.vend().status_code == 200, "a vend")
    after.check(us.secrets)


def test_a_refresh_that_cannot_be_stored_is_not_sent(fresh, company):
    """F26, F28: the intent comes before the request, and where it cannot be stored there is no request."""
    instance = one_worker(fresh)
    instance.double.set("generic", expires_in=0, refresh="rotate+kill")
    us = company(instance)
    instance.double.set("generic", expires_in=3600)
    [keeper] = instance.children("keep")
    with Injection(keeper, "pwrite64", errno.ENOSPC) as injection:
        assert us.vend().status_code == 503
    assert injection.struck and instance.double.count("generic", "refresh") == 0
    until(lambda: us.vend().status_code == 200, "the refresh")
    assert instance.double.count("generic", "refresh") == 1


@pytest.mark.long
def test_a_full_disk_is_told_and_forgotten_once_there_is_room(fresh, company):
    """F26 on a real file system; what the audit reserve does is in test_activity.py."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "1"})
    state = instance.dir / "state"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", state], capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        (instance.dir / "etc/toolshed.yaml").write_text("version: 1\naudit_reserve_mb: 4\n")
        instance.start()
        us = company(instance)
        after = Aftermath(instance)
        fill = state / "fill"
        with fill.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
            except OSError:
                pass
        made, refused = 0, None
        while refused is None:
            reply = us.person.post("/api/keys", {"name": "n" * 60})
            made, refused = (made + 1, None) if reply.status_code == 201 else (made, reply)
            assert made < 2000, "the disk is not full"
        assert_problem(refused, 503, "unavailable")
        assert us.vend().status_code == 200, "the reserve"
        fill.unlink()
        until(lambda: us.person.post("/api/keys", {"name": "room"}).status_code == 201, "room")
        assert len(keys(us.person)) == made + 2
        after.check(us.secrets)
    finally:
        instance.stop()
        subprocess.run(["umount", "-l", state])


@pytest.mark.long
def test_a_reader_that_stays_costs_room_up_to_a_bound_and_what_it_would_fill_is_not_stored(fresh, company, extent):
    """F24: our own reads are single statements and cannot stay; a copy that somebody makes can, and nobody can interrupt it.
    The WAL grows meanwhile, to a bound: then nothing more is stored by requests, tokens are vended and renewed."""
    instance = fresh(environment={"TOOLSHED_WAL_LIMIT_MB": "2", "TOOLSHED_WAL_ALARM_MB": "1"}).start()
    instance.double.set("generic", expires_in=3600, refresh="rotate+kill")
    us = company(instance)
    [connection] = us.person.connections()
    path = f"/api/connections/{connection['id']}"
    after, wal = Aftermath(instance), instance.dir / "state/toolshed.sqlite-wal"
    with closing(sqlite3.connect(instance.dir / DATABASE, isolation_level=None)) as reader:
        reader.execute("PRAGMA wal_autocheckpoint = 0")
        reader.execute("BEGIN")
        seen = reader.execute("SELECT count(*), max(generation) FROM connection").fetchall()
        for number in range(2000):
            reply = us.person.call("PATCH", path, {"label": f"label {number}"})
            if reply.status_code != 204:
                break
        assert_problem(reply, 503, "unavailable")
        assert 2 << 20 < wal.stat().st_size < 3 << 20, "and not before"
        until(lambda: "the WAL has been longer than 1 MB" in instance.log(), "the alarm", 60)
        stays = time.monotonic() + {"sample": 0, "faults": 30, "full": 600}[extent]
        until(lambda: time.monotonic() > stays, "the reader to have stayed", 700)
        assert us.vend().status_code == 200
        instance.sql("UPDATE connection SET expires_at_ms = 1000, obtained_at_ms = 0")
        assert us.vend().json()["refreshed"] is True, "what a provider gives out once is stored all the same"
        assert us.person.call("PATCH", path, {"label": "no"}).status_code == 503
        assert wal.stat().st_size < 3 << 20
        assert reader.execute("SELECT count(*), max(generation) FROM connection").fetchall() == seen
        reader.execute("ROLLBACK")
    until(lambda: us.person.call("PATCH", path, {"label": "again"}).status_code == 204, "room", 60)
    until(lambda: wal.stat().st_size < 1 << 18, "the WAL to be cut", 60)
    assert [c["label"] for c in us.person.connections()] == ["again"]
    after.check(us.secrets)


def damaged(instance, damage) -> None:
    """Stopped, so that everything is in the one file; `damage` changes its bytes."""
    instance.stop()
    path = instance.dir / DATABASE
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    path.write_bytes(damage(content))


def flip(at: int, bit: int = 0x10):
    def damage(content: bytearray) -> bytes:
        content[at] ^= bit
        return bytes(content)
    return damage


@pytest.mark.parametrize("damage, sentence", [
    long(flip(3), "it does not begin as an SQLite database does", id="another beginning"),
    long(flip(70), "it belongs to another application", id="another application"),
    long(flip(63, 0x40), "newer version", id="a newer schema"),
    pytest.param(lambda content: bytes(content[: len(content) // 2]), "The database file is damaged", id="cut in the middle"),
    long(lambda content: bytes(content[:60]), "does not begin as", id="cut within its first page"),
])
def test_a_damaged_database_is_refused_in_a_sentence_and_left_as_it_is(fresh, company, damage, sentence):
    """F29."""
    instance = fresh().start()
    us = company(instance)
    instance.stop()
    good = shutil.copy(instance.dir / DATABASE, instance.dir / "good")
    damaged(instance, damage)
    bad = (instance.dir / DATABASE).read_bytes()
    with pytest.raises(AssertionError, match="not ready"):
        instance.start()
    assert (instance.dir / DATABASE).read_bytes() == bad
    assert any(sentence in line for line in instance.log().splitlines()[-5:]), instance.log()[-1000:]
    instance.stop()
    shutil.copy(good, instance.dir / DATABASE)
    instance.start()
    whole(instance)
    assert us.vend().status_code == 200


PAGES = {"sample": 2, "faults": 10, "full": 400}


def test_a_page_that_is_wrong_costs_what_is_on_it_and_nothing_is_made_of_it(fresh, company, extent):
    """F29, where no look at the start can find it: one bit of a page in the middle. What is not read is not missed; what is,
    is refused, and no answer has a token that the provider did not give to this person."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "1"}).start()
    us, them = company(instance), company(instance)
    own = {one: one.vend().json()["accessToken"] for one in (us, them)}
    instance.stop()
    path, dice = instance.dir / DATABASE, random.Random(seed := random.randrange(1 << 32))
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ids = [row[0] for table in ("connection", "vault", "slot", "approval") for row in database.execute(f"SELECT id FROM {table}")]
    good = path.read_bytes()
    size, met = 4096, set()
    # Tables and indexes of what they have, and not the many pages that say nothing yet.
    pages = [page for page in range(1, len(good) // size) if any(one in good[page * size : (page + 1) * size] for one in ids)]
    for page in dice.sample(pages, min(PAGES[extent], len(pages))):
        bad, where = bytearray(good), f"seed {seed}, page {page + 1}"
        # Where something is written: in an empty page nothing is wrong.
        used = [offset for offset in range(page * size, (page + 1) * size) if bad[offset]] or [page * size]
        bad[dice.choice(used)] ^= 1 << dice.randrange(8)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        path.write_bytes(bad)
        try:
            instance.start()
        except AssertionError as refused:
            assert "not ready" in str(refused), where
            met.add("refused at the start")
            instance.stop()
            continue
        workers = instance.children("work")
        for one in (us, them):
            for reply in (one.vend(), one.person.get("/api/connections"), one.person.get("/api/keys"), one.person.get("/api/activity")):
                assert reply.status_code in (200, 401, 403, 404, 409, 503), f"{where}: {reply.status_code} {reply.text}"
                met.add(str(reply.status_code))
                if reply.status_code == 200 and "accessToken" in reply.text:
                    assert reply.json()["accessToken"] == own[one], where
        assert instance.children("work") == workers, f"{where}: a worker died of it"
        instance.stop()
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    path.write_bytes(good)
    instance.start()
    whole(instance)
    assert {one.vend().status_code for one in (us, them)} == {200}
    print(f"seed {seed}: {sorted(met)}")
