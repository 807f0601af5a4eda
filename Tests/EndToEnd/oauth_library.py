"""Other people's OAuth clients against our authorization server: run by the Python of .venv-oauth, told what to do by lines
of JSON, and saying what came of it. Usage: oauth_library.py authlib|requests-oauthlib ORIGIN CA"""

import json
import sys

LIBRARY, ORIGIN, CA = sys.argv[1:]
REDIRECT = "https://app.example/callback"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def say(**members) -> None:
    print(json.dumps(members), flush=True)


def heard() -> dict:
    return json.loads(sys.stdin.readline())


class Authlib:
    def __init__(self, client_id: str, secret: str | None):
        from authlib.common.security import generate_token
        from authlib.integrations.requests_client import OAuth2Session
        self.verifier = generate_token(48)
        self.session = OAuth2Session(
            client_id, secret, redirect_uri=REDIRECT, scope="vault:use", code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            revocation_endpoint_auth_method="client_secret_basic" if secret else "none")
        self.session.verify = CA

    def authorize(self) -> str:
        url, self.state = self.session.create_authorization_url(
            f"{ORIGIN}/authorize", code_verifier=self.verifier, resource=f"{ORIGIN}/mcp")
        return url

    def exchange(self, location: str) -> dict:
        return self.session.fetch_token(f"{ORIGIN}/token", authorization_response=location, state=self.state,
                                        code_verifier=self.verifier)

    def refresh(self) -> dict:
        return self.session.refresh_token(f"{ORIGIN}/token", refresh_token=self.session.token["refresh_token"])

    def revoke(self) -> int:
        return self.session.revoke_token(f"{ORIGIN}/revoke", token=self.session.token["refresh_token"],
                                         token_type_hint="refresh_token").status_code

    def introspect(self) -> dict:
        return self.session.introspect_token(f"{ORIGIN}/introspect", token=self.session.token["access_token"]).json()

    def device(self, device_code: str) -> dict:
        return self.session.fetch_token(f"{ORIGIN}/token", grant_type=DEVICE, device_code=device_code)

    def check(self, metadata: dict) -> None:
        from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
        AuthorizationServerMetadata(metadata).validate()


class RequestsOAuthlib:
    def __init__(self, client_id: str, secret: str | None):
        from requests_oauthlib import OAuth2Session
        self.id, self.secret = client_id, secret
        self.session = OAuth2Session(client_id, redirect_uri=REDIRECT, scope=["vault:use"], pkce="S256")
        self.session.verify = CA

    def authorize(self) -> str:
        return self.session.authorization_url(f"{ORIGIN}/authorize", resource=f"{ORIGIN}/mcp")[0]

    def exchange(self, location: str) -> dict:
        return self.session.fetch_token(f"{ORIGIN}/token", authorization_response=location, client_secret=self.secret,
                                        include_client_id=True, verify=CA)

    def refresh(self) -> dict:
        auth = (self.id, self.secret) if self.secret else None
        return self.session.refresh_token(f"{ORIGIN}/token", client_id=None if auth else self.id, auth=auth, verify=CA)

    def revoke(self) -> int:
        import requests
        form = {"token": self.session.token["refresh_token"], "client_id": self.id}
        return requests.post(f"{ORIGIN}/revoke", data=form | ({"client_secret": self.secret} if self.secret else {}), verify=CA).status_code

    def introspect(self) -> dict:
        import requests
        return requests.post(f"{ORIGIN}/introspect", data={"token": self.session.token["access_token"]},
                             auth=(self.id, self.secret), verify=CA).json()

    def device(self, device_code: str) -> dict:
        from oauthlib.oauth2 import DeviceClient
        from requests_oauthlib import OAuth2Session
        session = OAuth2Session(client=DeviceClient(self.id, scope=["vault:manage", "vault:use"]))
        return session.fetch_token(f"{ORIGIN}/token", device_code=device_code, include_client_id=True, verify=CA)

    def check(self, metadata: dict) -> None:
        pass  # it reads none


def main() -> None:
    begin = heard()
    client = {"authlib": Authlib, "requests-oauthlib": RequestsOAuthlib}[LIBRARY](begin["client_id"], begin.get("secret"))
    client.check(begin["metadata"])
    say(ready=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            say(result=getattr(client, order["do"])(*order.get("with", [])))
        except Exception as error:  # what the library makes of our answer is what is tested
            say(error=type(error).__name__, code=getattr(error, "error", ""), text=str(error)[:300])


main()
