"""The provider double as a process: its port, its control endpoints."""

import json
import subprocess
import sys
from pathlib import Path

import requests

SOURCES = Path(__file__).resolve().parents[2] / "double"
sys.path.append(str(SOURCES))
import operator_yaml  # noqa: E402  beside the double, for its users


class Double:
    def __init__(self, log: Path, *options: str):
        self._log = log.open("ab")
        self.process = subprocess.Popen([sys.executable, str(SOURCES / "double.py"), *options],
                                        stdout=subprocess.PIPE, stderr=self._log, text=True)
        ready = self.process.stdout.readline()
        assert ready, f"the provider double did not start; its log is {log}"
        self.port = json.loads(ready)["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = requests.Session()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()
        self._log.close()
        self.http.close()

    def get(self, verb: str, **query):
        return self._answer(self.http.get(f"{self.url}/control/{verb}", params=query, timeout=30))

    def post(self, verb: str, **fields):
        return self._answer(self.http.post(f"{self.url}/control/{verb}", json=fields, timeout=30))

    @staticmethod
    def _answer(reply):
        assert reply.status_code == 200, reply.text
        return reply.json()

    def set(self, family: str | None = None, **settings):
        return self.post("set", **({"family": family} if family else {}), **settings)

    def fault(self, family: str, endpoint: str, kind: str, **more):
        return self.post("fault", family=family, endpoint=endpoint, kind=kind, **more)

    def count(self, family: str, endpoint: str) -> int:
        return self.get("counters").get(family, {}).get(endpoint, 0)

    def requests(self, family: str = "", endpoint: str = "*", since: int = 0) -> list[dict]:
        query = {"endpoint": endpoint, "since": since} | ({"family": family} if family else {})
        return self.get("log", **query)["requests"]

    def complaints(self) -> list[dict]:
        return self.get("complaints")["complaints"]

    def reset(self) -> None:
        self.post("reset")

    def decide(self, authorization_url: str, **choice) -> str:
        """What a person does at the provider's page, without a browser: the callback's address."""
        return self.post("code", url=authorization_url, **choice)["location"]

    def key(self, account: str = "octo") -> str:
        """An API key that a person made at the provider that gives out keys."""
        return self.post("key", account=account)["key"]

    def provider_files(self) -> dict[str, str]:
        """The operator's files that point the service at this double: the four built in, corp, keyed, demo."""
        return {"doubles": operator_yaml.providers_yaml(self.port), "demo": operator_yaml.demo_yaml(self.port)}
