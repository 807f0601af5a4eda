"""What all provider families have in common: the authorization page, single-use codes, PKCE, the token endpoint.

A family states its paths and default settings and overrides the hooks in which it differs. Everything that a good
client never does is a complaint: tests ask for /control/complaints and expect none.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import unquote_plus, urlencode

import pages
from messages import Request, Response
from world import AccessToken, Account, Clock, Grant, RefreshToken, Tokens

COMMON = {
    "client_id": None, "client_secret": None,  # filled in per family
    "redirect_uris": [],            # empty: any
    "expires_in": 3600,             # what the answer says, any JSON; null leaves it out
    "access_life": None,            # how long the token really lives, where that differs
    "refresh": "static",            # none | static | rotate | rotate+grace | rotate+kill
    "grace_s": 60, "grace_count": None, "grace_reply": "same",   # same | new
    "old_access_dies": False, "rotation_returns_token": True,
    "refresh_idle_s": None, "refresh_absolute_s": None, "refresh_expires_in": None,
    "token_type": "Bearer",
    "granted": None, "drop_scopes": [], "extra_scopes": [], "scope_order": "asked",  # asked | reversed | sorted
    "scope_form": "space",          # space | comma | array | missing
    "account": "octo",              # who answers when a code is made without a browser
    "auto_approve": None,           # a login: redirect back at once, no page
    "pkce": "S256",                 # off (a challenge is a complaint) | S256 (verified when sent) | required
    "code_life_s": 600, "code_replay_kills": False,
    "iss": None,                    # right | any text: the callback's iss
    "callback_extra": {}, "callback_error": None,
    "revoke": True,                 # false: a call is a complaint, though it works
}


@dataclass
class Ask:
    """An authorization request as read from the query."""
    client_id: str
    redirect_uri: str
    scopes: list[str]
    state: str | None
    challenge: str | None
    method: str | None
    query: dict
    kind: str = "user"


@dataclass
class Code:
    ask: Ask
    account: str
    scopes: list[str]
    expires_at: float
    used: bool = False
    grant: Grant | None = None


@dataclass
class Family:
    name: str
    origin: str
    clock: Clock
    complain: object
    settings: dict = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    tickets: dict[str, Ask] = field(default_factory=dict)
    given: dict[str, list[str]] = field(default_factory=dict)  # login -> every scope that person has given this client

    title = "Generic provider"
    defaults = {}
    scope_separator = " "
    access_prefix, refresh_prefix, code_prefix = "at_", "rt_", "ac_"
    demo = False
    known_authorize = {"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge",
                       "code_challenge_method", "prompt", "login_hint", "resource", "nonce"}

    def __post_init__(self):
        self.settings = COMMON | {"client_id": f"{self.name}-client", "client_secret": f"{self.name}-secret"}
        self.settings |= self.defaults
        self.tokens = Tokens(self.settings, self.clock)

    @property
    def issuer(self) -> str:
        return f"{self.origin}/{self.name}"

    # Routes: (method, path below the family) -> (endpoint name for faults and counters, handler).

    def routes(self) -> dict:
        return {("GET", "/authorize"): ("authorize", self.authorize), ("POST", "/decide"): ("decide", self.decide),
                ("POST", "/token"): ("token", self.token), ("POST", "/revoke"): ("revoke", self.revoke),
                ("GET", "/userinfo"): ("userinfo", self.userinfo)}

    def all_routes(self) -> dict:
        return self.routes() | {("GET", "/api/whoami"): ("api", self.whoami), ("*", "/api/echo"): ("api", self.echo)}

    # The browser's part.

    def authorize(self, request: Request) -> Response:
        ask = self.read_ask(request.query)
        if isinstance(ask, Response):
            return ask
        unknown = set(request.query) - self.known_authorize
        if unknown:
            self.complain(self.name, "authorize", f"unknown parameters {sorted(unknown)}")
        self.check_ask(ask)
        if self.settings["callback_error"]:
            return Response.redirect(self.callback(ask, {"error": self.settings["callback_error"]}))
        login = self.settings["auto_approve"] or self.silently(ask)
        if login:
            return Response.redirect(self.allow(ask, login, None))
        ticket = secrets.token_urlsafe(16)
        self.tickets[ticket] = ask
        return Response.of_html(pages.consent(self, ask, ticket))

    def read_ask(self, query: dict) -> "Ask | Response":
        if query.get("client_id") != self.settings["client_id"]:
            return Response.of_html(pages.failure(self.title, "This application is not known here."), 400)
        uri = query.get("redirect_uri", "")
        if not uri or not self.registered(uri):
            return Response.of_html(pages.failure(self.title, "The redirect address is not registered."), 400)
        return Ask(query["client_id"], uri, self.asked_scopes(query), query.get("state"), query.get("code_challenge"),
                   query.get("code_challenge_method"), query, self.asked_kind(query))

    def registered(self, uri: str) -> bool:
        return not self.settings["redirect_uris"] or uri in self.settings["redirect_uris"]

    def asked_scopes(self, query: dict) -> list[str]:
        return [scope for scope in query.get("scope", "").split(self.scope_separator) if scope]

    def asked_kind(self, query: dict) -> str:
        return "user"

    def check_ask(self, ask: Ask) -> None:
        if ask.query.get("response_type") != "code":
            self.complain(self.name, "authorize", "response_type is not code")
        if not ask.state:
            self.complain(self.name, "authorize", "no state")
        if ask.challenge and self.settings["pkce"] == "off":
            self.complain(self.name, "authorize", "PKCE where the client was to send none")
        if ask.challenge and (ask.method != "S256" or len(ask.challenge) != 43):
            self.complain(self.name, "authorize", "the challenge is not S256 of 43 characters")
        if not ask.challenge and self.settings["pkce"] == "required":
            self.complain(self.name, "authorize", "no PKCE")

    def silently(self, ask: Ask) -> str | None:
        """The login to continue as without a page; most providers show one."""
        return None

    def decide(self, request: Request) -> Response:
        pairs = request.form_pairs
        fields = dict(pairs)
        ask = self.tickets.get(fields.get("ticket", ""))
        if not ask:
            return Response.of_html(pages.failure(self.title, "This page is too old. Start again."), 400)
        login = fields.get("account")
        if not login:
            return Response.redirect(self.callback(ask, self.denied()), 303)
        chosen = [value for name, value in pairs if name == "scope"]
        return Response.redirect(self.allow(ask, login, chosen), 303)

    def denied(self) -> dict:
        return {"error": "access_denied"}

    def allow(self, ask: Ask, login: str, chosen: list[str] | None) -> str:
        """Makes a code and the address that takes it back; `chosen` are the scopes left ticked on the page."""
        scopes = self.granted(ask, login, ask.scopes if chosen is None else chosen)
        self.given[login] = list(dict.fromkeys(self.given.get(login, []) + scopes))
        value = self.code_prefix + secrets.token_urlsafe(18)
        life = self.settings["code_life_s"]
        self.codes[value] = Code(ask, login, scopes, self.clock.now() + life)
        return self.callback(ask, {"code": value} | self.callback_fields(ask, scopes))

    def callback_fields(self, ask: Ask, scopes: list[str]) -> dict:
        return {}

    def callback(self, ask: Ask, fields: dict) -> str:
        fields = fields | ({"state": ask.state} if ask.state is not None else {}) | self.settings["callback_extra"]
        if self.settings["iss"]:
            fields["iss"] = self.issuer if self.settings["iss"] == "right" else self.settings["iss"]
        return ask.redirect_uri + ("&" if "?" in ask.redirect_uri else "?") + urlencode(fields)

    def granted(self, ask: Ask, login: str, chosen: list[str]) -> list[str]:
        settings = self.settings
        scopes = list(settings["granted"]) if settings["granted"] is not None else self.merged(ask, login, chosen)
        scopes = [s for s in scopes if s not in settings["drop_scopes"]]
        scopes += [s for s in settings["extra_scopes"] if s not in scopes]
        return {"reversed": scopes[::-1], "sorted": sorted(scopes)}.get(settings["scope_order"], scopes)

    def merged(self, ask: Ask, login: str, chosen: list[str]) -> list[str]:
        """What is granted for these scopes, given what the person granted before."""
        return list(dict.fromkeys(chosen))

    # The token endpoint.

    def token(self, request: Request) -> Response:
        self.check_token_request(request)
        fields = request.fields
        if problem := self.client_problem(request, fields):
            return self.error(request, problem)
        match fields.get("grant_type", self.default_grant_type(fields)):
            case "authorization_code":
                return self.exchange(request, fields)
            case "refresh_token":
                return self.renew(request, fields)
        return self.error(request, "unsupported_grant_type")

    def default_grant_type(self, fields: dict) -> str | None:
        return None

    def check_token_request(self, request: Request) -> None:
        """A body in another encoding than the provider takes, secrets in the query, no Accept or User-Agent."""
        if request.query:
            self.complain(self.name, "token", f"query parameters {sorted(request.query)}")
        if request.media_type not in self.token_media_types():
            self.complain(self.name, "token", f"Content-Type {request.media_type}")
        for header in ("accept", "user-agent"):
            if not request.header(header):
                self.complain(self.name, "token", f"no {header}")
        repeated = [name for name, _ in request.form_pairs]
        if len(repeated) != len(set(repeated)):
            self.complain(self.name, "token", "a field twice")

    def token_media_types(self) -> tuple[str, ...]:
        return ("application/x-www-form-urlencoded",)

    def client_problem(self, request: Request, fields: dict) -> str | None:
        basic = basic_credentials(request)
        if basic and "client_secret" in fields:
            self.complain(self.name, "token", "client authentication twice")
        client_id, secret = basic or (fields.get("client_id"), fields.get("client_secret"))
        right = client_id == self.settings["client_id"] and hmac.compare_digest(
            str(secret or "").encode(), self.settings["client_secret"].encode())
        return None if right else "invalid_client"

    def exchange(self, request: Request, fields: dict) -> Response:
        code = self.codes.get(fields.get("code", ""))
        if code and code.used and self.settings["code_replay_kills"] and code.grant:
            code.grant.dead = True
        if not code or code.used or code.expires_at <= self.clock.now():
            return self.error(request, "bad_code")
        if problem := self.redirect_problem(code, fields):
            return self.error(request, problem)
        if not self.verified(code, fields.get("code_verifier")):
            return self.error(request, "bad_verifier")
        if problem := self.issue_problem(code):
            return self.error(request, problem)
        code.used = True
        code.grant = self.tokens.new_grant(code.account, code.ask.client_id, list(code.scopes), code.ask.kind)
        access = self.tokens.new_access(code.grant, self.access_prefix)
        refresh = self.tokens.new_refresh(code.grant, self.refresh_prefix) if self.gives_refresh(code) else None
        self.after_issue(code.grant)
        return self.answer(request, self.token_reply(access, refresh, code))

    def redirect_problem(self, code: Code, fields: dict) -> str | None:
        return None if fields.get("redirect_uri") == code.ask.redirect_uri else "bad_redirect"

    def verified(self, code: Code, verifier: str | None) -> bool:
        if not code.ask.challenge:
            return not verifier and self.settings["pkce"] != "required"
        digest = hashlib.sha256((verifier or "").encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == code.ask.challenge

    def issue_problem(self, code: Code) -> str | None:
        return None

    def gives_refresh(self, code: Code) -> bool:
        return self.settings["refresh"] != "none"

    def after_issue(self, grant: Grant) -> None:
        """Where a provider silently ends what exceeds its limits."""

    def renew(self, request: Request, fields: dict) -> Response:
        if "scope" in fields:
            self.complain(self.name, "refresh", "scope in a refresh request")
        pair = self.tokens.spend(fields.get("refresh_token", ""), self.access_prefix, self.refresh_prefix)
        if not pair:
            return self.error(request, "bad_refresh")
        self.after_issue(pair[0].grant)
        return self.answer(request, self.token_reply(pair[0], pair[1], None))

    def token_reply(self, access: AccessToken, refresh: RefreshToken | None, code: Code | None) -> dict:
        reply = {"access_token": access.value}
        if self.settings["token_type"] is not None:
            reply["token_type"] = self.settings["token_type"]
        if self.settings["expires_in"] is not None:
            reply["expires_in"] = self.settings["expires_in"]
        if refresh:
            reply["refresh_token"] = refresh.value
        if refresh and self.settings["refresh_expires_in"] is not None:
            reply["refresh_token_expires_in"] = self.settings["refresh_expires_in"]
        if self.settings["scope_form"] != "missing":
            reply["scope"] = self.scope_text(access.scopes)
        return reply

    def scope_text(self, scopes: list[str]):
        form = self.settings["scope_form"]
        return list(scopes) if form == "array" else ("," if form == "comma" else " ").join(scopes)

    def answer(self, request: Request, reply: dict) -> Response:
        return Response.of_json(reply, 200, ("Cache-Control", "no-store"))

    def error(self, request: Request, problem: str) -> Response:
        """RFC 6749 section 5.2; families with names of their own override it."""
        if problem == "invalid_client":
            return Response.of_json({"error": "invalid_client"}, 401)
        code = {"bad_code": "invalid_grant", "bad_redirect": "invalid_grant", "bad_verifier": "invalid_grant",
                "bad_refresh": "invalid_grant"}.get(problem, problem)
        return Response.of_json({"error": code, "error_description": problem.replace("_", " ")}, 400)

    # What the tokens open.

    def bearer(self, request: Request) -> AccessToken | None:
        return self.tokens.live(request.bearer)

    def userinfo(self, request: Request) -> Response:
        token = self.bearer(request)
        if not token:
            return Response.of_json({"error": "invalid_token"}, 401, ("WWW-Authenticate", 'Bearer error="invalid_token"'))
        who = Account.named(token.grant.account)
        return Response.of_json({"sub": str(who.number), "preferred_username": who.login, "name": who.name,
                                 "email": who.email})

    def revoke(self, request: Request) -> Response:
        """RFC 7009: 200 whether or not the token was known."""
        if not self.settings["revoke"]:
            self.complain(self.name, "revoke", "a revocation call where there is to be none")
        fields = request.fields
        if self.client_problem(request, fields):
            return Response.of_json({"error": "invalid_client"}, 401)
        self.end(fields.get("token"))
        return Response(200)

    def end(self, value: str | None) -> bool:
        """Ends the grant behind an access or refresh token; false when there was nothing left to end."""
        token = self.tokens.access.get(value or "") or self.tokens.refresh.get(value or "")
        if not token or token.grant.dead or getattr(token, "dead", False):
            return False
        token.grant.dead = True
        return True

    def whoami(self, request: Request) -> Response:
        token = self.bearer(request)
        if not token:
            return Response.of_json({"live": False}, 401)
        return Response.of_json({"live": True, "account": token.grant.account, "scopes": token.scopes,
                                 "kind": token.grant.kind, "grant": token.grant.id})

    def echo(self, request: Request) -> Response:
        """What an API behind a proxy sees of a request; a live token is needed as for any API call."""
        if not self.bearer(request):
            return Response.of_json({"live": False}, 401)
        return Response.of_json({"method": request.method, "path": request.path, "query": request.query,
                                 "headers": [name.lower() for name, _ in request.headers],
                                 "body": request.body.decode("utf-8", "replace")})


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """RFC 6749 section 2.3.1: id and secret are form-encoded before they are joined."""
    scheme, _, value = (request.header("authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return ("", "")
    return unquote_plus(client_id), unquote_plus(secret)
