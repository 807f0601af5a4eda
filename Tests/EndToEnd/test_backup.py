"""backup, restore, status, migrate: what an operator does to the database as a whole."""

import base64
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from harness.database import Database
from harness.people import Person, Plugin
from harness.waiting import until


def files_of(folder) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def state_of(instance) -> dict[str, bytes]:
    """Without the lock, which is empty and may come and go."""
    return {name: content for name, content in files_of(instance.dir / "state").items() if not name.endswith(".keeper")}


def backed_up(instance):
    """A person, a plugin that was let in, a token vended; and a backup that has all of it."""
    person, plugin = Person(instance), Plugin(instance)
    person.connect(plugin.link("corp", ["read"], user=person)["authorizationUrl"])
    token = plugin.token("corp", ["read"], user=person)
    backup = instance.dir / "backup"
    said = json.loads(instance.toolshedd("backup", str(backup), "--json").stdout)
    assert said == {"folder": str(backup), "bytes": sum(len(content) for content in files_of(backup).values())}
    return instance, person, plugin, token, backup


@pytest.fixture
def told(fresh):
    return backed_up(fresh().start())


@pytest.fixture(scope="module")
def running(module_instance):
    return backed_up(module_instance)


@pytest.fixture
def stopped(running):
    """For what must change nothing: the service is up again afterwards."""
    instance = running[0]
    instance.stop()
    yield running
    instance.start()


def test_what_was_backed_up_while_the_service_ran_is_there_after_a_restore(told):
    instance, person, plugin, token, backup = told
    assert {"toolshed.sqlite"} | {f"audit/{file.name}" for file in (instance.dir / "state/audit").iterdir()} == set(files_of(backup))
    assert all(file.stat().st_mode & 0o077 == 0 for file in [backup, *backup.rglob("*")])
    later = Person(instance)
    instance.stop()
    shutil.rmtree(instance.dir / "state")
    (instance.dir / "state").mkdir(mode=0o700)
    instance.toolshedd("restore", str(backup))
    instance.start()
    assert plugin.token("corp", ["read"], user=person)["accessToken"] == token["accessToken"]
    assert [c["id"] for c in person.connections()] == [token["connection"]["id"]]
    events = person.get("/api/activity").json()
    assert "vended" in json.dumps(events), "what happened before is still on record"
    assert later.get("/api/me").status_code == 401, "what came after the backup is gone"


def test_what_was_renewed_after_the_backup_is_not_shown_twice_while_its_token_lives(fresh):
    """The copy has a refresh token that the provider has replaced. Nobody here knows, but it may be: it is used when nothing
    is left to lose, and the refusal is told as what it is."""
    instance = fresh().start()
    instance.double.set("generic", refresh="rotate+kill")
    person, plugin = Person(instance), Plugin(instance)
    database, double = Database(instance), instance.double
    person.connect(plugin.link("corp", ["read"], user=person)["authorizationUrl"])
    [connection] = person.connections()
    assert person.call("PATCH", f"/api/connections/{connection['id']}", {"backgroundRefresh": True}).status_code == 204
    first = plugin.token("corp", ["read"], user=person)["accessToken"]
    instance.toolshedd("backup", str(instance.dir / "backup"))
    database.run("UPDATE connection SET expires_at_ms = 1000")
    assert plugin.token("corp", ["read"], user=person)["accessToken"] != first
    instance.stop()
    instance.toolshedd("restore", str(instance.dir / "backup"), "--replace")
    # Due ahead of time, as far as the copy says.
    instance.sql("UPDATE connection SET next_refresh_at_ms = 1000")
    seen = double.count("generic", "refresh")
    instance.start()
    until(lambda: database.run("SELECT next_refresh_at_ms FROM connection")[0][0] > 1000, "the keeper to look at it")
    assert plugin.token("corp", ["read"], user=person)["accessToken"] == first
    assert double.count("generic", "refresh") == seen
    assert first in {one["token"] for one in double.get("tokens")["generic"]["access"] if one["live"]}

    database.run("UPDATE connection SET expires_at_ms = 1000")
    need = plugin.link("corp", ["read"], user=person)
    assert need["reason"] == "reauthorization-required" and double.count("generic", "refresh") == seen + 1
    assert database.run("SELECT last_code FROM connection") == [("lost_rotation",)]
    person.connect(need["authorizationUrl"])
    assert [(c["id"], c["status"]) for c in person.connections()] == [(connection["id"], "active")]
    assert plugin.token("corp", ["read"], user=person)["accessToken"] != first


