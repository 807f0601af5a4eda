"""Slack: 200 with `ok`, the user's token under `authed_user` at first and flat after a refresh, scopes that only add up."""

from family import Code, Family, basic_credentials
from messages import Request, Response
from world import Account

ERRORS = {"bad_code": "invalid_code", "invalid_client": "bad_client_secret", "bad_redirect": "bad_redirect_uri",
          "bad_verifier": "invalid_code_verifier", "bad_refresh": "invalid_refresh_token",
          "unsupported_grant_type": "invalid_grant_type"}


class Slack(Family):
    title = "Slack"
    scope_separator = ","
    refresh_prefix, code_prefix = "xoxe-1-", ""
    # `rotation`: token rotation is on for the app; `org_install`: an Enterprise organization, no team;
    # `both`: the answer carries a bot token beside the user's, as an app with bot scopes would get.
    defaults = {"expires_in": 43200, "refresh": "rotate+grace", "grace_s": 60, "grace_reply": "new", "pkce": "off",
                "scope_form": "comma", "revoke": False, "rotation": False, "active_tokens": 2, "org_install": False,
                "both": False, "identify": False, "webhook": None}
    known_authorize = Family.known_authorize | {"user_scope", "team", "flow"}  # `flow` is our own mark, set below

    @property
    def access_prefix(self):
        return "xoxe.xoxp-1-" if self.settings["rotation"] else "xoxp-1-"

    def routes(self):
        return {("GET", "/oauth/v2/authorize"): ("authorize", self.authorize), ("POST", "/decide"): ("decide", self.decide),
                ("POST", "/api/oauth.v2.access"): ("token", self.token),
                ("GET", "/oauth/v2_user/authorize"): ("authorize", self.authorize_user),
                ("POST", "/api/oauth.v2.user.access"): ("token", self.token_user),
                ("POST", "/api/auth.revoke"): ("revoke", self.revoke), ("POST", "/api/apps.uninstall"): ("revoke", self.uninstall),
                ("POST", "/api/auth.test"): ("userinfo", self.userinfo), ("GET", "/api/auth.test"): ("userinfo", self.userinfo)}

    # The two flows, which must not be mixed: user scopes in `user_scope` (v2), or in `scope` (v2_user).

    def authorize_user(self, request: Request) -> Response:
        request.query["flow"] = "v2_user"
        return self.authorize(request)

    def token_user(self, request: Request) -> Response:
        request.headers.append(("x-double-flow", "v2_user"))
        return self.token(request)

    def asked_kind(self, query):
        if query.get("flow") == "v2_user":
            return "user"
        return "user" if query.get("user_scope") else "bot"

    def asked_scopes(self, query):
        name = "scope" if query.get("flow") == "v2_user" or not query.get("user_scope") else "user_scope"
        return [scope for scope in query.get(name, "").split(",") if scope]

    def check_ask(self, ask):
        ask.query.setdefault("response_type", "code")  # not needed here
        super().check_ask(ask)
        if ask.query.get("flow") != "v2_user" and ask.query.get("scope"):
            self.complain(self.name, "authorize", "bot scopes asked for a person's connection")
        if any(" " in scope for scope in ask.scopes):
            self.complain(self.name, "authorize", "scopes separated by spaces")

    def merged(self, ask, login, chosen):
        scopes = list(dict.fromkeys(self.given.get(login, []) + chosen))
        return scopes + ["identify"] if self.settings["identify"] and "identify" not in scopes else scopes

    def redirect_problem(self, code: Code, fields):
        return None if fields.get("redirect_uri") == code.ask.redirect_uri else "bad_redirect"

    def registered(self, uri):
        """Equal to a registered address, or below one."""
        known = self.settings["redirect_uris"]
        return not known or any(uri == k or uri.startswith(k.rstrip("/") + "/") for k in known)

    def default_grant_type(self, fields):
        return "authorization_code" if "code" in fields else None

    def client_problem(self, request, fields):
        if self.settings["pkce"] != "off" and "client_secret" not in fields and not basic_credentials(request):
            return None if fields.get("client_id") == self.settings["client_id"] else "invalid_client_id"
        return super().client_problem(request, fields)

    def exchange(self, request, fields):
        code = self.codes.get(fields.get("code", ""))
        if code and (code.ask.query.get("flow") == "v2_user") != (request.header("x-double-flow") == "v2_user"):
            return self.error(request, "oauth_authorization_url_mismatch")
        if self.settings["pkce"] == "off" and ("code_verifier" in fields or code and code.ask.challenge):
            return self.error(request, "pkce_not_allowed")
        if code and not code.scopes:
            return self.error(request, "no_scopes")
        return super().exchange(request, fields)

    def gives_refresh(self, code):
        return self.settings["rotation"]

    def after_issue(self, grant):
        if self.settings["rotation"]:
            mine = [t for t in self.tokens.access.values() if t.grant.account == grant.account]
            self.tokens.keep_newest(mine, self.settings["active_tokens"])

    def token_reply(self, access, refresh, code):
        token = {"access_token": access.value, "token_type": access.grant.kind, "scope": self.scope_text(access.scopes)}
        if self.settings["rotation"]:
            token |= {"expires_in": self.settings["expires_in"]} | ({"refresh_token": refresh.value} if refresh else {})
        else:
            access.expires_at = None
        org = self.settings["org_install"]
        reply = {"ok": True, "app_id": "A1", "team": None if org else {"id": "T1", "name": "Acme"},
                 "enterprise": {"id": "E1", "name": "Acme Org"} if org else None, "is_enterprise_install": org}
        if self.settings["webhook"]:
            reply["incoming_webhook"] = {"url": self.settings["webhook"], "channel": "#general"}
        user = f"U{Account.named(access.grant.account).number}"
        if code is None or code.ask.query.get("flow") == "v2_user":
            return reply | token | ({} if code is None else {"authed_user": {"id": user}})
        if access.grant.kind == "bot":
            return reply | token | {"bot_user_id": "B1", "authed_user": {"id": user}}
        both = {"access_token": "xoxb-1-double", "token_type": "bot", "scope": "commands", "bot_user_id": "B1"}
        return reply | (both if self.settings["both"] else {}) | {"authed_user": {"id": user} | token}

    def error(self, request, problem):
        return Response.of_json({"ok": False, "error": ERRORS.get(problem, problem)})

    # The Web API: a dead token is 200 with an error, too.

    def opened(self, request: Request):
        value = request.bearer or request.fields.get("token")
        token = self.tokens.live(value)
        if token:
            return token
        known = self.tokens.access.get(value or "")
        if not known:
            return self.error(request, "invalid_auth" if value else "not_authed")
        return self.error(request, "token_revoked" if known.dead or known.grant.dead else "token_expired")

    def userinfo(self, request):
        token = self.opened(request)
        if isinstance(token, Response):
            return token
        who = Account.named(token.grant.account)
        return Response.of_json({"ok": True, "url": "https://acme.slack.com/", "team": "Acme", "user": who.login,
                                 "team_id": "T1", "user_id": f"U{who.number}"}, 200, ("x-oauth-scopes", ",".join(token.scopes)))

    def revoke(self, request):
        if not self.settings["revoke"]:
            self.complain(self.name, "revoke", "a revocation call where there is to be none")
        token = self.opened(request)
        if isinstance(token, Response):
            return token
        if request.fields.get("test") == "1" or request.query.get("test") == "1":
            return Response.of_json({"ok": True, "revoked": False})
        if self.settings["rotation"]:
            token.dead = True
        else:
            self.end_person(token.grant.account)
        return Response.of_json({"ok": True, "revoked": True})

    def uninstall(self, request):
        token = self.opened(request)
        if isinstance(token, Response):
            return token
        if problem := self.client_problem(request, request.fields):
            return self.error(request, problem)
        for grant in self.tokens.grants:
            grant.dead = True
        self.given.clear()
        return Response.of_json({"ok": True})

    def end_person(self, account: str) -> None:
        for grant in self.tokens.grants:
            grant.dead = grant.dead or grant.account == account
        self.given.pop(account, None)
