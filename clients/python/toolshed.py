"""Tokens from a Toolshed server, for plugins and agents. One file, the standard library only (Python 3.9 or newer).

    from toolshed import Toolshed, AuthorizationRequired

    ctx = Toolshed().person("u_…")            # TOOLSHED_URL, TOOLSHED_KEY or TOOLSHED_KEY_FILE, TOOLSHED_CA_FILE
    try:
        token = ctx.auth.get_token("github", scopes=["repo"], reason="List your open issues")
    except AuthorizationRequired as needed:
        print("Please allow it:", needed.url, "code", needed.match_code)
        token = needed.when_authorized()
    requests.get("https://api.github.com/issues", headers={"Authorization": f"Bearer {token.access_token}"})

Nothing is stored: ask again whenever a token is needed. docs/CLIENTS.md has the rest.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Iterator, Optional, Tuple

__all__ = ["Toolshed", "Person", "Token", "ToolshedError", "AuthorizationRequired", "Declined", "RequestEnded"]

_MOST_BYTES = 1 << 20
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TERMINAL = {"completed", "declined", "expired", "failed"}


@dataclass(frozen=True)
class Token:
    """What a provider's API takes. Its text does not show when it is printed."""

    access_token: str = field(repr=False)
    token_type: str
    scopes: tuple[str, ...]
    provider: str
    connection: str
    account: str
    refreshed: bool
    #: Absent where the provider says nothing of an end.
    expires_in: Optional[int] = None
    valid_until: Optional[str] = None


class ToolshedError(Exception):
    """A refusal. Branch on `status` and `error`, never on the words."""

    def __init__(self, status: int, error: str, detail: str, document: dict[str, Any], retry_after: Optional[int] = None):
        super().__init__(f"{error}: {detail}" if detail else error)
        self.status, self.error, self.detail = status, error, detail
        #: Everything the server said, such as `accounts` of `account-choice`.
        self.document = document
        self.retry_after = retry_after


class Declined(ToolshedError):
    """The person said no. Do without; do not ask again before `until`, where it is given."""

    @property
    def until(self) -> Optional[str]:
        return self.document.get("until")


class RequestEnded(ToolshedError):
    """The link ended without a yes or a no: `error` is expired, failed or timeout."""


class AuthorizationRequired(ToolshedError):
    """A person must act: show them `url` and `match_code`, then wait, or ask again when they come back."""

    def __init__(self, status: int, document: dict[str, Any], caller: "_Caller", ask: Callable[[], Token]):
        super().__init__(status, "authorization-required", str(document.get("detail", "")), document)
        self.url: str = document["authorizationUrl"]
        self.match_code: str = document["matchCode"]
        self.reason: str = document["reason"]
        self.request_id: str = document["requestId"]
        self.missing_scopes: tuple[str, ...] = tuple(document.get("missingScopes") or ())
        self.granted_scopes: tuple[str, ...] = tuple(document.get("grantedScopes") or ())
        self.expires_in: int = document["expiresIn"]
        self._status_url: str = document["statusUrl"]
        self._interval: float = float(document["interval"])
        self._caller, self._ask = caller, ask

    def when_authorized(self, timeout: Optional[float] = None) -> Token:
        """Waits for the person and answers the token. Raises `Declined` when they say no and `RequestEnded` when the link
        ends otherwise, or when `timeout` seconds (by default as long as the link is open) are over."""
        deadline = time.monotonic() + (self.expires_in if timeout is None else timeout)
        interval = self._interval
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise RequestEnded(0, "timeout", "the person has not decided yet", {})
            time.sleep(min(interval, left))
            status, document, retry_after = self._caller.call("GET", self._status_url)
            if status == 429:
                # Too fast; from now on this is the pace.
                interval = max(float(document.get("interval") or retry_after or 0), interval)
            elif status == 503 or status == 0:
                interval = max(interval, float(retry_after or 1))
            elif status != 200:
                raise _refusal(status, document, retry_after)
            elif document.get("status") == "completed":
                return self._ask()
            elif document.get("status") == "declined":
                raise Declined(403, "declined", "the person said no", document)
            elif document.get("status") in _TERMINAL:
                raise RequestEnded(200, document["status"], "the link has ended; ask again if it still matters", document)
            else:
                interval = float(document.get("interval") or interval)

    def cancel(self) -> None:
        """Withdraws the request; its link ends."""
        status, document, retry_after = self._caller.call("DELETE", self._status_url)
        if status not in (204, 404):
            raise _refusal(status, document, retry_after)