def test_a_database_that_was_lost_is_not_taken_for_a_first_start(told):
    """Everybody's vaults would seem never to have been. One sentence says what brings them back, and what starts anew."""
    instance, person, plugin, token, backup = told
    instance.stop()
    state = instance.dir / "state"
    for file in state.glob("toolshed.sqlite*"):
        file.unlink()
    before = state_of(instance)
    with pytest.raises(AssertionError, match="not ready"):
        instance.start()
    instance.stop()
    checked = instance.toolshedd("check", ok=False)
    invited = instance.toolshedd("invite", "Somebody", ok=False)
    assert (checked.returncode, invited.returncode != 0) == (78, True)
    for said in (instance.log(), checked.stderr, invited.stderr):
        assert f"There is no {state}/toolshed.sqlite" in said and "restore" in said and f"move {state}/audit away" in said
    assert "it was lost" in instance.toolshedd("status", ok=False).stdout
    assert state_of(instance) == before, "nothing was made and nothing touched"

    restored = json.loads(instance.toolshedd("restore", str(backup), "--json").stdout)
    kept = {name.removeprefix("audit/"): content for name, content in before.items() if name.startswith("audit/")}
    assert {name.removeprefix("audit/"): content for name, content in files_of(Path(restored["kept"])).items()} == kept
    instance.start()
    assert plugin.token("corp", ["read"], user=person)["accessToken"] == token["accessToken"]

    instance.stop()
    for file in state.glob("toolshed.sqlite*"):
        file.unlink()
    (state / "audit").rename(state / "audit.old")
    instance.start()
    assert person.get("/api/me").status_code == 401 and Person(instance).connections() == []


def test_a_copy_is_not_put_beside_the_log_of_the_database_that_was_lost(told):
    """After a crash the log holds commits; SQLite would read them into whatever database stands beside it."""
    instance, person, plugin, token, backup = told
    later = [Person(instance) for _ in range(3)]
    supervisor, children = instance.pid(), instance.children("work") + instance.children("keep")
    for pid in [supervisor, *children]:
        instance.kill(pid)
    until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children), "them to end")
    instance.stop()
    state = instance.dir / "state"
    log = (state / "toolshed.sqlite-wal").read_bytes()
    assert log, "a log with commits"
    (state / "toolshed.sqlite").unlink()
    restored = json.loads(instance.toolshedd("restore", str(backup), "--json").stdout)
    assert (Path(restored["kept"]) / "toolshed.sqlite-wal").read_bytes() == log
    instance.start()
    assert plugin.token("corp", ["read"], user=person)["accessToken"] == token["accessToken"]
    assert [one.get("/api/me").status_code for one in later] == [401] * 3
    assert Database(instance).run("PRAGMA integrity_check") == [("ok",)]


def test_a_backup_is_never_written_over_and_never_half_there(running):
    instance, _, _, _, backup = running
    before = files_of(backup)
    refused = instance.toolshedd("backup", str(backup), ok=False)
    assert refused.returncode == 1 and "is there already" in refused.stderr
    assert files_of(backup) == before
    nowhere = instance.toolshedd("backup", str(instance.dir / "no/such/folder"), ok=False)
    assert nowhere.returncode == 1 and "cannot be made" in nowhere.stderr
    assert not list(instance.dir.glob("*.partial"))


def test_nothing_is_restored_under_a_running_service(running):
    instance, _, _, _, backup = running
    refused = instance.toolshedd("restore", str(backup), "--replace", ok=False)
    assert refused.returncode == 1 and "running" in refused.stderr


def test_nothing_is_restored_over_a_database_unasked(stopped):
    instance, _, _, _, backup = stopped
    before = state_of(instance)
    refused = instance.toolshedd("restore", str(backup), ok=False)
    assert refused.returncode == 1 and "--replace" in refused.stderr
    assert state_of(instance) == before


