"""F01 to F17: what peers, crashes and missing descriptors do to the pool. The daemon alone unless a test says otherwise."""

import base64
import hashlib
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
import test_pool as pool
from harness.aftermath import Aftermath
from harness.answers import assert_problem
from harness.flow import timed
from harness.injection import Injection
from harness.load import Load
from harness.waiting import until


@pytest.fixture
def daemon(tmp_path):
    made = pool.Daemon(tmp_path).wait_until_ready()
    yield made
    made.stop()


def metric(daemon, name: str) -> int:
    """Summed over as many answers as there are workers, each counted once."""
    found = {}
    for _ in range(50):
        text = daemon.connect().get("/metrics", keep=False)
        found |= dict(re.findall(name + r'\{pid="(\d+)"\} (\d+)', text))
        if len(found) == len(daemon.workers()):
            break
    return sum(map(int, found.values()))


def slowest(daemon, count: int = 50) -> float:
    """Of so many answers, each over a connection of its own."""
    worst = 0.0
    for _ in range(count):
        start = time.monotonic()
        assert daemon.connect().get(keep=False).startswith("Status: 200")
        worst = max(worst, time.monotonic() - start)
    return worst


def test_silence_half_a_header_and_half_a_request_hold_up_nobody(daemon):
    """F01, F02, F03: connections are parked in epoll; only bytes of a request begin its five seconds."""
    kinds = {"silent": (b"", 64), "one byte": (b"\1", 2), "half a request": (pool.request("/healthz", True)[:60], 2)}
    held = {kind: [daemon.connect() for _ in range(count)] for kind, (_, count) in kinds.items()}
    for kind, connections in held.items():
        for connection in connections:
            connection.socket.sendall(kinds[kind][0])
    # As many as one worker has threads; each costs one of them its five seconds, and nobody but nginx's user can connect.
    assert slowest(daemon) < 10
    started = time.monotonic()
    for kind in ("one byte", "half a request"):
        for connection in held[kind]:
            assert connection.socket.recv(1) == b"", kind
    assert time.monotonic() - started < 20
    for connection in held["silent"]:
        assert connection.get().startswith("Status: 200"), "silence is no request, and no fault"
    assert metric(daemon, "toolshed_worker_threads_busy") <= 2


def test_a_refused_body_leaves_the_connection_usable(daemon):
    """F05: a kept connection is read to the end of what it carried, or closed."""
    pairs = {"REQUEST_METHOD": "POST", "DOCUMENT_URI": "/api/tokens/vend", "REQUEST_URI": "/api/tokens/vend",
             "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": "60000"}
    content = b"".join(bytes([len(k), len(v)]) + k.encode() + v.encode() for k, v in pairs.items())
    post = (pool.record(1, struct.pack("!HB5x", 1, 1)) + pool.record(4, content) + pool.record(4)
            + pool.record(5, b"x" * 60000) + pool.record(5))
    connection = daemon.connect()
    for _ in range(20):
        connection.socket.sendall(post)
        head = connection.read(8)
        output = connection.read(struct.unpack("!BBHHBB", head)[3] + head[6])
        assert output.startswith(b"Status: 4"), output[:80]
        while head[1] != 3:
            head = connection.read(8)
            connection.read(struct.unpack("!BBHHBB", head)[3] + head[6])
        assert connection.get().startswith("Status: 200")


def test_a_client_that_leaves_kills_nobody_and_what_was_committed_stays(fresh, company):
    """F08: closed with a reset before the answer."""
    instance = fresh().start()
    us = company(instance)
    after, workers = Aftermath(instance), instance.children("work")
    names = [f"left {number}" for number in range(20)]
    body = '{"name": "%s"}'
    pairs = {"REQUEST_METHOD": "POST", "DOCUMENT_URI": "/api/keys", "REQUEST_URI": "/api/keys", "REMOTE_ADDR": "127.0.0.1",
             "CONTENT_TYPE": "application/json", "HTTPS": "on", "HTTP_HOST": f"localhost:{instance.port}",
             "HTTP_ORIGIN": instance.origin, "HTTP_SEC_FETCH_SITE": "same-origin",
             "HTTP_COOKIE": "__Host-toolshed=" + us.person.http.cookies["__Host-toolshed"]}
    for name in names:
        text = (body % name).encode()
        listed = pairs | {"CONTENT_LENGTH": str(len(text))}
        content = b"".join(bytes([len(k)]) + (bytes([len(v)]) if len(v) < 128 else struct.pack("!I", len(v) | 1 << 31))
                           + k.encode() + v.encode() for k, v in listed.items())
        connection = pool.Connection(instance.dir / "run/toolshedd.sock")
        connection.socket.sendall(pool.record(1, struct.pack("!HB5x", 1, 0)) + pool.record(4, content) + pool.record(4)
                                  + pool.record(5, text) + pool.record(5))
        connection.close()
    until(lambda: set(names) <= {key["name"] for key in us.person.get("/api/keys").json()["keys"]}, "what was asked for")
    assert instance.children("work") == workers
    after.check()


