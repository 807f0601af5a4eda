"""What docs/OPERATIONS.md tells an operator to do: copy a service that runs, restore it, rotate ENCRYPTION_KEY."""

import base64
import secrets
import shutil
import threading

import pytest

from harness.instance import ROOT
from harness.people import Person

LINK = {"owner": "toolshed", "bridge": "github", "scope": "repo"}
GUIDE = (ROOT / "docs/OPERATIONS.md").read_text()


@pytest.fixture
def own(fresh):
    return fresh().start()


def connected(instance):
    person = Person(instance)
    person.connect(LINK)
    return person, person.api_key()


def with_key(instance, value):
    instance.stop()
    file = instance.dir / "etc/environment"
    file.write_text("".join(f"ENCRYPTION_KEY={value}\n" if line.startswith("ENCRYPTION_KEY=") else line
                            for line in file.read_text().splitlines(keepends=True)))
    return instance


def key(instance) -> str:
    lines = (instance.dir / "etc/environment").read_text().splitlines()
    return next(line for line in lines if line.startswith("ENCRYPTION_KEY=")).partition("=")[2]


def test_a_copy_made_while_others_write_is_whole_and_starts(own, tmp_path):
    person, caller = connected(own)
    failures, made, end = [], [], threading.Event()

    def write():
        while not end.is_set():
            reply = person.post("/api/keys", {"name": "made meanwhile"})
            (made if reply.status_code == 201 and caller.vend("github").status_code == 200 else failures).append(reply)
            if len(made) > 50:  # a person has a hundred at most
                person.delete(f"/api/keys/{made.pop(0).json()['id']}")

    writer = threading.Thread(target=write)
    writer.start()
    state = own.dir / "state"
    assert "toolshedctl backup /var/backups" in GUIDE and "toolshedctl restore /var/backups" in GUIDE
    for number in range(10):
        own.toolshedd("backup", str(tmp_path / str(number)))
    end.set()
    writer.join()
    assert made and not failures
    assert len(person.get("/api/keys?limit=500").json()["keys"]) == len(made) + 1, "nothing that was committed is lost"

    own.stop()
    shutil.rmtree(state)
    state.mkdir(mode=0o700)
    own.toolshedd("restore", str(tmp_path / "9"))
    own.start()
    assert caller.vend("github").status_code == 200 and person.connections()[0]["account"]


def test_after_a_rotation_what_was_sealed_before_opens_while_the_old_key_is_listed(own):
    _, before = connected(own)
    old, new = key(own), base64.b64encode(secrets.token_bytes(32)).decode()
    with_key(own, f"2:{new},1:{old}").start()
    _, after = connected(own)
    assert [caller.vend("github").status_code for caller in (before, after)] == [200, 200]
    with_key(own, f"2:{new}").start()
    assert [caller.vend("github").status_code for caller in (before, after)] == [503, 200]
    with_key(own, f"2:{new},1:{old}").start()
    assert before.vend("github").status_code == 200
    with pytest.raises(AssertionError, match="not ready"):
        with_key(own, base64.b64encode(secrets.token_bytes(32)).decode()).start()
    assert "ENCRYPTION_KEY is not the one this database was made with" in own.log()
    with_key(own, f"2:{new},1:{old}").start()
    assert [caller.vend("github").status_code for caller in (before, after)] == [200, 200]
