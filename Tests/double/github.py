"""GitHub: form answers unless JSON is accepted, errors with 200, comma-separated scopes, ten tokens a scope set."""

from urllib.parse import urlencode

from family import Code, Family
from messages import Request, Response
from world import Account, Grant

DOCS = "https://docs.github.com/apps/oauth-apps"

ERRORS = {
    "bad_code": ("bad_verification_code", "The code passed is incorrect or expired."),
    "bad_verifier": ("bad_verification_code", "The code passed is incorrect or expired."),  # real code not documented
    "invalid_client": ("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect."),
    "bad_redirect": ("redirect_uri_mismatch", "The redirect_uri must match the registered callback URL."),
    "bad_refresh": ("bad_refresh_token", "The refresh token passed is incorrect or expired."),
    "unsupported_grant_type": ("unsupported_grant_type", "The grant type is not supported."),
    "hourly_limit": ("double_token_limit", "Too many tokens were created. (This name is invented.)"),
}

# Scopes that vanish from the granted list next to one that contains them.
CONTAINS = {"repo": {"repo:status", "repo_deployment", "public_repo", "repo:invite", "security_events"},
            "user": {"read:user", "user:email", "user:follow"}, "project": {"read:project"},
            "admin:org": {"write:org", "read:org"}, "write:org": {"read:org"}}