def test_what_was_there_is_kept_beside_with_what_only_its_log_holds(told):
    instance, person, plugin, token, backup = told
    later = Person(instance)
    for pid in [instance.pid(), *instance.children("keep"), *instance.children("work")]:
        instance.kill(pid)  # so that the last commits are in the log only
    instance.stop()
    said = json.loads(instance.toolshedd("restore", str(backup), "--replace", "--json").stdout)
    database = sqlite3.connect(f"{said['kept']}/toolshed.sqlite")
    assert later.name in {name for (name,) in database.execute("SELECT name FROM person")}
    database.close()
    instance.start()
    assert plugin.token("corp", ["read"], user=person)["accessToken"] == token["accessToken"]
    assert later.get("/api/me").status_code == 401


def cut(backup):
    with (backup / "toolshed.sqlite").open("r+b") as file:
        file.truncate(3 * 4096)


def spoilt(backup):
    """Every page but the first is noise."""
    with (backup / "toolshed.sqlite").open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


def foreign(backup):
    (backup / "toolshed.sqlite").unlink()
    database = sqlite3.connect(backup / "toolshed.sqlite")
    with database:
        database.execute("CREATE TABLE recipe (name TEXT)")
    database.close()


def newer(backup):
    database = sqlite3.connect(backup / "toolshed.sqlite")
    with database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def missing(backup):
    (backup / "toolshed.sqlite").unlink()


@pytest.mark.parametrize("damage", [cut, spoilt, foreign, newer, missing])
def test_a_backup_that_is_not_one_changes_nothing(stopped, tmp_path, damage):
    instance, _, _, _, whole = stopped
    backup = tmp_path / "backup"
    shutil.copytree(whole, backup)
    damage(backup)
    before = state_of(instance)
    refused = instance.toolshedd("restore", str(backup), "--replace", ok=False)
    assert refused.returncode == 1 and refused.stderr.startswith("Error: ") and refused.stderr.count("\n") == 1
    assert state_of(instance) == before


def test_a_backup_of_another_key_is_refused(running, fresh):
    _, _, _, _, backup = running
    stranger = fresh(environment={"ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()})
    refused = stranger.toolshedd("restore", str(backup), ok=False)
    assert refused.returncode == 1 and "ENCRYPTION_KEY" in refused.stderr
    assert not (stranger.dir / "state/toolshed.sqlite").exists()


def test_status_says_whether_the_service_runs_and_what_there_is(running):
    instance = running[0]
    said = json.loads(instance.toolshedd("status", "--json").stdout)
    assert said["running"] is True and said["people"] == said["vaults"] == said["plugins"] == 1
    assert said["connections"] == {"active": 1, "unused": 0, "paused": 0, "reauthorize": 0}
    assert said["schema"] == said["schemaKnown"] and said["bytes"] > 0
    assert "service: running" in instance.toolshedd("status").stdout


def test_status_of_a_stopped_service(stopped):
    instance = stopped[0]
    before = state_of(instance)["toolshed.sqlite"]
    said = instance.toolshedd("status", ok=False)
    assert said.returncode == 3 and "service: stopped" in said.stdout and "connections: 1 active" in said.stdout
    assert state_of(instance)["toolshed.sqlite"] == before


def test_status_without_a_database_makes_none(fresh):
    instance = fresh(double=False)
    said = instance.toolshedd("status", ok=False)
    assert said.returncode == 3 and "the first start makes it" in said.stdout
    assert not list((instance.dir / "state").glob("*.sqlite*"))


def test_migrate_has_nothing_to_do(running):
    assert "nothing to do" in running[0].toolshedd("migrate").stdout


def test_migrate_refuses_what_is_newer(fresh):
    instance = fresh(double=False).start()
    instance.stop()
    newer(instance.dir / "state")
    before = state_of(instance)["toolshed.sqlite"]
    refused = instance.toolshedd("migrate", ok=False)
    assert refused.returncode == 1 and "newer version" in refused.stderr
    assert state_of(instance)["toolshed.sqlite"] == before
