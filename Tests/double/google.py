"""Google: full scope URLs in another order, a refresh token only with offline access and a shown consent."""

import base64
import json
import secrets

from family import Code, Family
from messages import Response
from world import Account

PREFIX = "https://www.googleapis.com/auth/"
RENAMED = {"email": f"{PREFIX}userinfo.email", "profile": f"{PREFIX}userinfo.profile"}
IDENTITY = {"openid", *RENAMED.values()}
GMAIL = {"https://mail.google.com/", *(PREFIX + s for s in ("gmail.modify", "gmail.readonly", "gmail.compose", "gmail.metadata"))}
DRIVE = {PREFIX + s for s in ("drive", "drive.readonly", "drive.file", "drive.metadata", "drive.metadata.readonly")}
CALENDAR = {PREFIX + s for s in ("calendar", "calendar.readonly", "calendar.calendars.readonly")}


class Google(Family):
    title = "Google"
    access_prefix, refresh_prefix, code_prefix = "ya29.", "1//0", "4/0A"
    # `testing`: the consent screen is in Testing status and refresh tokens die after 7 days.
    defaults = {"expires_in": 3599, "refresh": "static", "refresh_idle_s": 15552000, "scope_order": "reversed",
                "tokens_per_account": 100, "testing": False, "invalid_rapt": False}
    known_authorize = Family.known_authorize | {"access_type", "include_granted_scopes"}

    def routes(self):
        return {("GET", "/o/oauth2/v2/auth"): ("authorize", self.authorize), ("POST", "/decide"): ("decide", self.decide),
                ("POST", "/token"): ("token", self.token), ("POST", "/revoke"): ("revoke", self.revoke),
                ("GET", "/v1/userinfo"): ("userinfo", self.userinfo),
                ("GET", "/gmail/v1/users/me/profile"): ("userinfo", self.gmail_profile),
                ("GET", "/drive/v3/about"): ("userinfo", self.drive_about),
                ("GET", "/calendar/v3/calendars/primary"): ("userinfo", self.primary_calendar),
                ("GET", "/.well-known/openid-configuration"): ("discovery", self.discovery)}

    def check_ask(self, ask):
        super().check_ask(ask)
        for name, value in (("access_type", "offline"), ("prompt", "consent")):
            if ask.query.get(name) != value:
                self.complain(self.name, "authorize", f"{name} is not {value}")
        for scope in ask.scopes:
            if scope not in {"openid", "email", "profile"} and not scope.startswith("https://"):
                self.complain(self.name, "authorize", f"scope {scope} is not a URL")

    def merged(self, ask, login, chosen):
        scopes = [RENAMED.get(scope, scope) for scope in chosen]
        if ask.query.get("include_granted_scopes") == "true":
            scopes += self.given.get(login, [])
        return list(dict.fromkeys(scopes))

    def callback_fields(self, ask, scopes):
        return {"scope": " ".join(scopes), "authuser": "0", "prompt": ask.query.get("prompt", "none")}

    def gives_refresh(self, code: Code):
        if self.settings["refresh"] == "none" or code.ask.query.get("access_type") != "offline":
            return False
        first = not any(t.grant.account == code.account for t in self.tokens.refresh.values())
        return first or code.ask.query.get("prompt") == "consent"

    def after_issue(self, grant):
        mine = [t for t in self.tokens.refresh.values() if t.grant.account == grant.account and not t.forgotten]
        for token in mine[:max(0, len(mine) - self.settings["tokens_per_account"])]:
            token.forgotten = True

    def token_reply(self, access, refresh, code):
        reply = super().token_reply(access, refresh, code)
        if IDENTITY & set(access.scopes):
            reply["id_token"] = self.id_token(access.grant.account)
        return reply

    def id_token(self, account: str) -> str:
        who, now = Account.named(account), int(self.clock.now())
        claims = {"iss": self.issuer, "sub": str(who.number), "aud": self.settings["client_id"], "email": who.email,
                  "iat": now, "exp": now + 3600}
        parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
        return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), secrets.token_hex(8)])

    def renew(self, request, fields):
        token = self.tokens.refresh.get(fields.get("refresh_token", ""))
        if token and self.settings["testing"] and self.clock.now() - token.grant.created >= 7 * 86400:
            token.grant.dead = True
        return super().renew(request, fields)

    def error(self, request, problem):
        texts = {"bad_code": "Bad Request", "bad_verifier": "Invalid code verifier.",
                 "bad_refresh": "Token has been expired or revoked."}
        if problem in texts:
            reply = {"error": "invalid_grant", "error_description": texts[problem]}
            if problem == "bad_refresh" and self.settings["invalid_rapt"]:
                reply |= {"error_description": "reauth related error (invalid_rapt)", "error_subtype": "invalid_rapt"}
            return Response.of_json(reply, 400)
        if problem == "bad_redirect":
            return Response.of_json({"error": "redirect_uri_mismatch", "error_description": "Bad Request"}, 400)
        if problem == "invalid_client":
            return Response.of_json({"error": problem, "error_description": "The provided client secret is invalid."}, 401)
        return super().error(request, problem)

    def revoke(self, request):
        """The token alone is enough, and every grant of that person to this project ends with it."""
        if not self.settings["revoke"]:
            self.complain(self.name, "revoke", "a revocation call where there is to be none")
        if request.header("authorization"):
            self.complain(self.name, "revoke", "client authentication, where the token alone is sent")
        value = request.fields.get("token") or request.query.get("token")
        if not self.end(value):
            return Response.of_json({"error": "invalid_token", "error_description": "Token expired or revoked"}, 400)
        token = self.tokens.access.get(value) or self.tokens.refresh[value]
        for grant in self.tokens.grants:
            grant.dead = grant.dead or grant.account == token.grant.account
        self.given.pop(token.grant.account, None)
        return Response.of_json({})

    def opened(self, request, scopes: set[str], reply) -> Response:
        token = self.bearer(request)
        if not token:
            return Response.of_json({"error": {"code": 401, "status": "UNAUTHENTICATED"}}, 401)
        if not scopes & set(token.scopes):
            return Response.of_json({"error": {"code": 403, "status": "PERMISSION_DENIED"}}, 403)
        return Response.of_json(reply(Account.named(token.grant.account)))

    def userinfo(self, request):
        return self.opened(request, IDENTITY, lambda who: {"sub": str(who.number), "email": who.email, "name": who.name,
                                                           "email_verified": True})

    def gmail_profile(self, request):
        return self.opened(request, GMAIL, lambda who: {"emailAddress": who.email, "messagesTotal": 1, "threadsTotal": 1,
                                                        "historyId": "1"})

    def drive_about(self, request):
        return self.opened(request, DRIVE, lambda who: {"user": {"permissionId": str(who.number), "emailAddress": who.email,
                                                                 "displayName": who.name}})

    def primary_calendar(self, request):
        return self.opened(request, CALENDAR, lambda who: {"id": who.email, "summary": who.email})

    def discovery(self, request):
        return Response.of_json({
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/o/oauth2/v2/auth",
            "token_endpoint": f"{self.issuer}/token", "revocation_endpoint": f"{self.issuer}/revoke",
            "userinfo_endpoint": f"{self.issuer}/v1/userinfo", "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "authorization_response_iss_parameter_supported": self.settings["iss"] == "right"})