class GitHub(Family):
    title = "GitHub"
    access_prefix, refresh_prefix, code_prefix = "gho_", "ghr_", ""
    # `expiring`: the app's tokens expire without being asked to; `app`: a GitHub App (ghu_, scope always empty);
    # `offline_access`: false behaves as Enterprise Server, which ignores that pseudo-scope.
    defaults = {"expires_in": 28800, "refresh": "rotate", "old_access_dies": True, "refresh_expires_in": 15897600,
                "refresh_idle_s": 15897600, "token_type": "bearer", "scope_form": "comma", "pkce": "off",
                "revoke": False, "expiring": False, "app": False, "offline_access": True, "tokens_per_scopes": 10,
                "created_per_hour": None, "token_error": None, "single_sign_on": None}
    known_authorize = Family.known_authorize | {"login", "allow_signup"}

    def routes(self):
        application = f"/api/applications/{self.settings['client_id']}"
        return {("GET", "/login/oauth/authorize"): ("authorize", self.authorize), ("POST", "/decide"): ("decide", self.decide),
                ("POST", "/login/oauth/access_token"): ("token", self.token),
                ("GET", "/api/user"): ("userinfo", self.userinfo), ("GET", "/api/user/emails"): ("userinfo", self.emails),
                ("DELETE", f"{application}/token"): ("revoke", self.revoke),
                ("DELETE", f"{application}/grant"): ("revoke", self.revoke_grant),
                ("POST", f"{application}/token"): ("introspect", self.introspect)}

    def check_ask(self, ask):
        if "response_type" not in ask.query:
            ask.query["response_type"] = "code"  # not needed here
        super().check_ask(ask)

    def read_ask(self, query):
        ask = super().read_ask(query)
        if isinstance(ask, Response) and self.settings["redirect_uris"] and query.get("redirect_uri"):
            # The error goes to the registered address, not to the one that was asked for.
            fields = {"error": "redirect_uri_mismatch", "error_uri": DOCS, "state": query.get("state", "")}
            return Response.redirect(f"{self.settings['redirect_uris'][0]}?{urlencode(fields)}")
        return ask

    def silently(self, ask):
        """Asked for no scope in particular, a person who granted some before sees no page and gives them all."""
        login = self.settings["account"]
        return login if "scope" not in ask.query and self.given.get(login) else None

    def denied(self):
        return {"error": "access_denied", "error_uri": DOCS,
                "error_description": "The user has denied your application access."}

    def merged(self, ask, login, chosen):
        scopes = self.given.get(login, []) if "scope" not in ask.query else chosen
        contained = set().union(*(CONTAINS.get(scope, set()) for scope in scopes))
        return [s for s in dict.fromkeys(scopes) if s not in contained and s != "offline_access"]

    def default_grant_type(self, fields):
        return "authorization_code" if "code" in fields else None

    def client_problem(self, request, fields):
        if request.header("authorization"):
            self.complain(self.name, "token", "an Authorization header; the fields go into the body")
        return super().client_problem(request, fields)

    def redirect_problem(self, code, fields):
        return "bad_redirect" if fields.get("redirect_uri", code.ask.redirect_uri) != code.ask.redirect_uri else None

    def expires(self, code: Code | None) -> bool:
        asked = bool(code and self.settings["offline_access"] and "offline_access" in code.ask.scopes)
        return self.settings["expiring"] or self.settings["app"] or asked

    def gives_refresh(self, code):
        return self.expires(code) and self.settings["refresh"] != "none"

    def issue_problem(self, code):
        if self.settings["token_error"]:
            return self.settings["token_error"]
        most, now = self.settings["created_per_hour"], self.clock.now()
        made = [t for t in self.siblings(code.account, code.scopes) if now - t.issued < 3600]
        return "hourly_limit" if most and len(made) >= most else None

    def siblings(self, account: str, scopes: list[str]):
        return [t for t in self.tokens.access.values() if t.grant.account == account and set(t.scopes) == set(scopes)]

    def after_issue(self, grant: Grant):
        self.tokens.keep_newest(self.siblings(grant.account, grant.scopes), self.settings["tokens_per_scopes"])

    def token_reply(self, access, refresh, code):
        if code and not self.expires(code):
            access.expires_at = None
            return {"access_token": access.value, "token_type": self.settings["token_type"],
                    "scope": self.scope_text(access.scopes)}
        reply = super().token_reply(access, refresh, code)
        return reply | ({"scope": ""} if self.settings["app"] else {})

    def answer(self, request, reply):
        if "json" in (request.header("accept") or ""):
            return Response.of_json(reply)
        form = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
        return Response(200, urlencode(reply).encode(), form)

    def error(self, request, problem):
        code, text = ERRORS.get(problem, (problem, problem.replace("_", " ")))
        return self.answer(request, {"error": code, "error_description": text, "error_uri": DOCS})

    # The API.

    def opened(self, request: Request):
        """The live token of an API call, or GitHub's refusal."""
        if not request.header("user-agent"):
            return Response.of_json({"message": "Request forbidden: a User-Agent is required."}, 403)
        token = self.bearer(request)
        if not token:
            return Response.of_json({"message": "Bad credentials", "status": "401"}, 401)
        if link := self.settings["single_sign_on"]:
            return Response.of_json({"message": "Resource protected by organization SAML enforcement."}, 403,
                                    ("X-GitHub-SSO", f"required; url={link}"))
        return token

    def userinfo(self, request):
        token = self.opened(request)
        if isinstance(token, Response):
            return token
        who = Account.named(token.grant.account)
        return Response.of_json({"id": who.number, "login": who.login, "name": who.name, "email": None,
                                 "avatar_url": f"{self.issuer}/avatar"}, 200, ("X-OAuth-Scopes", ", ".join(token.scopes)))

    def emails(self, request):
        token = self.opened(request)
        if isinstance(token, Response):
            return token
        if not {"user", "user:email"} & set(token.scopes):
            return Response.of_json({"message": "Not Found"}, 404)
        who = Account.named(token.grant.account)
        return Response.of_json([{"email": who.email, "primary": True, "verified": True, "visibility": "private"}])

    def application_token(self, request: Request):
        """The token named in the JSON body of a call that the application makes with Basic authentication."""
        if not self.settings["revoke"]:
            self.complain(self.name, "revoke", "a revocation call where there is to be none")
        if Family.client_problem(self, request, {}):
            return Response.of_json({"message": "Not Found"}, 404)
        value = request.json.get("access_token")
        if not value:
            return Response.of_json({"message": "Validation Failed"}, 422)
        return self.tokens.live(value) or Response.of_json({"message": "Not Found"}, 404)

    def revoke(self, request):
        token = self.application_token(request)
        if isinstance(token, Response):
            return token
        token.dead = True
        return Response(204)

    def revoke_grant(self, request):
        token = self.application_token(request)
        if isinstance(token, Response):
            return token
        for grant in self.tokens.grants:
            grant.dead = grant.dead or grant.account == token.grant.account
        return Response(204)

    def introspect(self, request):
        token = self.application_token(request)
        if isinstance(token, Response):
            return token
        return Response.of_json({"scopes": token.scopes, "user": {"login": token.grant.account}})
