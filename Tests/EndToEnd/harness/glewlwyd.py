"""glewlwyd, an OAuth and OpenID provider written by others, on 127.0.0.1. Debian package, database in a folder of ours."""

import secrets
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .waiting import until

SCHEMA = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
MODULES = "/usr/lib/glewlwyd"
CONFIGURATION = """
port={port}
bind_address="127.0.0.1"
external_url="http://127.0.0.1:{port}"
login_url="login.html"
api_prefix="api"
log_mode="file"
log_level="ERROR"
log_file="{folder}/glewlwyd.log"
cookie_secure=0
cookie_same_site="empty"
session_expiration=86400
session_key="GLEWLWYD"
admin_session_authentication="cookie"
profile_session_authentication="cookie"
login_api_enabled=true
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{modules}/user"
user_middleware_module_path="{modules}/user_middleware"
client_module_path="{modules}/client"
user_auth_scheme_module_path="{modules}/scheme"
plugin_module_path="{modules}/plugin"
use_secure_connection=false
secure_connection_key_file="{folder}/none.key"
secure_connection_pem_file="{folder}/none.pem"
secure_connection_ca_file="{folder}/none.crt"
hash_algorithm="SHA512"
database = {{ type = "sqlite3"; path = "{folder}/glewlwyd.db"; }};
static_files_path="/usr/share/glewlwyd/webapp"
"""


class Glewlwyd:
    """One client, `toolshed`, and one person, `dora`; scopes repo and mail. Refresh tokens are for one use."""

    def __init__(self, folder: Path, port: int, redirect_uri: str, access_seconds: int = 3600):
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.client_secret, self.password = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        folder.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(folder / "glewlwyd.db") as database:
            database.executescript(SCHEMA.read_text())
        (folder / "glewlwyd.conf").write_text(CONFIGURATION.format(port=port, folder=folder, modules=MODULES))
        self._log = (folder / "stderr.log").open("ab")
        self.process = subprocess.Popen(["glewlwyd", "--config-file", folder / "glewlwyd.conf"], stdout=self._log,
                                        stderr=self._log, stdin=subprocess.DEVNULL)
        until(self._answers, f"glewlwyd to answer; its logs are in {folder}")
        self._configure(redirect_uri, access_seconds)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._log.close()

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/config", timeout=1).ok
        except requests.RequestException:
            return False

    def _configure(self, redirect_uri: str, access_seconds: int) -> None:
        admin = self._signed_in("admin", "password")

        def add(path: str, **body) -> None:
            reply = admin.post(f"{self.url}/api/{path}", json=body, timeout=10)
            assert reply.status_code == 200, f"{path}: {reply.status_code} {reply.text}"

        for scope in ("repo", "mail"):
            add("scope", name=scope, display_name=scope, description=scope, password_required=True, password_max_age=0,
                scheme={}, scheme_required={})
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        add("mod/plugin", module="oidc", name="oidc", display_name="OpenID", parameters={
            "iss": self.url, "jwt-type": "ecdsa", "jwt-key-size": "256", "key": private.decode(), "cert": public.decode(),
            "access-token-duration": access_seconds, "refresh-token-duration": 1209600, "code-duration": 600,
            "refresh-token-rolling": True, "refresh-token-one-use": "always", "auth-type-code-enabled": True,
            "auth-type-code-revoke-replayed": True, "auth-type-token-enabled": False, "auth-type-id-token-enabled": True,
            "auth-type-none-enabled": False, "auth-type-password-enabled": False, "auth-type-client-enabled": False,
            "auth-type-device-enabled": False, "auth-type-refresh-enabled": True, "allow-non-oidc": True,
            "pkce-allowed": True, "pkce-method-plain-allowed": False, "pkce-required": True,
            "introspection-revocation-allowed": True, "introspection-revocation-allow-target-client": True,
            "subject-type": "public",
        })
        add("client", client_id="toolshed", name="Toolshed", confidential=True, client_secret=self.client_secret,
            enabled=True, redirect_uri=[redirect_uri, redirect_uri.replace("/api/auth/", "/api/sign-in/")], authorization_type=["code", "refresh_token"],
            token_endpoint_auth_method=["client_secret_basic", "client_secret_post"], scope=[])
        add("user", username="dora", name="Dora", email="dora@example.test", password=self.password, enabled=True,
            scope=["g_profile", "openid", "repo", "mail"])

    def _signed_in(self, username: str, password: str) -> requests.Session:
        session = requests.Session()
        reply = session.post(f"{self.url}/api/auth/", json={"username": username, "password": password}, timeout=10)
        assert reply.status_code == 200, reply.text
        return session

    def decide(self, authorization_url: str) -> str:
        """Dora signs in and allows what is asked, by the API behind glewlwyd's own pages: the callback's address."""
        dora = self._signed_in("dora", self.password)
        asked = dict(parse_qsl(urlsplit(authorization_url).query))
        granted = dora.put(f"{self.url}/api/auth/grant/{asked['client_id']}", json={"scope": asked["scope"]}, timeout=10)
        assert granted.status_code == 200, granted.text
        reply = dora.get(f"{authorization_url}&g_continue", allow_redirects=False, timeout=10)
        assert reply.status_code == 302, f"{reply.status_code} {reply.text}"
        return reply.headers["Location"]

    def active(self, token: str) -> bool:
        """Whether glewlwyd itself still takes this token for good (RFC 7662)."""
        reply = requests.post(f"{self.url}/api/oidc/introspect", auth=("toolshed", self.client_secret),
                              data={"token": token}, timeout=10)
        return reply.json()["active"]

    def forget(self) -> None:
        """Dora takes back every refresh token at glewlwyd."""
        dora = self._signed_in("dora", self.password)
        for token in dora.get(f"{self.url}/api/oidc/token", timeout=10).json():
            if token["enabled"]:
                reply = dora.delete(f"{self.url}/api/oidc/token/{quote(token['token_hash'], safe='')}", timeout=10)
                assert reply.status_code == 200, f"{reply.status_code} {reply.text}"

    def refreshed(self, refresh_token: str) -> requests.Response:
        """What the token endpoint says to this refresh token, shown with the client's own secret."""
        return requests.post(f"{self.url}/api/oidc/token", auth=("toolshed", self.client_secret), timeout=10,
                             data={"grant_type": "refresh_token", "refresh_token": refresh_token})

    def yaml(self, token_port: int | None = None, ends: bool = False) -> str:
        """The operator's file; glewlwyd publishes its metadata below /api/oidc. `token_port`: what stands before its token
        endpoint. `ends`: its refusal, which has no words, is listed as the end of a grant."""
        token = f"http://127.0.0.1:{token_port or self.port}/api/oidc/token"
        errors = "\n    errors: { http_400: reauthorize }" if ends else ""
        return f"""\
version: 1
owner: toolshed
providers:
  glewlwyd:
    name: Glewlwyd
    issuer: {self.url}
    allow_loopback_http: true
    sign_in: {{ new_people: anyone }}
    client: {{ id: toolshed, secret: "{self.client_secret}" }}
    default_scopes: [repo]
    endpoints:
      discovery: {self.url}/api/oidc/.well-known/openid-configuration
      token: {token}
    authorize: {{ pkce: {{ default: S256, available: [S256] }} }}{errors}
"""