def test_out_of_descriptors_is_a_pause(daemon):
    """F07."""
    workers, threads = daemon.workers(), metric(daemon, "toolshed_worker_threads")
    limits = {}
    for pid in workers:
        limits[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 4, limits[pid][1]))
    flood = [daemon.connect() for _ in range(200)]
    for connection in flood:
        connection.socket.sendall(pool.request("/healthz", True))
    with pytest.raises(TimeoutError):
        flood[-1].socket.settimeout(1)
        flood[-1].socket.recv(1)
    for pid, limit in limits.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    for connection in flood:
        connection.socket.settimeout(pool.PATIENCE)
        assert struct.unpack("!BBHHBB", connection.read(8))[1] == 6
    assert daemon.workers() == workers and metric(daemon, "toolshed_worker_threads") == threads
    assert daemon.process.poll() is None and slowest(daemon, 10) < 5


@pytest.mark.long
def test_what_does_not_fit_into_the_queue_is_told_at_once(fresh, company):
    """F09: the workers are stopped, and the queue of 1024 is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    instance = fresh().start()
    us = company(instance)
    workers = instance.children("work")
    waiting = []
    try:
        for pid in workers:
            instance.kill(pid, signal.SIGSTOP)
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.setblocking(False)
            try:
                connection.connect(str(instance.dir / "run/toolshedd.sock"))
            except BlockingIOError:
                break
            connection.sendall(pool.request("/healthz", False))
            waiting.append(connection)
        assert len(waiting) > 1000
        for _ in range(5):
            start = time.monotonic()
            # One that is sent over a connection of its own: those that nginx keeps lead to the stopped ones.
            reply = instance.post("/api/keys", json={})
            assert_problem(reply, 503, "unavailable")
            assert time.monotonic() - start < 2, "nginx waited for a queue that is full"
    finally:
        for pid in workers:
            instance.kill(pid, signal.SIGCONT)
    for connection in waiting:
        connection.settimeout(60)
        assert connection.recv(8)[1] == 6
        connection.close()
    assert us.vend().status_code == 200 and instance.children("work") == workers
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def state(thread: Path) -> str:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


def test_with_all_workers_killed_the_queue_waits_for_their_successors(daemon):
    """F11."""
    before = daemon.workers()
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    # Each thread stops when it gets to it; until then one may still take a connection up.
    pool.until(lambda: all(state(thread) == "T" for pid in before for thread in Path(f"/proc/{pid}/task").iterdir()), "all to stop")
    waiting = [daemon.connect() for _ in range(100)]
    for connection in waiting:
        connection.socket.sendall(pool.request("/healthz", False))
    killed = time.monotonic()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    for connection in waiting:
        assert struct.unpack("!BBHHBB", connection.read(8))[1] == 6
    print(f"the first answers after {time.monotonic() - killed:.2f} s")
    pool.until(lambda: len(daemon.workers()) == 2 and not set(before) & set(daemon.workers()), "a full pool")


@pytest.mark.long
def test_one_worker_after_another_is_killed_under_load(fresh, company, extent):
    """F10. Spaced so that it is no burst; what happens in one is in test_pool.py."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "3"}).start()
    us = company(instance)
    after, times, rounds = Aftermath(instance), [], 200 if extent == "full" else 10
    with Load(lambda _: us.vend(), threads=1) as warm:
        until(lambda: warm.total > 5, "answers")
    with Load(lambda _: instance.get("/healthz"), threads=4) as load:
        for _ in range(rounds):
            workers, begun = instance.children("work"), time.monotonic()
            instance.kill(workers[0])
            until(lambda: len(instance.children("work")) == 3 and workers[0] not in instance.children("work"), "a full pool")
            times.append(time.monotonic() - begun)
            until(lambda: load.total > 0 and time.monotonic() - begun > 2.6, "the next")
    assert set(load.statuses) <= {200, 503} and load.statuses[503] <= rounds * 4, load.odd[:5]
    print(f"{rounds} kills, {load.statuses[503]} of {load.total} requests lost, replaced within {max(times):.2f} s")
    after.check(us.secrets)