class Toolshed:
    """A server, and who asks it. What is not given comes from TOOLSHED_URL, TOOLSHED_KEY or the file TOOLSHED_KEY_FILE, and
    TOOLSHED_CA_FILE."""

    def __init__(self, url: Optional[str] = None, key: Optional[str] = None, *, ca_file: Optional[str] = None,
                 timeout: float = 30):
        url = url or os.environ.get("TOOLSHED_URL", "")
        self._transport = _Transport(url, key or _key_of_environment(), ca_file or os.environ.get("TOOLSHED_CA_FILE"), timeout)

    def person(self, user_id: Optional[str] = None) -> "Person":
        """Whose tokens. With a person's own API key there is nobody to name."""
        return Person(self._transport, user_id)

    def __repr__(self) -> str:
        return f"Toolshed({self._transport.origin!r})"


class Person:
    """`ctx` of the examples: one person, on whose behalf something is done."""

    def __init__(self, transport: "_Transport", user_id: Optional[str]):
        self.user_id = user_id
        self.auth = _Auth(transport, user_id)


class _Auth:
    def __init__(self, transport: "_Transport", user_id: Optional[str]):
        self._caller, self._user_id = _Caller(transport, user_id), user_id

    def get_token(self, provider: str, scopes: Iterable[str] = (), reason: str = "", *, tool: str = "",
                  account: Optional[str] = None, min_ttl: Optional[int] = None, patience: float = 15) -> Token:
        """A token for what is about to be done: exactly these scopes. Raises `AuthorizationRequired` when the person must
        act first. What passes by itself (503, 429) is tried again for `patience` seconds."""
        body: dict[str, Any] = {"provider": provider}
        for name, value in {"userId": self._user_id, "scopes": list(scopes), "reason": reason, "tool": tool,
                            "account": account, "minTTL": min_ttl}.items():
            if value not in (None, "", []):
                body[name] = value
        deadline = time.monotonic() + patience
        while True:
            status, document, retry_after = self._caller.call("POST", "/api/tokens/vend", body)
            if status == 200:
                return _token(document)
            if document.get("error") == "authorization-required":
                with _expected("a link", document):
                    needed = AuthorizationRequired(
                        status, document, self._caller,
                        lambda: self.get_token(provider, scopes, reason, tool=tool, account=account, min_ttl=min_ttl,
                                               patience=patience))
                raise needed
            pause = max(1, retry_after or 1)
            if status not in (0, 429, 503) or time.monotonic() + pause > deadline:
                raise _refusal(status, document, retry_after)
            time.sleep(pause)


class _Caller:
    """Asks for one person: with a plugin's key by the key that it gives for this person, so that what is sent for one
    opens nothing of another; by the key itself where the server does not know such keys, or nobody is named."""

    def __init__(self, transport: "_Transport", user_id: Optional[str]):
        self._transport, self._user_id = transport, user_id
        self._own = _person_key(transport.key, user_id) if user_id else None

    def call(self, method: str, target: str, body: Optional[dict[str, Any]] = None) -> "_Answer":
        if self._own is None or not self._transport.knows_person_keys:
            return self._transport.call(method, target, body)
        answer = self._transport.call(method, target, body, self._own)
        if answer[0] != 401:
            return answer
        # The first time for this person: the server is told of the key. Telling it twice does no harm.
        told = self._transport.call("POST", "/api/person-keys", {"userId": self._user_id})
        if told[0] in (404, 405):
            self._transport.knows_person_keys = False
            return self._transport.call(method, target, body)
        return self._transport.call(method, target, body, self._own) if told[0] == 204 else told


def _person_key(key: str, user_id: str) -> Optional[str]:
    """HKDF-SHA-256 (RFC 5869) of a plugin key's secret for one person (docs/KEYS.md); None: not a plugin's key."""
    if not re.fullmatch(r"tsp_[A-Za-z0-9_-]{64}[0-9A-Za-z]{6}", key):
        return None
    secret = base64.urlsafe_b64decode(key[4:68])[16:]
    info = b"".join(len(field).to_bytes(4, "big") + field for field in (b"toolshed/v1/person-key", user_id.encode()))
    pseudorandom = hmac.digest(bytes(32), secret, hashlib.sha256)
    first = hmac.digest(pseudorandom, info + b"\x01", hashlib.sha256)
    second = hmac.digest(pseudorandom, first + info + b"\x02", hashlib.sha256)
    text = "tsu_" + base64.urlsafe_b64encode(first + second[:16]).decode()
    checksum, digits = binascii.crc32(text.encode()), ""
    for _ in range(6):
        checksum, digit = divmod(checksum, 62)
        digits = _BASE62[digit] + digits
    return text + digits


