"""The command line `toolshed`: in a pseudo-terminal, over a pipe, without HOME, over ssh."""

import json
import os
import pty
import re
import select
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.instance import BINARY, ROOT
from harness.oauth import Client
from harness.people import Person

CLI = BINARY.parent / "toolshed"
GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}


class Shell:
    """Runs the command with an environment of its own."""

    def __init__(self, instance, home, **environment):
        self.instance, self.home = instance, home
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TOOLSHED_URL": instance.origin,
                            "TOOLSHED_CA_FILE": instance.ca} | environment

    @property
    def config(self):
        return self.home / ".toolshed/config.json"

    def run(self, *arguments, **more) -> subprocess.CompletedProcess:
        return subprocess.run([CLI, *arguments], env=self.environment, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, **more)

    def start(self, *arguments) -> subprocess.Popen:
        return subprocess.Popen([CLI, *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                stdin=subprocess.DEVNULL, text=True)

    def log_in(self, person: Person) -> subprocess.CompletedProcess:
        process = self.start("login", "--no-browser")
        link = process.stderr.readline().removeprefix("Open ").strip()
        back = approve(self.instance, person, link)
        returned = self.come_back(back)
        assert returned.status_code == 303
        assert returned.headers["Location"] == f"{self.instance.origin}/vault#connections", "where accounts are connected"
        out, error = process.communicate(timeout=60)
        return subprocess.CompletedProcess([], process.returncode, out, error)

    def come_back(self, location: str):
        """What the browser does with the redirect."""
        import requests
        return requests.get(location, timeout=10, allow_redirects=False)

    def json(self, *arguments) -> dict:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


def approve(instance, person, link: str, decision: str = "approve") -> str:
    """The person at the consent page of the command line; where the browser is sent then."""
    parts = urlsplit(link)
    assert parts.path == "/authorize"
    client = Client(instance, redirect=parse_qs(parts.query)["redirect_uri"][0], client_id="toolshed-cli")
    answer = client.decide(person, parts.query, decision)
    assert answer.status_code == 200, answer.text
    return answer.json()["location"]


@pytest.fixture
def shell(instance, double, tmp_path):
    return Shell(instance, tmp_path)


@pytest.fixture
def inside(shell, person):
    """Logged in."""
    done = shell.log_in(person)
    assert done.returncode == 0, done.stderr
    return shell


def test_login_token_exec_status_revoke_logout(shell, person, instance):
    done = shell.log_in(person)
    assert done.returncode == 0 and done.stdout == f"Logged in to {instance.origin} as {person.name}.\n"
    assert stat.S_IMODE(shell.config.stat().st_mode) == 0o600 and stat.S_IMODE(shell.config.parent.stat().st_mode) == 0o700
    kept = json.loads(shell.config.read_text())
    assert kept == {"serverUrl": instance.origin, "userId": person.user_id, "sessionToken": kept["sessionToken"], "caFile": str(instance.ca)}
    secret = kept["sessionToken"]
    assert secret.startswith("tsc_") and secret not in done.stdout + done.stderr

    waiting = shell.start("connect", "github", "--scope", "repo", "--reason", "To list issues")
    link, code = waiting.stderr.readline().removeprefix("Open ").strip(), waiting.stderr.readline().strip()[-4:]
    shown = person.asked(link).json()
    assert shown["matchCode"] == code and shown["reason"] == "To list issues"
    person.connect(link)
    assert waiting.communicate(timeout=60)[0] == "Connected: github as octo, repo\n" and waiting.returncode == 0

    token = shell.run("token", "github").stdout
    assert re.fullmatch(r"\S+\n", token)
    detail = shell.json("token", "github", "--scope", "repo")
    assert detail["accessToken"] == token.strip() and detail["account"] == "octo"
    status = shell.json("status")
    assert status["userId"] == person.user_id and [c["provider"] for c in status["connections"]] == ["github"]
    assert "octo" in shell.run("status").stdout and "github" in shell.run("status", "--providers").stdout

    child = shell.run("exec", "github", "--", "sh", "-c", "echo $GITHUB_TOKEN; exit 7")
    assert child.stdout == token and child.returncode == 7
    child = shell.run("exec", "github", "--env", "MINE", "--", "printenv", "MINE")
    assert child.stdout == token
    assert shell.run("exec", "github", "--", "no-such-command").returncode == 127

    revoked = shell.run("revoke", "github")
    assert revoked.returncode == 0 and revoked.stdout.startswith("Revoked: github as octo.\n")
    assert person.connections() == []
    assert shell.run("logout").stdout == "Logged out.\n" and not shell.config.exists()
    assert instance.get("/api/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    done = shell.run("token", "github")
    assert (done.returncode, done.stdout) == (5, "") and done.stderr == "toolshed: You are not logged in.\n  toolshed login --url https://HOST\n"


def test_over_a_pipe_a_script_gets_a_token_or_3_and_the_link(inside, person):
    done = inside.run("token", "github", "--scope", "repo")
    assert (done.returncode, done.stdout) == (3, "")
    sentence, hint = done.stderr.splitlines()
    assert sentence.startswith("toolshed: You must allow this first: https://") and hint.startswith("  Compare the code ")
    said = inside.run("token", "github", "--scope", "repo", "--json")
    answer = json.loads(said.stdout)
    assert said.returncode == 3 and answer["error"] == "authorization-required" and said.stderr == ""
    person.decide(answer["authorizationUrl"], "decline")
    done = inside.run("token", "github", "--scope", "repo")
    assert done.returncode == 4 and done.stderr.startswith("toolshed: You said no.\n  It may be asked again after ")
    done = inside.run("token", "nowhere")
    assert done.returncode == 1 and done.stderr.splitlines()[1] == "  toolshed status --providers lists them."


def test_in_a_terminal_it_waits_for_the_click(inside, person):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(CLI, [str(CLI), "token", "github", "--scope", "repo"], inside.environment)
    said = b""
    while b"compare the code" not in said:
        assert select.select([terminal], [], [], 30)[0], said
        said += os.read(terminal, 4096)
    person.connect(re.search(rb"Open (https://\S+)", said)[1].decode())
    try:
        while part := os.read(terminal, 4096):
            said += part
    except OSError:
        pass  # the other end is closed
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert said.decode().splitlines()[-1] == inside.run("token", "github").stdout.strip()


def test_several_accounts_are_a_choice(inside, person):
    person.connect(GITHUB)
    person.connect({"owner": "toolshed", "bridge": "linear", "scope": "read"})
    listed = inside.json("status")["connections"]
    assert len(listed) == 2
    assert inside.run("revoke", listed[0]["id"]).returncode == 0
    assert inside.run("revoke", listed[0]["id"]).returncode == 1
    assert inside.run("revoke", listed[1]["provider"], "--account", "nobody").returncode == 1


def test_the_last_login_that_opens_the_vault_ends_only_after_a_yes(inside, person):
    person.connect(GITHUB)
    assert person.post("/api/sign-out").status_code == 204, "the login still opens the vault"
    done = inside.run("logout")
    sentence, hint = done.stderr.splitlines()
    assert done.returncode == 1 and "its connection can never be opened again" in sentence and "toolshed logout --yes" in hint
    assert json.loads(inside.run("logout", "--json").stdout)["error"] == "last-holder"
    assert inside.json("status")["connections"], "nothing was ended"
    for answer, status in (("no", 1), ("yes", 0)):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(CLI, [str(CLI), "logout"], inside.environment)
        said = b""
        while b"type yes" not in said:
            assert select.select([terminal], [], [], 30)[0], said
            said += os.read(terminal, 4096)
        os.write(terminal, f"{answer}\n".encode())
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
        os.close(terminal)
    assert not inside.config.exists() and inside.run("logout").stdout == "You were not logged in.\n"


def test_logging_out_for_certain_asks_nobody(inside, person):
    person.connect(GITHUB)
    person.post("/api/sign-out")
    assert inside.run("logout", "--yes").stdout == "Logged out.\n" and not inside.config.exists()


def test_a_proxy_is_never_handed_what_travels_in_the_clear(inside):
    """Between here and loopback there is no TLS, so a proxy of the environment would read the token."""
    heard, answered = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            (answered if self.path.startswith("/") else heard).append(dict(self.headers))
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    servers = [HTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    own, proxy = (f"http://localhost:{server.server_port}" for server in servers)
    kept = json.loads(inside.config.read_text()) | {"serverUrl": own}
    inside.config.write_text(json.dumps(kept))
    inside.environment |= {"http_proxy": proxy, "all_proxy": proxy}
    assert inside.run("status").returncode == 6
    script = f"from toolshed import *; Toolshed({own!r}, 'tsk_secret')._transport.call('GET', '/api/me')"
    subprocess.run([sys.executable, "-c", script], env=inside.environment | {"PYTHONPATH": str(ROOT / "clients/python")}, check=True)
    for server in servers:
        server.shutdown()
        server.server_close()
    assert heard == [] and [one["Authorization"] for one in answered] == [f"Bearer {kept['sessionToken']}", "Bearer tsk_secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_login_that_others_can_read_is_refused(inside, mode):
    inside.config.chmod(mode)
    done = inside.run("status")
    assert done.returncode == 78 and "can be read by others" in done.stderr and done.stderr.splitlines()[1] == f"  chmod 600 {inside.config}"


@pytest.mark.parametrize("content", ["", "{}", "nonsense", '{"serverUrl": 1, "sessionToken": "x"}', '{"serverUrl": "ftp://x", "sessionToken": "x"}'])
def test_a_damaged_login_is_refused_in_a_sentence(shell, content):
    shell.config.parent.mkdir(mode=0o700)
    shell.config.touch(mode=0o600)
    shell.config.write_text(content)
    done = shell.run("status")
    assert done.returncode in (64, 78) and done.stderr.startswith("toolshed: ") and "rror:" not in done.stderr


def test_without_home_it_works_with_a_file_of_its_own(inside, tmp_path, person):
    del inside.environment["HOME"]
    inside.environment["TOOLSHED_CONFIG"] = str(tmp_path / ".toolshed/config.json")
    assert inside.json("status")["userId"] == person.user_id
    inside.environment["TOOLSHED_CONFIG"] = str(tmp_path / "no/such/folder/config.json")
    assert inside.run("status").returncode == 5


def test_without_home_the_accounts_own_entry_says_where(shell):
    del shell.environment["HOME"]
    # The account of this test has no login of its own, or one that works elsewhere: it is looked for, not a crash.
    assert shell.run("status").returncode in (0, 5, 6)


def test_a_login_that_was_revoked_says_so(inside, person):
    inside.environment["TOOLSHED_CONFIG"] = str(inside.config)
    key = json.loads(inside.config.read_text())
    token = key["sessionToken"]
    key["sessionToken"] = token[:30] + ("A" if token[30] != "A" else "B") + token[31:]
    inside.config.write_text(json.dumps(key))
    done = inside.run("status")
    assert done.returncode == 5 and done.stderr == "toolshed: You are no longer logged in here.\n  toolshed login\n"


def test_a_decline_ends_the_login_with_4(shell, person, instance):
    process = shell.start("login", "--no-browser")
    link = process.stderr.readline().removeprefix("Open ").strip()
    assert shell.come_back(approve(instance, person, link, "decline")).status_code == 200, "nowhere else to go"
    assert "You said no" in process.communicate(timeout=60)[1] and process.returncode == 4
    assert not shell.config.exists()


def test_only_the_browser_that_was_sent_can_come_back(shell, person, instance):
    process = shell.start("login", "--no-browser")
    link = process.stderr.readline().removeprefix("Open ").strip()
    port = urlsplit(parse_qs(urlsplit(link).query)["redirect_uri"][0]).port
    for path in ("/", "/callback", "/callback?code=x&state=wrong", "/elsewhere?state=x"):
        assert shell.come_back(f"http://127.0.0.1:{port}{path}").status_code == 404
    assert process.poll() is None
    state = parse_qs(urlsplit(link).query)["state"][0]
    shell.come_back(f"http://127.0.0.1:{port}/callback?code=x&state={state}&iss=https://evil.example")
    assert process.wait(60) == 1 and "another server" in process.stderr.read() and not shell.config.exists()


def test_over_ssh_a_code_is_typed(instance, double, tmp_path, person):
    shell = Shell(instance, tmp_path, SSH_CONNECTION="192.0.2.1 1 192.0.2.2 22")
    process = shell.start("login")
    said = process.stderr.readline().strip()
    found = re.fullmatch(rf"Open ({instance.origin}/\S+) in any browser, and type the code: (\S+)", said)
    assert found, said
    approved = Client(instance, client_id="toolshed-cli").approve_device(person, found[2])
    assert approved.status_code == 204, approved.text
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert out.startswith(f"Logged in to {instance.origin}") and shell.json("status")["userId"] == person.user_id


def test_over_ssh_a_no_ends_the_login_with_4(instance, double, tmp_path, person):
    shell = Shell(instance, tmp_path)
    process = shell.start("login", "--device")
    code = process.stderr.readline().strip().split()[-1]
    Client(instance, client_id="toolshed-cli").approve_device(person, code, "decline")
    assert "You said no" in process.communicate(timeout=60)[1] and process.returncode == 4 and not shell.config.exists()


def test_the_instances_own_command_knows_its_server(instance):
    done = subprocess.run([instance.dir / "bin/toolshed", "status"], capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 5, done.stderr


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["token"], ["exec", "github"], ["exec", "github", "--env", "1X", "--", "true"], ["token", "github", "--nope"]])
def test_wrong_usage_is_64(shell, arguments):
    done = shell.run(*arguments)
    assert done.returncode == (0 if not arguments else 64)


def test_a_server_that_is_not_there_or_not_ours(shell):
    shell.environment["TOOLSHED_URL"] = "https://127.0.0.1:1"
    done = shell.run("login")
    assert done.returncode == 6 and done.stderr.splitlines()[1] == "  Nothing was lost; try again in a moment."
    shell.environment["TOOLSHED_URL"] = "http://toolshed.example"
    assert shell.run("login").returncode == 64
    del shell.environment["TOOLSHED_URL"]
    assert shell.run("login").stderr == "toolshed: Which server?\n  toolshed login --url https://HOST\n"


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completions(shell_name):
    done = subprocess.run([CLI, "--generate-completion-script", shell_name], capture_output=True, text=True)
    assert done.returncode == 0 and "logout" in done.stdout


def test_the_manual_is_well_formed_and_names_every_command_and_exit_status():
    page = ROOT / "docs/man/toolshed.1"
    assert subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, text=True).stdout == ""
    text = page.read_text()
    for command in ("login", "connect", "status", "token", "exec", "revoke", "logout"):
        assert f".It Cm {command}\n" in text
    for status in ("0", "1", "3", "4", "5", "6", "64", "78"):
        assert f".It {status}\n" in text
