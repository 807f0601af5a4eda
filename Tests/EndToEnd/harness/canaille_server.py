"""Runs canaille with one person and one client; started by canaille.py with the Python of .venv-canaille. Settings come as JSON
on standard input."""

import json
import sys

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from werkzeug.serving import make_server

asked = json.load(sys.stdin)
app = create_app({
    "SECRET_KEY": asked["secret"], "SERVER_NAME": f"127.0.0.1:{asked['port']}", "PREFERRED_URL_SCHEME": "http",
    "SESSION_COOKIE_SECURE": False,
    "CANAILLE": {"DATABASE": "sql", "JAVASCRIPT": False, "HTMX": False, "ENABLE_REGISTRATION": False},
    "CANAILLE_SQL": {"DATABASE_URI": f"sqlite:///{asked['folder']}/canaille.db"},
    "CANAILLE_OIDC": {"REQUIRE_NONCE": False, "TRUSTED_DOMAINS": []},
}, init_backend=True)
lifetime = {grant: asked["access_seconds"] for grant in ("authorization_code", "refresh_token")}
app.config["OAUTH2_TOKEN_EXPIRES_IN"] = lifetime
with app.app_context():
    from canaille.oidc.provider import authorization
    # Read when the application was made, before it could be said.
    authorization.register_token_generator("default", authorization.create_bearer_token_generator(app.config))
    backend = Backend.instance
    backend.save(models.User(user_name="dora", formatted_name="Dora", family_name="Dora", emails=["dora@example.test"],
                             password=asked["password"]))
    client = models.Client(
        client_id="toolshed", client_name="Toolshed", client_secret=asked["client_secret"], redirect_uris=asked["redirect_uris"],
        grant_types=["authorization_code", "refresh_token"], response_types=["code"], scope=["openid", "profile", "email", "phone"],
        token_endpoint_auth_method="client_secret_basic",
        # Else it takes any RSA algorithm; RS256 is what OpenID Connect Registration 1.0 §2 says where nothing is said.
        id_token_signed_response_alg="RS256", client_uri="https://toolshed.example")
    # Introspection is for those whom a token is meant for.
    client.audience = [client]
    backend.save(client)
# One request at a time: its database session is not for several threads.
server = make_server("127.0.0.1", asked["port"], app)
print("ready", flush=True)
server.serve_forever()