def _token(document: dict[str, Any]) -> Token:
    with _expected("a token", document):
        return _read_token(document)


def _read_token(document: dict[str, Any]) -> Token:
    connection = document["connection"]
    return Token(access_token=document["accessToken"], token_type=document["tokenType"], scopes=tuple(document["scopes"]),
                 provider=document["provider"], connection=connection["id"], account=connection["account"],
                 refreshed=document["refreshed"], expires_in=document.get("expiresIn"), valid_until=document.get("validUntil"))


@contextlib.contextmanager
def _expected(what: str, document: dict[str, Any]) -> Iterator[None]:
    """Something in between may answer in the server's place: that is an error of this library, and not a KeyError."""
    try:
        yield
    except (KeyError, TypeError, ValueError):
        raise ToolshedError(0, "unexpected-answer", f"the server's answer is not {what}", document) from None


def _refusal(status: int, document: dict[str, Any], retry_after: Optional[int]) -> ToolshedError:
    error = str(document.get("error") or ("unreachable" if status == 0 else "unavailable"))
    detail = str(document.get("detail") or document.get("title") or "")
    kind = Declined if error == "scope-declined" else ToolshedError
    return kind(status, error, detail, document, retry_after)


def _key_of_environment() -> str:
    if os.environ.get("TOOLSHED_KEY"):
        return os.environ["TOOLSHED_KEY"]
    if os.environ.get("TOOLSHED_KEY_FILE"):
        with open(os.environ["TOOLSHED_KEY_FILE"], encoding="ascii") as file:
            return file.read().strip()
    return ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key goes to the server that was named and nowhere else."""

    def redirect_request(self, *_arguments):
        return None


_Answer = Tuple[int, Dict[str, Any], Optional[int]]


class _Transport:
    def __init__(self, url: str, key: str, ca_file: Optional[str], timeout: float):
        parts = urllib.parse.urlsplit(url)
        loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if not parts.hostname or not (parts.scheme == "https" or parts.scheme == "http" and loopback):
            raise ValueError("TOOLSHED_URL: expected https://HOST")
        if not key:
            raise ValueError("TOOLSHED_KEY or TOOLSHED_KEY_FILE: expected the key of a plugin or of a person")
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.key, self._timeout = key, timeout
        #: Until the server says that it does not.
        self.knows_person_keys = True
        context = ssl.create_default_context(cafile=ca_file or None)
        # Loopback in the clear: a proxy of the environment would be handed the key.
        direct = [urllib.request.ProxyHandler({})] if parts.scheme == "http" else []
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect(), *direct)

    def call(self, method: str, target: str, body: Optional[dict[str, Any]] = None, key: Optional[str] = None) -> _Answer:
        """Status (0: nobody answered), document, Retry-After."""
        url = urllib.parse.urljoin(self.origin, target)
        if not url.startswith(self.origin + "/"):
            raise ToolshedError(0, "unexpected-address", "the server named another server", {})
        headers = {"Authorization": f"Bearer {key or self.key}", "Accept": "application/json, application/problem+json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with self._open(request) as reply:
                return reply.status, _document(reply), _seconds(reply.headers)
        except (OSError, http.client.HTTPException) as fault:
            reason = getattr(fault, "reason", fault)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise ToolshedError(0, "untrusted-certificate", "set TOOLSHED_CA_FILE to the server's authority", {}) from None
            return 0, {"error": "unreachable", "detail": type(reason).__name__}, None


    def _open(self, request: urllib.request.Request) -> Any:
        """An answer of any status: what is wrong with it shows when it is read, whichever it is."""
        try:
            return self._opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as reply:
            return reply


def _document(reply: Any) -> dict[str, Any]:
    content = reply.read(_MOST_BYTES)
    # read(n) of a body that ends before its announced length says nothing.
    if reply.length:
        raise http.client.IncompleteRead(content, reply.length)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(headers: Any) -> Optional[int]:
    text = headers.get("Retry-After", "")
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None
