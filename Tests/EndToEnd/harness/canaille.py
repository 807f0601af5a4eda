"""canaille, an OpenID provider written by others, on 127.0.0.1, from PyPI in a virtual environment of its own."""

import contextlib
import json
import re
import secrets
import subprocess
from pathlib import Path

import requests

from .instance import ROOT

PYTHON = ROOT / ".venv-canaille/bin/python"


class Canaille:
    """One client, `toolshed`, and one person, `dora`; scopes openid, profile, email and phone. Refresh tokens are for one use and end when
    their access token does. Tokens are made of the second, so two of one person in one second are the same, and the
    second of them is answered with 500."""

    def __init__(self, folder: Path, port: int, redirect_uri: str, access_seconds: int = 3600):
        self.url = f"http://127.0.0.1:{port}"
        self.client_secret, self.password = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        folder.mkdir(parents=True, exist_ok=True)
        self._log = (folder / "stderr.log").open("ab")
        # -P: beside the script lies this file, which is not the canaille that it means.
        self.process = subprocess.Popen([PYTHON, "-P", Path(__file__).with_name("canaille_server.py")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self._log, text=True)
        json.dump({"secret": secrets.token_hex(16), "port": port, "folder": str(folder), "access_seconds": access_seconds,
                   "password": self.password, "client_secret": self.client_secret, "redirect_uris": [redirect_uri, redirect_uri.replace("/api/auth/", "/api/sign-in/")]},
                  self.process.stdin)
        self.process.stdin.close()
        assert self.process.stdout.readline() == "ready\n", f"canaille did not start; its log is {self._log.name}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()
        self._log.close()

    def log(self) -> str:
        return Path(self._log.name).read_text()

    def decide(self, authorization_url: str, answer: str = "accept", browser: requests.Session | None = None) -> str:
        """Dora signs in at its own pages and says yes or no: the callback's address. `browser`: one in which she may be
        signed in there already; `asked` says what she was asked."""
        fields = {"login": "dora", "password": self.password, "answer": answer}
        self.asked: list[str] = []
        with requests.Session() if browser is None else contextlib.nullcontext(browser) as dora:
            page = self._follow(dora, dora.get(authorization_url, timeout=30, allow_redirects=False))
            while not page.is_redirect:
                # What she allowed before is not asked again.
                field = next((name for name in fields if f'name="{name}"' in page.text), None)
                token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
                assert field and token and len(self.asked) < 5, f"{page.status_code} {page.url} {page.text[:500]}"
                self.asked.append(field)
                page = self._follow(dora, dora.post(page.url, data={field: fields[field], "csrf_token": token[1]}, timeout=30, allow_redirects=False))
            return page.headers["Location"]

    def _follow(self, dora: requests.Session, page: requests.Response) -> requests.Response:
        while page.is_redirect and page.headers["Location"].startswith(("/", self.url)):
            page = dora.get(requests.compat.urljoin(page.url, page.headers["Location"]), timeout=30, allow_redirects=False)
        return page

    def active(self, token: str) -> bool:
        """Whether canaille itself still takes this token for good (RFC 7662)."""
        reply = requests.post(f"{self.url}/oauth/introspect", auth=("toolshed", self.client_secret), data={"token": token}, timeout=30)
        return reply.json()["active"]

    def yaml(self, more: str = "") -> str:
        """The operator's file: what canaille's metadata do not say."""
        return f"""\
version: 1
owner: toolshed
providers:
  canaille:
    name: Canaille
    issuer: {self.url}
    allow_loopback_http: true
    client: {{ id: toolshed, secret: "{self.client_secret}" }}
    default_scopes: [openid, profile]
    {more}
    authorize: {{ pkce: {{ default: S256, available: [S256] }} }}
    refresh: {{ rotates: "yes" }}
    identity:
      - {{ method: GET, url: "{self.url}/oauth/userinfo", id: sub, label: name }}
"""