@pytest.mark.long
def test_workers_that_cannot_start_are_tried_more_and_more_slowly_and_the_healthy_one_goes_on(daemon):
    """F13: a child that may open too few descriptors ends in its start."""
    supervisor, survivor = daemon.process.pid, daemon.workers()[0]
    limit = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
    used = max(int(entry.name) for entry in Path(f"/proc/{supervisor}/fd").iterdir()) + 1
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (used + 2, limit[1]))
    os.kill(daemon.workers()[1], signal.SIGKILL)
    pool.until(lambda: "waiting 4000 ms" in daemon.text(), "longer and longer pauses")
    ticks = lambda: sum(map(int, Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[11:15]))
    before, begun = ticks(), time.monotonic()
    assert slowest(daemon, 200) < 5
    until(lambda: time.monotonic() - begun > 8, "eight seconds to measure")
    share = (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begun)
    assert share < 0.1, f"the supervisor and what it starts take {share:.0%} of a processor"
    assert survivor in daemon.workers()
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limit)
    until(lambda: len(daemon.workers()) == 2, "a full pool", 40)


def served_by_systemd(binary: Path, folder: Path, listener: socket.socket) -> subprocess.Popen:
    """As a unit with a socket starts it."""
    for name in ("state", "run", "etc"):
        (folder / name).mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"], "AUTH_REDIRECT_BASE": "http://127.0.0.1:8080/api/auth",
        "TOOLSHED_STATE_DIR": str(folder / "state"), "TOOLSHED_RUNTIME_DIR": str(folder / "run"),
        "TOOLSHED_CONFIG_DIR": str(folder / "etc"), "TOOLSHED_PEER_USER": str(os.getuid()),
        "ENCRYPTION_KEY": base64.b64encode(hashlib.sha256(str(folder).encode()).digest()).decode(), "LISTEN_FDS": "1", "TOOLSHED_WORKERS": "2"}
    start = 'export LISTEN_PID=$$; exec 3<&"$1"; exec "$2" supervise'
    return subprocess.Popen(["/bin/bash", "-c", start, "bash", str(listener.fileno()), binary], env=environment,
                            stdin=subprocess.DEVNULL, pass_fds=[listener.fileno()], stderr=(folder / "log").open("ab"))


