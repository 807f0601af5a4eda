"""A file of the audit record written anew as a whole, by a program that has the first key and knows docs/KEYS.md."""

import base64
import hashlib
import hmac
import json
import shutil

import pytest

from harness.people import Person


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def rechained(lines: list[bytes]) -> list[bytes]:
    """The same lines with numbers and MACs of their own, as a process would have written them."""
    key, value, anew = unpadded(json.loads(lines[0])["key"]), bytes(32), []
    for number, line in enumerate(lines):
        text = line[:line.rindex(b',"n":')] + b',"n":%d' % number
        value = hmac.digest(key, value + text, "sha256")
        mac = base64.urlsafe_b64encode(value[:16]).rstrip(b"=")
        anew.append(text + b',"mac":"' + mac + b'"}\n')
        key = hashlib.sha256(b"toolshed/v1/audit.next-key" + key).digest()
    return anew


@pytest.fixture(scope="module")
def recorded(module_instance):
    """The audit folder of a stopped service, its longest file, what it said meanwhile."""
    instance = module_instance
    person = Person(instance)
    key = person.api_key()
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    for _ in range(20):
        key.token("github")
    instance.stop()
    audit = instance.dir / "state/audit"
    victim = max(audit.iterdir(), key=lambda file: file.stat().st_size)
    yield instance, audit, victim.name, victim.read_bytes().splitlines(keepends=True)
    instance.start()


def verified(instance, folder, *more: str):
    done = instance.toolshedd("audit", "verify", "--json", "--folder", str(folder), *more, ok=False)
    return done.returncode, [f for f in json.loads(done.stdout)["files"] if "fault" in f]


def test_this_program_makes_the_chain_that_the_service_made(recorded):
    _, _, _, lines = recorded
    assert len(lines) > 6 and rechained(lines) == lines


@pytest.mark.parametrize("forged, fault", [
    (lambda lines: lines[:3] + [lines[3].replace(b'"event":"', b'"event":"x', 1)] + lines[4:], "rewritten"),
    (lambda lines: lines[:4] + lines[3:], "rewritten"),
    # One fewer than the checkpoint at the end counted.
    (lambda lines: lines[:3] + lines[4:], "truncated"),
], ids=["a record changed", "a record put in", "a record taken out"])
def test_a_file_that_was_written_anew_is_told_by_a_checkpoint_kept_elsewhere(recorded, tmp_path, forged, fault):
    instance, audit, name, lines = recorded
    anew = rechained(forged(lines))
    assert anew != lines
    folder = tmp_path / "audit"
    shutil.copytree(audit, folder)
    (folder / name).write_bytes(b"".join(anew))
    status, faults = verified(instance, folder, "--checkpoints", str(instance.dir / "log/toolshedd.log"))
    assert status == 1
    assert [(f["file"], f["fault"]) for f in faults] == [(name, fault)], faults
