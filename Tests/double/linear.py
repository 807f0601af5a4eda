"""Linear: scopes asked with commas and granted with spaces, rotation with half an hour of replay, GraphQL identity."""

from family import Family
from messages import Response
from world import Account


class Linear(Family):
    title = "Linear"
    scope_separator = ","
    access_prefix, refresh_prefix = "lin_oauth_", "lin_refresh_"
    # `legacy`: an app from before refresh tokens, whose access token lives ten years.
    defaults = {"expires_in": 86399, "refresh": "rotate+grace", "grace_s": 1800, "legacy": False, "organization": "o-1"}
    known_authorize = Family.known_authorize | {"actor"}

    def routes(self):
        return {("GET", "/oauth/authorize"): ("authorize", self.authorize), ("POST", "/decide"): ("decide", self.decide),
                ("POST", "/oauth/token"): ("token", self.token), ("POST", "/oauth/revoke"): ("revoke", self.revoke),
                ("POST", "/graphql"): ("userinfo", self.userinfo)}

    def check_ask(self, ask):
        super().check_ask(ask)
        if any(" " in scope for scope in ask.scopes):
            self.complain(self.name, "authorize", "scopes separated by spaces")
        if ask.query.get("actor") == "app" and "admin" in ask.scopes:
            self.complain(self.name, "authorize", "admin asked for with actor=app")

    def merged(self, ask, login, chosen):
        return list(dict.fromkeys([*chosen, "read"]))

    def token(self, request):
        if request.media_type != "application/x-www-form-urlencoded":
            self.check_token_request(request)
            return Response.of_json({"error": "invalid_request", "error_description": "form only"}, 400)
        return super().token(request)

    def client_problem(self, request, fields):
        """With PKCE the secret may be left out at exchange and refresh."""
        if fields.get("code_verifier") and "client_secret" not in fields and not request.header("authorization"):
            return None if fields.get("client_id") == self.settings["client_id"] else "invalid_client"
        return super().client_problem(request, fields)

    def gives_refresh(self, code):
        return not self.settings["legacy"] and self.settings["refresh"] != "none"

    def token_reply(self, access, refresh, code):
        reply = super().token_reply(access, refresh, code)
        if self.settings["legacy"]:
            access.expires_at = None
            reply["expires_in"] = 315705599
        return reply

    def error(self, request, problem):
        if problem == "unsupported_grant_type":
            text = "Client does not support the client_credentials grant type"
            return Response.of_json({"error": "Error", "error_description": text}, 400)
        return super().error(request, problem)

    def revoke(self, request):
        fields = request.fields
        if not self.settings["revoke"]:
            self.complain(self.name, "revoke", "a revocation call where there is to be none")
        if "token" in fields and {"access_token", "refresh_token"} & set(fields):
            self.complain(self.name, "revoke", "two styles of revocation in one request")
            return Response.of_json({"error": "invalid_request"}, 400)
        value = fields.get("token") or fields.get("refresh_token") or fields.get("access_token") or request.bearer
        if value not in self.tokens.access and value not in self.tokens.refresh:
            return Response.of_json({"error": "invalid_token"}, 401)
        return Response(200) if self.end(value) else Response.of_json({"error": "invalid_request"}, 400)

    def userinfo(self, request):
        token = self.bearer(request)
        if not token:
            return Response.of_json({"errors": [{"message": "Authentication required"}]}, 401)
        if "query" not in request.json:
            return Response.of_json({"errors": [{"message": "no query"}], "data": None})
        who = Account.named(token.grant.account)
        return Response.of_json({"data": {
            "viewer": {"id": f"u-{who.number}", "name": who.name, "email": who.email},
            "organization": {"id": self.settings["organization"], "name": "Acme", "urlKey": "acme"}}})
