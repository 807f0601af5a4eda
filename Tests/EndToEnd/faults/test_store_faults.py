"""F22, F23, F25, F49 and the first start: many writers, a key that is rotated, a database that is just being made."""

import base64
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from harness.aftermath import Aftermath, sealed, whole
from harness.flow import GITHUB
from harness.injection import program
from harness.instance import ROOT
from harness.loot import DATABASE
from harness.people import Person
from harness.waiting import until


def test_every_commit_of_many_writers_is_there_while_the_keeper_checkpoints(fresh, company, extent):
    """F22: four processes' worth of writers beside ours, a ledger of what was committed, and the keeper's checkpoints and
    cuts all the while. What happens without the guard is the next test."""
    instance = fresh().start()
    us = company(instance)
    path = f"/api/connections/{us.person.connections()[0]['id']}"
    after, end, ledgers = Aftermath(instance), threading.Event(), [0] * 4
    seconds = {"sample": 4, "faults": 60, "full": 600}[extent]

    def write(number: int) -> None:
        with closing(sqlite3.connect(instance.dir / DATABASE, timeout=30, isolation_level=None)) as database:
            database.execute("PRAGMA wal_autocheckpoint = 0")
            while not end.is_set():
                database.execute("BEGIN IMMEDIATE")
                database.execute("INSERT INTO meta (name, value) VALUES (?, zeroblob(3000))", (f"ledger:{number}:{ledgers[number] + 1}",))
                database.execute("COMMIT")
                ledgers[number] += 1
                # SQLite queues nobody: four that never pause leave a fifth no turn.
                end.wait(0.005)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    made, begun = 0, time.monotonic()
    while time.monotonic() - begun < seconds:
        reply = us.person.call("PATCH", path, {"label": f"beside {made + 1}"})
        assert reply.status_code in (204, 503), reply.text  # 503: the four had the lock for all of its patience
        made += reply.status_code == 204
    end.set()
    for thread in threads:
        thread.join()
    with closing(sqlite3.connect(instance.dir / DATABASE, timeout=30, isolation_level=None)) as database:
        database.execute("PRAGMA wal_autocheckpoint = 0")
        for number, count in enumerate(ledgers):
            rows = database.execute("SELECT count(*) FROM meta WHERE name GLOB ?", (f"ledger:{number}:*",)).fetchone()[0]
            assert rows == count, f"writer {number} committed {count}, {rows} are there"
        database.execute("DELETE FROM meta WHERE name GLOB 'ledger:*'")
    assert made and [c["label"] for c in us.person.connections()] == [f"beside {made}"]
    print(f"{sum(ledgers)} commits beside {made} of ours")
    after.check(growth=2)


@pytest.mark.skipif(not (3, 7, 0) <= sqlite3.sqlite_version_info < (3, 51, 3), reason="this SQLite has no such bug")
def test_without_the_guard_a_checkpoint_loses_commits_and_with_it_none(tmp_path, extent):
    """F22, the control: a checkpointer is halted at many points after it has the lock for checkpoints, and
    somebody commits meanwhile. As autocheckpoint does it, some points cost the database; with the write lock held, as
    the keeper holds it, the other is told to wait, and nothing is ever lost."""
    built = tmp_path / "walreset"
    subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-o", built, Path(__file__).with_name("walreset.c"), "-lsqlite3"], check=True)

    def outcomes(how: str) -> list[str]:
        said = []
        for steps in range(0, 1000, {"sample": 20, "faults": 5, "full": 1}[extent]):
            for file in tmp_path.glob("database*"):
                file.unlink()
            said.append(subprocess.run([built, tmp_path / "database", str(steps), how], capture_output=True, text=True, check=True,
                                       timeout=60).stdout.strip())
        return said

    bare, guarded = outcomes("bare"), outcomes("guarded")
    lost = sum(one.startswith("lost") for one in bare)
    print(f"without the guard {lost} of {len(bare)} points lose commits")
    assert lost, "the control fails, or it would prove nothing"
    assert guarded == ["refused"] * len(guarded)


@pytest.mark.long
def test_a_writer_in_a_hurry_starves_nobody(fresh):
    """F23."""
    instance = fresh().start()
    people = [Person(instance) for _ in range(4)]
    [person.connect(GITHUB) for person in people]
    paths = [f"/api/connections/{person.connections()[0]['id']}" for person in people]
    times: list[list[float]] = [[] for _ in people]
    end = threading.Event()

    def write(number: int) -> None:
        while not end.is_set():
            start = time.monotonic()
            reply = people[number].call("PATCH", paths[number], {"label": f"label {len(times[number])}"})
            assert reply.status_code == 204, reply.text
            times[number].append(time.monotonic() - start)
            if number:
                end.wait(0.02)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    end.wait(20)
    end.set()
    for thread in threads:
        thread.join()
    print([(len(one), round(max(one), 3)) for one in times])
    assert all(len(one) >= len(times[0]) / 20 for one in times), "somebody got nothing"
    assert max(max(one) for one in times) < 5


