"""A provider without OAuth: people make API keys on its page, and paste them where they are wanted."""

from family import Family
from messages import Request, Response
from world import Account


class Keyed(Family):
    title = "Key provider"
    access_prefix = "key_live_"
    defaults = {"expires_in": None, "refresh": "none"}

    def routes(self):
        return {("GET", "/v1/me"): ("me", self.me)}

    def make_key(self, account: str) -> str:
        return self.tokens.new_access(self.tokens.new_grant(account, self.name, []), self.access_prefix).value

    def bearer(self, request: Request):
        if request.header("authorization"):
            self.complain(self.name, "me", "a key belongs into X-Api-Key")
        return self.tokens.live(request.header("x-api-key"))

    def me(self, request: Request) -> Response:
        token = self.bearer(request)
        if not token:
            return Response.of_json({"error": "invalid_api_key"}, 401)
        who = Account.named(token.grant.account)
        return Response.of_json({"id": who.number, "name": who.login})
