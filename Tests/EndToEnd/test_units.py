"""The units as they are, under systemd, on a host that was set up by docs/OPERATIONS.md line for line."""

import pytest
import requests

from harness.host import Host, Unavailable
from harness.instance import BINARY, ROOT
from harness.load import Load
from harness.people import Person
from harness.waiting import until

GUIDE = (ROOT / "docs/OPERATIONS.md").read_text()


@pytest.fixture(scope="module")
def host():
    try:
        made = Host()
    except Unavailable as reason:
        pytest.skip(str(reason))
    try:
        made.script(f"cd /mnt/version && TOOLSHEDD=/mnt/binary/{BINARY.name} DESTDIR= make install")
        for line in ("systemd-sysusers",
                     "(umask 077; openssl rand -base64 32 >/etc/toolshed/credentials/ENCRYPTION_KEY)",
                     "ln -s ../sites-available/toolshed.conf /etc/nginx/sites-enabled/ && nginx -t && systemctl reload nginx",
                     "systemctl daemon-reload && systemctl enable --now toolshedd.socket toolshedd.service"):
            assert line in GUIDE, line
        made.script(f"""
            systemd-sysusers
            (umask 077; openssl rand -base64 32 >/etc/toolshed/credentials/ENCRYPTION_KEY)
            sed -i 's|^#*AUTH_REDIRECT_BASE=.*|AUTH_REDIRECT_BASE={made.origin}/api/auth|' /etc/toolshed/environment
            mkdir -p /etc/toolshed/tls
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \\
                -addext subjectAltName=DNS:localhost -keyout /etc/toolshed/tls/key.pem -out /etc/toolshed/tls/cert.pem
            cp /etc/toolshed/tls/cert.pem /mnt/share/
            sed -i -e 's|server_name .*|server_name localhost;|' -e '/listen \\[/d' -e 's|listen 443|listen 127.0.0.1:{made.port}|' \\
                /etc/nginx/toolshed/host.conf
            rm -f /etc/nginx/sites-enabled/*
            /usr/share/toolshed/make-metadata
            ln -s ../sites-available/toolshed.conf /etc/nginx/sites-enabled/
            nginx -t
            systemctl restart nginx
            systemctl daemon-reload
            systemctl enable --now toolshedd.socket toolshedd.service
        """)
        yield made
    finally:
        made.end()


def ready(host) -> bool:
    try:
        return host.get("/readyz").status_code == 200
    except requests.RequestException:
        return False


def test_the_first_start_answers(host):
    reply = host.get("/readyz")
    assert reply.text == "ready\n", host.run("journalctl", "-u", "toolshedd", "--no-pager")
    assert host.run("systemctl", "show", "-P", "StatusText", "toolshedd").strip() == "Answering requests"
    # nginx's workers may connect, and nobody else; the first start must not have taken the socket from them.
    assert host.run("stat", "-c", "%U %G %a", "/run/toolshed/toolshedd.sock").split() == ["toolshed", "www-data", "660"]
    assert host.run("stat", "-c", "%U %a", "/var/lib/toolshed").split() == ["toolshed", "700"]


def test_the_commands_work_on_it(host):
    person = Person(host)
    assert person.get("/api/me").json()["userId"] == person.user_id
    assert host.json("check")["ok"]
    assert host.json("plugin", "add", "A plugin of this host")["key"].startswith("tsp_")


def test_nothing_secret_is_where_others_look(host):
    pid = host.run("systemctl", "show", "-P", "MainPID", "toolshedd").strip()
    processes = [pid, *host.run("pgrep", "-P", pid).split()]
    assert len(processes) >= 4
    key = host.run("cat", "/etc/toolshed/credentials/ENCRYPTION_KEY").strip()
    for process in processes:
        status = dict(line.split(":", 1) for line in host.run("cat", f"/proc/{process}/status").splitlines())
        assert int(status["CapEff"], 16) == 0 and status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
        assert int(status["VmLck"].split()[0]) > 0
        assert key not in host.run("cat", f"/proc/{process}/environ") + host.run("cat", f"/proc/{process}/cmdline")
    assert key not in host.run("journalctl", "--no-pager")


def test_a_reload_and_a_restart_lose_no_request(host):
    with Load(lambda _: host.get("/readyz"), threads=4) as load:
        def more(count: int = 20) -> None:
            start = load.total
            until(lambda: load.total >= start + count, "more answers")
        more()
        host.run("systemctl", "reload", "toolshedd")
        until(lambda: host.run("cat", "/run/toolshed/reload.status", check=False).startswith("ok"), "the reload")
        more()
        # New requests wait in the socket, which is systemd's.
        host.run("systemctl", "restart", "toolshedd")
        more()
    assert load.statuses == {200: load.total}, load.odd[:5]
    assert host.run("stat", "-c", "%G", "/run/toolshed/toolshedd.sock").strip() == "www-data"


def test_it_comes_back_after_a_kill_and_by_a_request_after_a_stop(host):
    before = host.run("systemctl", "show", "-P", "MainPID", "toolshedd")
    host.run("systemctl", "kill", "-s", "KILL", "--kill-whom=main", "toolshedd")
    until(lambda: host.run("systemctl", "show", "-P", "MainPID", "toolshedd") not in (before, "0\n") and ready(host), "another start")
    host.run("systemctl", "stop", "toolshedd")
    assert ready(host), "the socket starts it"
    host.run("systemctl", "stop", "toolshedd.socket")
    assert host.get("/readyz").status_code == 503


def test_a_wrong_configuration_is_one_sentence_and_no_endless_starting(host):
    host.script("systemctl stop toolshedd.socket toolshedd; mv /etc/toolshed/credentials/ENCRYPTION_KEY /tmp/key")
    try:
        host.run("systemctl", "start", "toolshedd", check=False)
        until(lambda: host.run("systemctl", "show", "-P", "ActiveState", "toolshedd").strip() == "failed", "it to give up", 60)
    finally:
        host.script("mv /tmp/key /etc/toolshed/credentials/ENCRYPTION_KEY; systemctl reset-failed toolshedd toolshedd.socket;"
                    " systemctl start toolshedd.socket toolshedd")
    until(lambda: ready(host), "it to be ready again")
