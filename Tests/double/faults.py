"""Faults that a test switches on: which request they hit, how often, before or after the provider's state changed."""

import asyncio
import json
from dataclasses import dataclass, field
from email.utils import formatdate

from messages import Response

BEFORE, AFTER = "before", "after"

# Where a fault of each kind strikes unless the test says otherwise. `before`: the provider has done nothing yet.
KINDS = {
    "delay": BEFORE, "hold": BEFORE, "drop": BEFORE, "500": BEFORE, "502": BEFORE, "503": BEFORE, "429": BEFORE,
    "truncated": AFTER, "empty_400": BEFORE, "empty": AFTER, "wrong_type": AFTER, "redirect": BEFORE, "huge": AFTER,
    "slow_loris": AFTER, "error_200": BEFORE, "invalid_client": BEFORE, "invalid_grant": BEFORE, "body": BEFORE,
}


@dataclass
class Fault:
    family: str
    endpoint: str
    kind: str
    when: str
    times: int | None
    skip: int
    with_: dict
    released: asyncio.Event = field(default_factory=asyncio.Event)
    struck: int = 0

    @staticmethod
    def described(fields: dict) -> "Fault":
        kind = str(fields.get("kind"))
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
        when = fields.get("when", KINDS[kind])
        if when not in (BEFORE, AFTER):
            raise ValueError(f"when {when!r}: expected before or after")
        known = {"family", "endpoint", "kind", "when", "times", "skip"}
        rest = {name: value for name, value in fields.items() if name not in known}
        return Fault(fields.get("family", "*"), fields.get("endpoint", "*"), kind, when, fields.get("times"),
                     fields.get("skip", 0), rest)

    def matches(self, family: str, endpoint: str) -> bool:
        wanted = {"token": ("exchange", "refresh", "token")}.get(self.endpoint, (self.endpoint,))
        return self.family in ("*", family) and (self.endpoint == "*" or endpoint in wanted)

    @property
    def pauses(self) -> bool:
        return self.kind in ("delay", "hold")

    async def pause(self) -> None:
        if self.kind == "hold":
            await self.released.wait()
        else:
            await asyncio.sleep(float(self.with_.get("seconds", 30)))

    def applied(self, response: Response | None, now: float) -> Response:
        """The response instead of, or made from, the provider's own (none if the provider never saw the request)."""
        own = response or Response.of_json({"error": "server_error"}, 500)
        match self.kind:
            case "drop":
                own.delivery = "drop"
            case "truncated":
                own.delivery = "cut"
            case "slow_loris":
                own.delivery, own.interval = "drip", float(self.with_.get("interval", 0.5))
            case "empty":
                own.body = b""
            case "wrong_type":
                own.headers = [("Content-Type", self.with_.get("type", "text/html"))]
            case "huge":
                own.body = own.body[:-1] + b' ' * int(self.with_.get("bytes", 5 << 20)) + own.body[-1:]
            case _:
                return self.replacement(now)
        return own

    def replacement(self, now: float) -> Response:
        html = [("Content-Type", "text/html")]
        match self.kind:
            case "500":
                return Response.of_json({"error": "server_error"}, 500)
            case "502":
                return Response(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", html)
            case "503" | "429":
                return Response.of_json({"error": "rate_limited"}, int(self.kind), *self.retry_after(now))
            case "empty_400":
                return Response(400)
            case "redirect":
                return Response.redirect(self.with_.get("location", "/elsewhere"), self.with_.get("status", 307))
            case "error_200":
                return Response.of_json({"error": self.with_.get("error", "temporarily_unavailable")})
            case "invalid_client":
                return Response.of_json({"error": "invalid_client"}, self.with_.get("status", 401))
            case "invalid_grant":
                return Response.of_json({"error": "invalid_grant"}, self.with_.get("status", 400))
        body = self.with_.get("body", "")
        text = body if isinstance(body, str) else json.dumps(body)
        headers = self.with_.get("headers", {"Content-Type": "application/json"})
        return Response(self.with_.get("status", 200), text.encode(), list(headers.items()))

    def retry_after(self, now: float) -> list[tuple[str, str]]:
        """`retry_after` in seconds, or `retry_after_date` seconds from now as an HTTP date."""
        if "retry_after_date" in self.with_:
            return [("Retry-After", formatdate(now + self.with_["retry_after_date"], usegmt=True))]
        return [("Retry-After", str(self.with_["retry_after"]))] if "retry_after" in self.with_ else []

    def summary(self) -> dict:
        return {"family": self.family, "endpoint": self.endpoint, "kind": self.kind, "when": self.when,
                "times": self.times, "skip": self.skip, "struck": self.struck, **self.with_}


class Faults:
    def __init__(self):
        self.armed: list[Fault] = []
        self.holding: list[Fault] = []

    def take(self, family: str, endpoint: str) -> Fault | None:
        for fault in self.armed:
            if not fault.matches(family, endpoint):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.struck += 1
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.armed.remove(fault)
            if fault.kind == "hold" and fault not in self.holding:
                self.holding.append(fault)
            return fault
        return None

    def release(self, family: str, endpoint: str) -> int:
        """Lets held requests go, and disarms the faults that hold further ones."""
        freed = [f for f in self.holding if family in ("*", f.family) and endpoint in ("*", f.endpoint)]
        for fault in freed:
            fault.released.set()
            self.holding.remove(fault)
            if fault in self.armed:
                self.armed.remove(fault)
        return len(freed)

    def clear(self) -> None:
        self.release("*", "*")
        self.armed.clear()
