"""The test's side of the double, under /control: what happened, what is to happen, and what time it is."""

import asyncio
from urllib.parse import parse_qsl, urlsplit

from faults import Fault
from messages import Request, Response
from pages import failure


class Refused(Exception):
    """The control request makes no sense; the text says what was expected."""


class Control:
    def __init__(self, double):
        self.double = double

    async def answer(self, request: Request) -> Response:
        verb = request.path.removeprefix("/control/")
        handler = {("GET", "log"): self.log, ("GET", "counters"): self.counters, ("GET", "complaints"): self.complaints,
                   ("GET", "wait"): self.wait, ("GET", "faults"): self.faults, ("GET", "tokens"): self.tokens,
                   ("GET", "settings"): self.settings, ("POST", "set"): self.set, ("POST", "fault"): self.fault,
                   ("POST", "release"): self.release, ("POST", "code"): self.code, ("POST", "key"): self.key,
                   ("POST", "reset"): self.reset}.get((request.method, verb))
        if not handler:
            return Response.of_json({"error": f"no {request.method} /control/{verb}"}, 404)
        try:
            result = handler(request)
            return Response.of_json(await result if asyncio.iscoroutine(result) else result)
        except (Refused, ValueError, KeyError) as problem:
            return Response.of_json({"error": str(problem)}, 400)

    def family(self, name):
        if name not in self.double.families:
            raise Refused(f"family {name!r}: expected one of {', '.join(self.double.families)}")
        return self.double.families[name]

    def matching(self, request: Request) -> list[dict]:
        query = request.query
        return [entry for entry in self.double.records
                if entry["seq"] > int(query.get("since", 0))
                and entry["family"] == query.get("family", entry["family"])
                and query.get("endpoint", entry["endpoint"]) in (entry["endpoint"], "*")]

    def log(self, request):
        return {"requests": self.matching(request)}

    def counters(self, request):
        totals: dict = {name: {} for name in self.double.families}
        for entry in self.double.records:
            family = totals.setdefault(entry["family"], {})
            family[entry["endpoint"]] = family.get(entry["endpoint"], 0) + 1
        return totals

    def complaints(self, request):
        return {"complaints": self.double.complaints}

    async def wait(self, request):
        """Answers once `count` requests (default 1) match, or after `timeout` seconds (default 10) with what there is."""
        wanted = int(request.query.get("count", 1))
        async with self.double.recorded:
            try:
                await asyncio.wait_for(self.double.recorded.wait_for(lambda: len(self.matching(request)) >= wanted),
                                       float(request.query.get("timeout", 10)))
            except asyncio.TimeoutError:
                pass
        found = self.matching(request)
        return {"reached": len(found) >= wanted, "requests": found}

    def tokens(self, request):
        """Every token ever given out, so that a search for leaks knows what to look for."""
        now = self.double.clock.now()
        return {name: {
            "access": [{"token": t.value, "account": t.grant.account, "scopes": t.scopes, "grant": t.grant.id,
                        "live": not (t.dead or t.grant.dead or (t.expires_at is not None and t.expires_at <= now))}
                       for t in family.tokens.access.values()],
            "refresh": [{"token": t.value, "account": t.grant.account, "grant": t.grant.id,
                         "live": not (t.forgotten or t.grant.dead or t.spent_at is not None or family.tokens.ended(t))}
                        for t in family.tokens.refresh.values()],
        } for name, family in self.double.families.items()}

    def settings(self, request):
        return {name: family.settings for name, family in self.double.families.items()}

    def set(self, request):
        """Settings of one family; and `advance` seconds, `expire_access`, `forget_refresh` (true, or one token)."""
        fields = request.json
        self.double.clock.offset += float(fields.pop("advance", 0))
        if "family" not in fields:
            if fields:
                raise Refused("family: expected, to set anything but advance")
            return {"now": self.double.clock.now()}
        family = self.family(fields.pop("family"))
        if fields.pop("expire_access", False):
            family.tokens.end_access()
        if forget := fields.pop("forget_refresh", None):
            for token in family.tokens.refresh.values():
                token.forgotten = token.forgotten or forget in (True, token.value)
        unknown = set(fields) - set(family.settings)
        if unknown:
            raise Refused(f"unknown settings {sorted(unknown)}; expected {sorted(family.settings)}")
        family.settings.update(fields)
        return {"now": self.double.clock.now(), "settings": family.settings}

    def fault(self, request):
        fields = request.json
        if fields.get("clear"):
            self.double.faults.clear()
            return {"armed": []}
        if fields.get("family", "*") != "*":
            self.family(fields["family"])
        self.double.faults.armed.append(Fault.described(fields))
        return self.faults(request)

    def faults(self, request):
        return {"armed": [fault.summary() for fault in self.double.faults.armed],
                "holding": [fault.summary() for fault in self.double.faults.holding]}

    def release(self, request):
        fields = request.json
        return {"released": self.double.faults.release(fields.get("family", "*"), fields.get("endpoint", "*"))}

    def code(self, request):
        """What a person would do at the page: `url` is the authorization request, or its parameters stand in the body.

        `account` allows as that person, `deny` declines, `scopes` are the ones left ticked.
        """
        fields = request.json
        if "url" in fields:
            parts = urlsplit(fields["url"])
            family = self.family(parts.path.split("/")[1])
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            if "v2_user" in parts.path:
                query["flow"] = "v2_user"
        else:
            family = self.family(fields.get("family"))
            names = ("redirect_uri", "scope", "user_scope", "state", "code_challenge", "code_challenge_method")
            query = {name: str(fields[name]) for name in names if name in fields} | fields.get("params", {})
            query.setdefault("client_id", family.settings["client_id"])
        ask = family.read_ask(query)
        if isinstance(ask, Response):
            raise Refused(f"the provider shows an error page or goes elsewhere: {ask.status} {dict(ask.headers)}")
        if fields.get("deny"):
            return {"code": None, "location": family.callback(ask, family.denied())}
        location = family.allow(ask, fields.get("account", family.settings["account"]), fields.get("scopes"))
        return {"code": dict(parse_qsl(urlsplit(location).query)).get("code"), "location": location}

    def key(self, request):
        """What a person does on the page of a provider that gives out keys."""
        family = self.family(request.json.get("family", "keyed"))
        if not hasattr(family, "make_key"):
            raise Refused(f"family {family.name!r} gives out no keys")
        return {"key": family.make_key(request.json.get("account", family.settings["account"]))}

    def reset(self, request):
        self.double.start_over()
        return {}


def not_found(path: str) -> Response:
    return Response.of_html(failure("Not found", f"Nothing is at {path}."), 404)
