"""The lines that make up prints, done one after the other as a newcomer would."""

import json
import os
import re
import shutil
import socket
import subprocess

import pytest
import requests

from harness.instance import BINARY, ROOT, free_port
from harness.people import Person


def test_what_make_up_prints_leads_to_a_token(fresh):
    instance = fresh().start()
    printed = subprocess.run([ROOT / "scripts/story", instance.dir], check=True, capture_output=True, text=True).stdout
    said = dict(re.findall(r"^(invitation|ask|link): (.*)$", printed, re.M))
    assert "tsp_" not in printed, "the plugin's key is read from a file"

    ask = lambda: json.loads(subprocess.run(said["ask"], shell=True, check=True, capture_output=True, text=True).stdout)
    assert ask()["error"] == "authorization-required"

    invited = json.loads((instance.dir / "demo/person.json").read_text())
    assert said["invitation"] == invited["url"]
    newcomer = Person(instance, invitation=invited)
    newcomer.connect(said["link"])
    assert ask()["accessToken"].startswith("demo_at_")

    again = subprocess.run([ROOT / "scripts/story", instance.dir], check=True, capture_output=True, text=True).stdout
    assert "the answer is a token" in again


@pytest.fixture
def checkout(tmp_path):
    """A checkout of its own in a folder that nobody else may enter, with the programs built already."""
    tree = tmp_path / "tool shed"
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    (tree / ".build/release").mkdir(parents=True)
    (tree / ".build/release/toolshedd").symlink_to(BINARY)
    # The compiler has nothing to do here; everything else is as it is.
    (tmp_path / "path").mkdir()
    (tmp_path / "path/swift").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "path/swift").chmod(0o755)
    tmp_path.chmod(0o700)
    yield tree
    made(tree, "down")


def made(tree, target: str, port: int | None = None) -> subprocess.CompletedProcess:
    """make TARGET, from another folder."""
    environment = os.environ | {"PATH": f"{tree.parent}/path:{os.environ['PATH']}"} | ({"PORT": str(port)} if port else {})
    with (tree.parent / "said").open("w+") as said:
        done = subprocess.run(["make", "-s", "-C", tree, target], env=environment, cwd="/", stdin=subprocess.DEVNULL,
                              stdout=said, stderr=subprocess.STDOUT, timeout=180)
        said.seek(0)
        done.stdout = said.read()
    return done


def test_make_up_twice_and_down(checkout):
    port = free_port()
    first = made(checkout, "up", port)
    assert first.returncode == 0, first.stdout
    lines = {name: re.search(rf"^{name}: (.*)$", first.stdout, re.M).group(1) for name in ("ask", "invitation", "link")}
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(checkout / ".up/ca.pem")
        page = session.get(lines["link"], timeout=10)
        assert page.status_code == 200 and "<h1" in page.text, "nginx reads the pages below a folder that only we may enter"
        asked = subprocess.run(lines["ask"], shell=True, cwd=checkout, check=True, capture_output=True, text=True).stdout
        assert json.loads(asked)["authorizationUrl"] == lines["link"]
        again = made(checkout, "up")
        assert again.returncode == 0 and f"link: {lines['link']}" in again.stdout, "the port and the request are remembered"
        assert made(checkout, "reload").returncode == 0
        assert session.get(lines["link"], timeout=10).status_code == 200
    assert made(checkout, "down").returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert made(checkout, "down").returncode == 0, "there is nothing left to stop, which is no mistake"


def test_a_port_that_another_program_has_is_said_in_one_sentence(checkout):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = made(checkout, "up", port)
    assert done.returncode != 0
    said = [line for line in done.stdout.splitlines() if not line.startswith("make")]
    assert len(said) == 1 and str(port) in said[0] and "PORT=" in said[0], done.stdout
    assert not (checkout / ".up/run/toolshedd.pid").exists()