def test_every_write_of_the_sources_begins_as_one():
    """F25: a transaction that reads first and writes later can be refused with SQLITE_BUSY_SNAPSHOT, whatever its patience.
    Those of the sources take the write lock first; where a transaction is begun otherwise it is named here."""
    begun = []
    for file in sorted((ROOT / "Sources").rglob("*.swift")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if re.search(r"inTransaction|\.write \{|BEGIN|writer\.queue", line) and not re.search(r"^\s*///?", line):
                begun.append((f"{file.relative_to(ROOT / 'Sources')}", line.strip()))
    odd = [(file, line) for file, line in begun if "inTransaction" in line and ".immediate" not in line
           or re.search(r'"BEGIN(?! IMMEDIATE)', line)]
    assert len(begun) > 50 and odd == [], odd


def killed_at(command: list, environment: dict, call: str, number: int) -> bool:
    """Runs a command that stops itself first, so that the fault is in place before it does anything. True: it was killed."""
    script = 'kill -STOP $$; exec "$@"'
    process = subprocess.Popen(["/bin/bash", "-c", script, "bash", *command], env=os.environ | environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: " (bash) T " in open(f"/proc/{process.pid}/stat").read(), "it to stop")
    injector = subprocess.Popen([program(), str(process.pid), call, "kill", str(number)], stdout=subprocess.PIPE, text=True)
    assert injector.stdout.readline() == "attached\n"
    process.send_signal(18)
    # What is traced ends for its parent only after the tracer has seen it.
    code = process.wait(60)
    injector.terminate()
    injector.communicate()
    return code < 0


STRIDE = {"sample": 23, "faults": 5, "full": 1}


@pytest.mark.long
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_rotate_key_killed_anywhere_goes_on_where_it_was(fresh, company, extent, call):
    """F49."""
    instance = fresh()
    instance.start()
    us = company(instance)
    instance.stop()
    file = instance.dir / "etc/environment"
    number, killed, key = 1, 0, 1
    while True:
        lines = file.read_text().splitlines()
        old = next(line for line in lines if line.startswith("ENCRYPTION_KEY=")).partition("=")[2]
        old = old if ":" in old else f"1:{old}"
        key += 1
        new = f"{key}:{base64.b64encode(secrets.token_bytes(32)).decode()}"
        value = f"{new},{old}"
        file.write_text("\n".join(f"ENCRYPTION_KEY={value}" if line.startswith("ENCRYPTION_KEY=") else line
                                  for line in lines) + "\n")
        struck = killed_at([str(instance.dir / "bin/toolshedd"), "rotate-key"], {}, call, number)
        killed += struck
        done = instance.json("rotate-key")
        assert done["failed"] == 0
        # From here on the new key alone must do.
        file.write_text(file.read_text().replace(value, new))
        whole(instance)
        assert sealed(instance, us.secrets) == []
        if not struck:
            break
        number += STRIDE[extent] if call == "pwrite64" else max(1, STRIDE[extent] // 5)
    assert killed >= 1
    instance.start()
    assert us.vend().status_code == 200


@pytest.mark.long
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_a_first_start_killed_anywhere_leaves_a_database_or_none(fresh, extent, call):
    """F30, as far as there is something to migrate: from nothing to the first version."""
    number, killed = 1, 0
    instance = fresh(double=False)
    while True:
        struck = killed_keeper(instance, call, number)
        killed += struck
        instance.start()
        whole(instance)
        instance.stop()
        for left in (instance.dir / "state").glob("toolshed.sqlite*"):
            left.unlink()
        # Records without the database that they are of would be a database that was lost.
        shutil.rmtree(instance.dir / "state/audit")
        if not struck:
            break
        number += max(1, STRIDE[extent] * 4 if call == "pwrite64" else STRIDE[extent] // 10)
    assert killed >= 1


def killed_keeper(instance, call: str, number: int) -> bool:
    """A command that makes the database, as the keeper does."""
    return killed_at([str(instance.dir / "bin/toolshedd"), "invite", "Nobody"], {}, call, number)
