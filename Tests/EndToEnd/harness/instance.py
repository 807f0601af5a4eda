"""One whole instance in a folder: the same scripts/instance that make up uses, on a free port."""

import hashlib
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import requests

from .double import Double
from .waiting import until

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("TOOLSHEDD", ROOT / ".build/debug/toolshedd"))


# Below those that the kernel gives to clients, or one might take an instance's port while it is stopped; each process begins
# elsewhere, for another's may be laid out and not yet listened at.
_ports = itertools.count(10240 + os.getpid() * 512 % 20480)


def free_port() -> int:
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Instance:
    """`limits`: with the rate limits of a host. `environment`: more lines of etc/environment. `trusted_user`: nginx vouches
    for whom the header X-Test-User names, and anybody may become a person that way."""

    def __init__(self, *, limits: bool = False, environment: dict[str, str] | None = None, double: bool = True,
                 trusted_user: bool = True):
        # Not pytest's tmp_path: a unix socket's path has at most 107 bytes.
        self.dir = Path(tempfile.mkdtemp(prefix="toolshed-"))
        self.limits, self.double = limits, None
        self.port = free_port()
        self.origin = f"https://localhost:{self.port}"
        self.ca = str(self.dir / "ca.pem")
        if trusted_user:
            self._trust_nginx()
        self._script("lay")
        if environment:
            with (self.dir / "etc/environment").open("a") as file:
                file.writelines(f"{name}={value}\n" for name, value in environment.items())
        if double:
            self.double = Double(self.dir / "log/double.log")
            for name, yaml in self.double.provider_files().items():
                self.provide(name, yaml)

    # Life

    def start(self) -> "Instance":
        self._script("start")
        return self

    def serve(self) -> "Instance":
        """nginx alone, without the daemon."""
        self._script("serve")
        return self

    def stop(self) -> None:
        self._script("stop")

    def reload(self) -> subprocess.CompletedProcess:
        """make reload: its exit status and sentence are the caller's to judge."""
        return self._script("reload", check=False)

    def end(self) -> None:
        self.stop()
        if self.double:
            self.double.stop()
        if os.environ.get("KEEP"):
            print(f"kept {self.dir}")
        else:
            shutil.rmtree(self.dir)

    def _script(self, verb: str, check: bool = True) -> subprocess.CompletedProcess:
        environment = os.environ | {"PORT": str(self.port), "TOOLSHEDD": str(BINARY),
                                    "LIMITS": "on" if self.limits else "off"}
        # Output to a file: what is started here would hold a pipe open.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run([ROOT / "scripts/instance", verb, self.dir], env=environment, stdin=subprocess.DEVNULL,
                                  stdout=said, stderr=said, text=True, timeout=120)
            said.seek(0)
            done.stdout = said.read()
        assert not check or done.returncode == 0, f"scripts/instance {verb}: {done.stdout}"
        return done

    def _trust_nginx(self) -> None:
        """Laid before nginx's configuration is: the file with the secret is the operator's, not the instance's."""
        (self.dir / "etc").mkdir()
        secret = secrets.token_hex(32)
        file = self.dir / "etc/trusted-user.conf"
        file.touch(mode=0o600)
        file.write_text(f'fastcgi_param TOOLSHED_USER_SECRET "{secret}";\nfastcgi_param TOOLSHED_USER $http_x_test_user;\n')
        digest = hashlib.sha256(secret.encode()).hexdigest()
        (self.dir / "etc/toolshed.yaml").write_text(
            f"version: 1\nsign_in:\n  header: {{ secret_sha256: {digest}, new_people: anyone }}\n")

    # Its parts

    def provide(self, name: str, yaml: str) -> None:
        """Writes etc/providers.d/NAME.yaml; takes effect at the start or with reload()."""
        file = self.dir / f"etc/providers.d/{name}.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml)

    def pid(self, name: str = "toolshedd.pid") -> int:
        return int((self.dir / "run" / name).read_text().split()[0])

    def children(self, role: str) -> list[int]:
        """The daemon's processes of one role: work or keep."""
        listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(self.pid())], capture_output=True, text=True)
        rows = [line.split() for line in listed.stdout.splitlines()]
        return [int(row[0]) for row in rows if role in row[2:]]

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        os.kill(pid, number)

    def ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except requests.RequestException:
            return False

    def await_ready(self, seconds: float = 60) -> None:
        until(self.ready, "/readyz to answer 200", seconds)

    def log(self, name: str = "toolshedd.log") -> str:
        return (self.dir / "log" / name).read_text(errors="replace")

    def toolshedd(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run([self.dir / "bin/toolshedd", *arguments], capture_output=True, text=True, timeout=60)
        assert not ok or done.returncode == 0, f"toolshedd {arguments[0]}: {done.stderr}"
        return done

    def json(self, *arguments: str) -> dict:
        return json.loads(self.toolshedd(*arguments, "--json").stdout)

    def sql(self, statement: str, *arguments) -> None:
        """Changes the database under the running daemon, for what only time could do otherwise."""
        database = sqlite3.connect(self.dir / "state/toolshed.sqlite", timeout=10)
        try:
            # Nobody but the keeper checkpoints; closing while others have it open does not.
            database.execute("PRAGMA wal_autocheckpoint = 0")
            with database:
                database.execute(statement, arguments)
        finally:
            database.close()

    # HTTP as anybody

    def session(self) -> requests.Session:
        session = requests.Session()
        session.verify = self.ca
        session.trust_env = False
        return session

    def request(self, method: str, path: str, **more) -> requests.Response:
        more = {"timeout": 30, "allow_redirects": False} | more
        with self.session() as session:
            return session.request(method, self.origin + path, **more)

    def get(self, path: str, **more) -> requests.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more) -> requests.Response:
        return self.request("POST", path, **more)
