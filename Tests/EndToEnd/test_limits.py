"""Every rate limit of api.md with the configuration that is shipped: what it lets through, how it says no, and that it is
for the one who floods alone."""

import socket
import ssl
import time

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from harness.answers import assert_problem
from harness.instance import ROOT, Instance

# Of an address, five a second: the path, and how many may come at once.
BY_ADDRESS = [("/api/sign-in/invitation", 10), ("/api/sign-in/header", 10), ("/api/sign-in/corp", 10), ("/token", 20),
              ("/register", 20), ("/device_authorization", 20), ("/revoke", 20)]
# Of a bearer, two hundred a second and a thousand at once.
BY_BEARER = ["/api/tokens/vend", "/api/tokens/report", "/api/person-keys", "/mcp"]


class Answer:
    """What one request got, as far as it is judged here."""

    def __init__(self, reader):
        first = reader.readline()
        assert first.startswith(b"HTTP/1.1 "), first
        self.status_code = int(first.split()[1])
        self.headers = CaseInsensitiveDict()
        while (line := reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name] = value.strip()
        self.text = reader.read(int(self.headers.get("Content-Length", 0))).decode()

    def json(self):
        return requests.models.complexjson.loads(self.text)


class Caller:
    """One connection, from an address of loopback's choice, whose requests do not wait for each other's answers."""

    def __init__(self, instance: Instance, source: str = "127.0.0.1"):
        context = ssl.create_default_context(cafile=instance.ca)
        plain = socket.create_connection(("127.0.0.1", instance.port), 30, (source, 0))
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self.reader = self.socket.makefile("rb")
        self.port = instance.port

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_) -> None:
        self.reader.close()
        self.socket.close()

    def send(self, count: int, path: str, bearer: str | None = None) -> list[Answer]:
        authorization = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
        request = (f"POST {path} HTTP/1.1\r\nHost: localhost:{self.port}\r\nContent-Type: application/json\r\n"
                   f"{authorization}Content-Length: 2\r\n\r\n{{}}").encode()
        answers = []
        while (left := min(100, count - len(answers))) > 0:
            self.socket.sendall(request * left)
            answers += [Answer(self.reader) for _ in range(left)]
        return answers


def bearer(number: int) -> str:
    """In the form of our keys: nginx counts by its public half."""
    return f"tsp_{number:021d}{'A' * 49}"


@pytest.fixture(scope="module")
def shipped():
    """nginx alone: what it lets through is 503, for want of a worker."""
    made = Instance(limits=True, double=False)
    try:
        yield made.serve()
    finally:
        made.end()


def refused(answers: list[Answer]) -> list[Answer]:
    found = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} <= {429, 503}
    return found


@pytest.mark.parametrize("path, burst", BY_ADDRESS)
def test_an_address_has_five_a_second(shipped, path, burst):
    # One address for each path: their places count together.
    number = 10 + 2 * BY_ADDRESS.index((path, burst))
    with Caller(shipped, f"127.0.1.{number}") as flooding, Caller(shipped, f"127.0.1.{number + 1}") as other:
        begun, answers = time.monotonic(), []
        # Much faster than it may, over some seconds.
        for _ in range(60):
            answers += flooding.send(20, path)
            time.sleep(0.04)
        assert not refused(other.send(burst, path))
        passed = time.monotonic() - begun
        through = len(answers) - len(refused(answers))
        # The first, what may come at once, and what time gave back meanwhile.
        assert burst + 1 <= through <= burst + 2 + 5 * passed, f"{through} in {passed:.1f} s"
        assert through >= burst + 5 * (passed - 1), "and not fewer than five a second"
        for answer in refused(answers)[:3]:
            problem = assert_problem(answer, 429, "rate-limited")
            assert problem["detail"] and 1 <= int(answer.headers["Retry-After"]) <= 10
    # Its own bucket, whatever the flooding address did.
    with Caller(shipped, f"127.0.2.{number}") as fresh:
        assert not refused(fresh.send(burst + 1, path)) and refused(fresh.send(3, path))