@pytest.mark.long
def test_another_binary_takes_the_socket_over_and_a_broken_one_is_replaced(tmp_path):
    """F15: systemd keeps the socket, so requests wait while one binary stops and the next starts; one that does not start
    answers nothing, and with the old one back they are answered."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "listener"))
    listener.listen(1024)
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 70\n")
    broken.chmod(0o755)
    daemon = type("Served", (), {"connect": lambda self: pool.Connection(tmp_path / "listener")})()
    running = served_by_systemd(pool.BINARY, tmp_path, listener)
    threads = [pool.Load(daemon, keep=False) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            pool.more(threads, 50)
            running.terminate()
            assert running.wait(pool.PATIENCE) == 0
            failed = served_by_systemd(broken, tmp_path, listener)
            assert failed.wait(pool.PATIENCE) == 70
            running = served_by_systemd(pool.BINARY, tmp_path, listener)
        pool.more(threads, 50)
        assert pool.failures(threads) == []
    finally:
        for thread in threads:
            thread.stopping.set()
        running.terminate()
        running.wait(pool.PATIENCE)


# F17. A worker is looked after every three seconds, and is given up at the fifth look.
GIVEN_UP = 40


@pytest.mark.long
def test_a_worker_that_is_stopped_is_replaced_and_only_its_own_requests_wait_for_it(daemon):
    """F17: nothing that a worker does by itself stops it as a whole; a signal does, or a kernel that keeps it in the disk."""
    stopped, begun, answers = daemon.workers()[0], time.monotonic(), []
    os.kill(stopped, signal.SIGSTOP)

    def ask() -> None:
        answers.append(daemon.connect().get(keep=False))

    askers = [threading.Thread(target=ask) for _ in range(100)]
    for asker in askers:
        asker.start()
    until(lambda: len(answers) >= 90 or time.monotonic() - begun > 9, "answers of the other")
    assert len(answers) >= 90, "the stopped one takes nothing from the queue"
    until(lambda: stopped not in daemon.workers() and len(daemon.workers()) == 2, "another in its place", GIVEN_UP)
    assert "has not answered for 12 s" in daemon.text() and time.monotonic() - begun > 9, "nobody is given up for a moment"
    for asker in askers:
        asker.join(20)
    assert len(answers) == 100
    pool.until(lambda: slowest(daemon, 10) < 5, "the pool to be well")


@pytest.mark.long
def test_whoever_waits_for_a_stopped_worker_is_answered_by_another(fresh, company):
    """F17, with nginx: what may be repeated is asked of the successor, the rest is told to come again; nobody waits for
    the whole of nginx's patience."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "2"}).start()
    us = company(instance)
    after, stopped = Aftermath(instance), instance.children("work")[0]
    with Load(lambda _: us.vend(), threads=4) as warm:
        until(lambda: warm.total > 100, "connections to both workers")
    instance.kill(stopped, signal.SIGSTOP)
    slow = []

    def vend(_):
        reply, seconds = timed(us.vend)
        slow.append(seconds)
        return reply

    with Load(vend, threads=8) as load:
        until(lambda: stopped not in instance.children("work") and len(instance.children("work")) == 2, "a successor", GIVEN_UP)
        until(lambda: load.total > 200, "answers")
    assert load.statuses == {200: load.total}, load.odd[:5]
    assert max(slow) < 28, "nginx's own patience is 30 s"
    after.check(us.secrets)


@pytest.mark.long
def test_a_thread_that_does_not_come_back_costs_its_own_request(fresh, company):
    """F17: the disk keeps one thread inside pwrite(2), in the middle of storing something. Whoever waits for it is told after 12
    to 15 s, the other threads go on as far as they need not store anything, and the worker is replaced."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "1"}).start()
    us = company(instance)
    path, told = f"/api/connections/{us.person.connections()[0]['id']}", []
    after, [held] = Aftermath(instance), instance.children("work")
    assert us.vend().status_code == 200, "by which key a plugin asks is stored at its first use"
    rename = threading.Thread(target=lambda: told.append(timed(lambda: us.person.call("PATCH", path, {"label": "never"}))))
    with Injection(held, "pwrite64", when="1", hold=True) as injection:
        rename.start()
        begun = time.monotonic()
        while held in instance.children("work"):
            assert time.monotonic() - begun < GIVEN_UP, "it was not replaced"
            for reply, seconds in (timed(us.vend), timed(lambda: instance.get("/api/sign-in/methods"))):
                assert reply.status_code == 200 and seconds < 5, f"{reply.status_code} after {seconds:.1f} s"
        rename.join(60)
    [(reply, seconds)] = told
    assert injection.struck == 1 and 9 < seconds < 25, f"told after {seconds:.1f} s"
    assert_problem(reply, 503, "unavailable")
    assert "1 of its threads do not come back from a request" in instance.log()
    until(lambda: us.person.call("PATCH", path, {"label": "again"}).status_code == 204, "the lock of what is gone")
    assert [c["label"] for c in us.person.connections()] == ["again"]
    after.check(us.secrets)


@pytest.mark.long
def test_a_sync_that_does_not_come_back_has_its_worker_replaced_and_costs_no_request(fresh, company):
    """F17: the same of the thread that syncs the record and waits for providers."""
    instance = fresh(environment={"TOOLSHED_WORKERS": "2"}).start()
    us = company(instance)
    after, [held, other] = Aftermath(instance), instance.children("work")
    with Injection(held, "fdatasync", when="1", hold=True) as injection:
        with Load(lambda _: us.vend(), threads=8) as load:
            until(lambda: held not in instance.children("work"), "it to be replaced", GIVEN_UP)
    assert injection.struck == 1 and other in instance.children("work")
    assert load.statuses == {200: load.total}, load.odd[:5]
    assert "its thread for the network does not come back" in instance.log()
    after.check(us.secrets)
