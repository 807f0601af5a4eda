"""A provider by the book (RFC 6749, 7009, 7636, 8414, 9207), found by discovery; and the demo, which is the same by name."""

import identity
from family import Family
from messages import Request, Response
from world import Account


class Generic(Family):
    title = "Generic provider"
    access_prefix, refresh_prefix, code_prefix = "gen_at_", "gen_rt_", "gen_ac_"
    # `metadata`: members laid over the discovery document; null takes one out. `id_token`: claims laid over the right ones,
    # null takes one out; `id_token_header` the same for its header; `id_token_alg`: with which key it is signed, `none`,
    # or `HS256` with our public key as the secret; `id_token_spoilt`: one bit of the signature is wrong. `renewed_id_token`:
    # claims of one that comes with a renewal; none: none does.
    defaults = {"refresh": "rotate", "metadata": {}, "id_token": {}, "id_token_header": {}, "id_token_alg": "ES256",
                "id_token_spoilt": False, "renewed_id_token": {}, "jwks": {}}

    def routes(self):
        return super().routes() | {("GET", "/.well-known/openid-configuration"): ("discovery", self.discovery),
                                   ("GET", "/.well-known/oauth-authorization-server"): ("discovery", self.discovery),
                                   ("GET", "/jwks"): ("jwks", self.jwks)}

    def jwks(self, request: Request) -> Response:
        return Response.of_json(identity.key_set() | self.settings["jwks"])

    def token_reply(self, access, refresh, code):
        """OpenID Connect Core 1.0 section 3.1.3.3: with the scope openid, an ID token too."""
        reply = super().token_reply(access, refresh, code)
        if not code and self.settings["renewed_id_token"]:
            return reply | {"id_token": identity.sign({"iss": self.issuer} | self.settings["renewed_id_token"], "ES256", {}, False)}
        if not code or "openid" not in code.ask.scopes:
            return reply
        now, who = int(self.clock.now()), Account.named(code.account)
        claims = {"iss": self.issuer, "sub": str(who.number), "aud": code.ask.client_id, "exp": now + 300, "iat": now,
                  "nonce": code.ask.query.get("nonce"), "auth_time": now if "max_age" in code.ask.query else None, "name": who.name, "email": who.email} | self.settings["id_token"]
        return reply | {"id_token": identity.sign(
            {name: value for name, value in claims.items() if value is not None}, self.settings["id_token_alg"],
            self.settings["id_token_header"], self.settings["id_token_spoilt"])}

    def token_media_types(self):
        return ("application/x-www-form-urlencoded", "application/json")

    def discovery(self, request: Request) -> Response:
        document = {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token", "revocation_endpoint": f"{self.issuer}/revoke",
            "userinfo_endpoint": f"{self.issuer}/userinfo", "jwks_uri": f"{self.issuer}/jwks", "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"], "scopes_supported": ["repo", "read", "write"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": self.settings["iss"] is not None}
        document |= self.settings["metadata"]
        return Response.of_json({name: value for name, value in document.items() if value is not None})


class Demo(Generic):
    title = "Demo provider"
    demo = True
    access_prefix, refresh_prefix, code_prefix = "demo_at_", "demo_rt_", "demo_ac_"
    defaults = Generic.defaults | {"iss": "right", "pkce": "required", "code_replay_kills": True}

    def read_ask(self, query):
        ask = super().read_ask(query)
        if not isinstance(ask, Response) and not ask.challenge:
            from_here = {"error": "invalid_request", "error_description": "code_challenge required"}
            return Response.redirect(self.callback(ask, from_here))
        return ask