def test_sign_in_token_and_registration_count_together_by_address(shipped):
    with Caller(shipped, "127.0.3.1") as one:
        assert not refused(one.send(11, "/api/sign-in/invitation"))
        assert refused(one.send(5, "/api/sign-in/header"))
        # What is not limited by address goes on.
        assert not refused(one.send(50, "/api/me")) and not refused(one.send(50, "/api/connect"))


@pytest.mark.parametrize("path", BY_BEARER)
def test_a_bearer_has_two_hundred_vends_a_second_and_a_thousand_at_once(shipped, path):
    number = 10 + 2 * BY_BEARER.index(path)
    with Caller(shipped) as flooding, Caller(shipped) as other:
        begun = time.monotonic()
        answers = flooding.send(2500, path, bearer(number))
        passed = time.monotonic() - begun
        # From the same address and at the same time, with another key.
        assert not refused(other.send(100, path, bearer(number + 1)))
        through = len(answers) - len(refused(answers))
        assert 1001 <= through <= 1002 + 200 * passed, f"{through} in {passed:.1f} s"
        assert refused(answers), f"2500 in {passed:.1f} s were not enough to be too many"
        problem = assert_problem(refused(answers)[0], 429, "rate-limited")
        assert problem["detail"] and 1 <= int(refused(answers)[0].headers["Retry-After"]) <= 10


def test_vends_reports_and_calls_of_one_bearer_count_together(shipped):
    with Caller(shipped) as one:
        for path in BY_BEARER:
            one.send(300, path, bearer(90))
        answers = [answer for path in BY_BEARER for answer in one.send(300, path, bearer(90))]
        assert refused(answers)


def test_without_a_key_of_ours_the_address_is_counted(shipped):
    with Caller(shipped, "127.0.4.1") as one, Caller(shipped, "127.0.4.2") as two:
        assert refused(one.send(2500, "/api/tokens/vend", "not-one-of-ours"))
        assert not refused(two.send(100, "/api/tokens/vend", "not-one-of-ours"))


class From(HTTPAdapter):
    """A client whose connections come from this address of loopback."""

    def __init__(self, address: str):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *arguments, **more):
        super().init_poolmanager(*arguments, source_address=(self.address, 0), **more)


def test_failed_authentication_has_ten_a_second_for_each_address(fresh):
    instance = fresh(limits=True, double=False).start()

    def guess(session, count: int, number: int = 7) -> list[requests.Response]:
        return [session.post(instance.origin + "/api/tokens/report", headers={"Authorization": f"Bearer {bearer(number)}"},
                             json={}, timeout=10) for _ in range(count)]

    with instance.session() as guessing, instance.session() as other:
        guessing.mount("https://", From("127.0.5.1"))
        other.mount("https://", From("127.0.5.2"))
        begun, answers = time.monotonic(), []
        while time.monotonic() - begun < 3:
            answers += guess(guessing, 20)
        passed = time.monotonic() - begun
        assert {answer.status_code for answer in answers} == {401, 429}
        said = sum(answer.status_code == 401 for answer in answers)
        # Twenty at once, and ten a second.
        assert 20 + 10 * (passed - 1) <= said <= 21 + 10 * passed, f"{said} in {passed:.1f} s"
        problem = assert_problem(next(answer for answer in answers if answer.status_code == 429), 429, "rate-limited")
        assert problem["detail"]
        assert [answer.status_code for answer in guess(other, 10, number=8)] == [401] * 10, \
            "nor is it slowed by nginx's limit on the other bearer"


def test_the_configuration_of_the_benchmark_sets_no_limit(fresh):
    instance = fresh(double=False).serve()
    with Caller(instance) as one:
        for path in [path for path, _ in BY_ADDRESS] + BY_BEARER:
            assert not refused(one.send(60 if path not in BY_BEARER else 1500, path, bearer(1))), path
    shipped = (ROOT / "nginx/toolshed/zones.conf").read_text()
    assert "rate=200r/s" in shipped and "rate=5r/s" in shipped
