"""The pool as processes: crashes, reloads, signals. The daemon alone, spoken to in FastCGI, without nginx."""

import base64
import os
import secrets
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("TOOLSHEDD", ROOT / ".build/debug/toolshedd"))
PATIENCE = 20


class Lost(Exception):
    """A request that was sent and got no answer."""


def record(kind, content=b""):
    return struct.pack("!BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def request(path, keep):
    pairs = {"REQUEST_METHOD": "GET", "DOCUMENT_URI": path, "REQUEST_URI": path, "REMOTE_ADDR": "127.0.0.1"}
    content = b"".join(bytes([len(k), len(v)]) + k.encode() + v.encode() for k, v in pairs.items())
    begin = record(1, struct.pack("!HB5x", 1, 1 if keep else 0))
    return begin + record(4, content) + record(4) + record(5)


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise Lost(data)
            data += more
        return data

    def get(self, path="/healthz", keep=True):
        self.socket.sendall(request(path, keep))
        output = b""
        while True:
            _, kind, _, length, padding, _ = struct.unpack("!BBHHBB", self.read(8))
            content = self.read(length + padding)[:length]
            if kind == 6:
                output += content
            if kind == 3:
                return output.decode()

    def close(self):
        self.socket.close()


def until(condition, what):
    """Asks again until it is so; the loop gives the processor away, and has an end."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    pytest.fail(f"not within {PATIENCE} s: {what}")


def children(pid):
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == pid:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().split(b"\0")[1].decode()
            except (OSError, IndexError):
                pass
    return found


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Daemon:
    def __init__(self, folder, workers=2, notify=None, **environment):
        self.folder = folder
        for name in ("state", "run", "etc"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        self.socket = folder / "run/toolshedd.sock"
        self.log = folder / "log"
        # A folder's database opens with the key that it was made with.
        keys = folder / "key"
        if not keys.exists():
            keys.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
        self.key = keys.read_text()
        self.environment = {
            "PATH": os.environ["PATH"], "AUTH_REDIRECT_BASE": "http://127.0.0.1:8080/api/auth",
            "TOOLSHED_STATE_DIR": str(folder / "state"), "TOOLSHED_RUNTIME_DIR": str(folder / "run"),
            "TOOLSHED_CONFIG_DIR": str(folder / "etc"), "TOOLSHED_PEER_USER": str(os.getuid()),
            "ENCRYPTION_KEY": self.key,
        } | ({"TOOLSHED_WORKERS": str(workers)} if workers else {}) | environment
        self.process = subprocess.Popen(
            [BINARY, "supervise"], env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self.log.open("wb"))

    def text(self):
        return self.log.read_text()

    def wait_until_ready(self):
        until(lambda: "answering requests" in self.text() or self.process.poll() is not None, "ready")
        assert self.process.poll() is None, self.text()
        return self

    def workers(self):
        return sorted(pid for pid, role in children(self.process.pid).items() if role == "work")

    def keeper(self):
        return next((pid for pid, role in children(self.process.pid).items() if role == "keep"), None)

    def connect(self):
        return Connection(self.socket)

    def reload(self):
        status = self.folder / "run/reload.status"
        status.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGHUP)
        until(status.exists, "an outcome of the reload")
        return status.read_text().strip()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE + 10)


@pytest.fixture
def daemon(tmp_path):
    daemon = Daemon(tmp_path).wait_until_ready()
    yield daemon
    daemon.stop()


class Load(threading.Thread):
    """One client after another request: kept connections as nginx keeps them, a request in doubt is sent again once."""

    def __init__(self, daemon, keep):
        super().__init__()
        self.daemon_under_test, self.keep = daemon, keep
        self.answered, self.failed, self.stopping = 0, [], threading.Event()

    def run(self):
        connection = None
        while not self.stopping.is_set():
            try:
                fresh = connection is None
                connection = connection or self.daemon_under_test.connect()
                answer = connection.get(keep=self.keep)
                self.answered += 1
                if not answer.startswith("Status: 200"):
                    self.failed.append(answer)
                if not self.keep:
                    connection = None
            except (Lost, OSError) as error:
                # nginx does the same: fastcgi_next_upstream of the kept upstream.
                if fresh:
                    self.failed.append(error)
                connection = None

    def finish(self):
        self.stopping.set()
        self.join()


@pytest.fixture
def load(daemon):
    threads = [Load(daemon, keep=index % 2 == 0) for index in range(6)]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.finish()


def answered(load):
    return sum(thread.answered for thread in load)


def more(load, count=200):
    goal = answered(load) + count
    until(lambda: answered(load) >= goal, f"{count} more answers")


def failures(load):
    for thread in load:
        thread.finish()
    return [failure for thread in load for failure in thread.failed]


def test_answers_and_stops(daemon):
    assert daemon.connect().get().startswith("Status: 200")
    assert daemon.socket.stat().st_mode & 0o777 == 0o660
    family = [daemon.process.pid, *children(daemon.process.pid)]
    daemon.process.terminate()
    assert daemon.process.wait(PATIENCE) == 0, daemon.text()
    assert not any(is_running(pid) for pid in family)
    assert not daemon.socket.exists()


def test_a_killed_worker_is_replaced_and_costs_only_its_own(daemon, load):
    for _ in range(3):
        more(load)
        before = daemon.workers()
        started = time.monotonic()
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(daemon.workers()) == 2 and before[0] not in daemon.workers(), "a new worker")
        assert time.monotonic() - started < 15
        assert before[1] in daemon.workers()
        more(load)
    # What was in flight in the killed worker is lost; at most one request a client and kill.
    assert len(failures(load)) <= 3 * 6


def test_a_killed_keeper_is_replaced_and_no_request_notices(daemon, load):
    more(load)
    keeper, workers = daemon.keeper(), daemon.workers()
    os.kill(keeper, signal.SIGKILL)
    until(lambda: daemon.keeper() not in (None, keeper), "a new keeper")
    more(load)
    assert daemon.workers() == workers
    assert failures(load) == []


def test_reloads_under_load_lose_no_request(daemon, load):
    for generation in range(2, 6):
        before = daemon.workers()
        more(load)
        assert daemon.reload() == f"ok {generation}"
        until(lambda: not any(is_running(pid) for pid in before), "the old workers' end")
        assert len(daemon.workers()) == 2
    more(load)
    assert failures(load) == []


def test_a_reload_takes_up_another_number_of_workers(tmp_path):
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc/toolshed.yaml"
    file.write_text("version: 1\nworkers: 1\n")
    daemon = Daemon(tmp_path, workers=None).wait_until_ready()
    for count in (3, 1, 2):
        file.write_text(f"version: 1\nworkers: {count}\n")
        assert daemon.reload().startswith("ok")
        until(lambda: len(daemon.workers()) == count, f"{count} workers")
    daemon.stop()


def test_a_wrong_file_leaves_everything_as_it_was(daemon, load):
    before, keeper = daemon.workers(), daemon.keeper()
    (daemon.folder / "etc/toolshed.yaml").write_text("version: 1\nworkers: many\n")
    sentence = daemon.reload()
    assert "toolshed.yaml" in sentence and not sentence.startswith("ok")
    assert "\n" not in sentence
    more(load)
    assert daemon.workers() == before and daemon.keeper() == keeper
    assert failures(load) == []
    (daemon.folder / "etc/toolshed.yaml").unlink()
    assert daemon.reload().startswith("ok")


def test_a_worker_told_to_end_finishes_and_is_replaced(daemon, load):
    before = daemon.workers()
    more(load)
    os.kill(before[0], signal.SIGTERM)
    until(lambda: len(daemon.workers()) == 2 and before[0] not in daemon.workers(), "a new worker")
    more(load)
    assert failures(load) == []


def test_sigterm_answers_what_is_in_flight(tmp_path):
    for round in range(5):
        daemon = Daemon(tmp_path).wait_until_ready()
        waiting = [daemon.connect() for _ in range(50)]
        for connection in waiting:
            connection.socket.sendall(request("/healthz", round % 2 == 0))
        daemon.process.terminate()
        for connection in waiting:
            _, kind, *_ = struct.unpack("!BBHHBB", connection.read(8))
            assert kind == 6
        assert daemon.process.wait(PATIENCE) == 0


def test_a_dead_supervisor_leaves_no_orphans(daemon):
    family = children(daemon.process.pid)
    assert sorted(family.values()) == ["keep", "work", "work"]
    daemon.process.kill()
    daemon.process.wait()
    until(lambda: not any(is_running(pid) for pid in family), "the end of every child")
    # Its socket is left behind, and taken over.
    again = Daemon(daemon.folder).wait_until_ready()
    assert again.connect().get().startswith("Status: 200")
    again.stop()


def test_a_burst_of_crashes_slows_down_and_spares_the_healthy(daemon):
    survivor = daemon.workers()[0]
    kills = 0
    while "waiting" not in daemon.text() and kills < 20:
        victims = [pid for pid in daemon.workers() if pid != survivor]
        if victims:
            os.kill(victims[0], signal.SIGKILL)
            kills += 1
            until(lambda: not is_running(victims[0]), "its end")
        else:
            until(lambda: "waiting" in daemon.text() or len(daemon.workers()) == 2, "a replacement or a delay")
    assert 5 <= kills < 20, daemon.text()
    assert survivor in daemon.workers()
    assert daemon.connect().get().startswith("Status: 200")


def test_no_child_has_a_secret_in_environment_or_arguments(tmp_path):
    canary = "canary-" + secrets.token_hex(16)
    daemon = Daemon(tmp_path, GITHUB_CLIENT_ID="id", GITHUB_CLIENT_SECRET=canary).wait_until_ready()
    for pid in [daemon.process.pid, *children(daemon.process.pid)]:
        for name in ("environ", "cmdline"):
            text = Path(f"/proc/{pid}/{name}").read_bytes()
            assert canary.encode() not in text and daemon.key.encode() not in text
    assert canary not in daemon.text() and daemon.key not in daemon.text()
    daemon.stop()


def test_no_child_inherits_a_descriptor(tmp_path):
    probe = socket.socketpair()
    os.set_inheritable(probe[0].fileno(), True)
    daemon = Daemon(tmp_path).wait_until_ready()
    for pid in children(daemon.process.pid):
        kinds = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        assert not any(f"socket:[{os.fstat(probe[0].fileno()).st_ino}]" == kind for kind in kinds)
    daemon.stop()


def test_a_start_that_fails_says_why_in_one_sentence(tmp_path):
    daemon = Daemon(tmp_path, ENCRYPTION_KEY="short")
    assert daemon.process.wait(PATIENCE) != 0
    lines = [line for line in daemon.text().splitlines() if "warning" not in line]
    assert len(lines) == 1 and "ENCRYPTION_KEY" in lines[0] and "openssl rand" in lines[0]


def test_a_second_daemon_leaves_the_first_alone(daemon):
    second = Daemon(daemon.folder)
    assert second.process.wait(PATIENCE) != 0
    assert daemon.connect().get().startswith("Status: 200")


def test_a_subcommand_of_the_supervisor_does_not_run_alone():
    for role in ("work", "keep"):
        done = subprocess.run([BINARY, role], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 64 and "supervise" in done.stderr


def test_systemd_gets_its_socket_back_and_its_notices(tmp_path):
    """LISTEN_FDS and NOTIFY_SOCKET as sd_listen_fds(3) and sd_notify(3) have them, without systemd."""
    for name in ("state", "run", "etc"):
        (tmp_path / name).mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "listener"))
    listener.listen(64)
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind(str(tmp_path / "notices"))
    notices.settimeout(PATIENCE)
    environment = {
        "PATH": os.environ["PATH"], "AUTH_REDIRECT_BASE": "http://127.0.0.1:8080/api/auth",
        "TOOLSHED_STATE_DIR": str(tmp_path / "state"), "TOOLSHED_RUNTIME_DIR": str(tmp_path / "run"),
        "TOOLSHED_CONFIG_DIR": str(tmp_path / "etc"), "TOOLSHED_PEER_USER": str(os.getuid()),
        "ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(), "LISTEN_FDS": "1",
        "NOTIFY_SOCKET": str(tmp_path / "notices"),
    }
    start = 'export LISTEN_PID=$$; exec 3<&"$1"; exec "$2" supervise'
    process = subprocess.Popen(
        ["/bin/bash", "-c", start, "bash", str(listener.fileno()), BINARY], env=environment, stdin=subprocess.DEVNULL,
        pass_fds=[listener.fileno()], stderr=subprocess.PIPE)
    assert b"READY=1" in notices.recv(4096)
    assert Connection(tmp_path / "listener").get().startswith("Status: 200")
    process.send_signal(signal.SIGHUP)
    assert b"RELOADING=1" in notices.recv(4096)
    assert b"READY=1" in notices.recv(4096)
    process.terminate()
    assert b"STOPPING=1" in notices.recv(4096)
    assert process.wait(PATIENCE) == 0
    # Connections wait in the socket for the next start.
    late = Connection(tmp_path / "listener")
    late.socket.sendall(request("/healthz", False))
    process = subprocess.Popen(
        ["/bin/bash", "-c", start, "bash", str(listener.fileno()), BINARY], env=environment, stdin=subprocess.DEVNULL,
        pass_fds=[listener.fileno()], stderr=subprocess.PIPE)
    assert struct.unpack("!BBHHBB", late.read(8))[1] == 6
    process.terminate()
    assert process.wait(PATIENCE) == 0
