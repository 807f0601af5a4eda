#!/usr/bin/env python3
"""A smoke test: every family hands out a code, a token, an identity and a refresh, and faults strike where they are told to.

    python3 Tests/double/test_double.py
"""

import json
import subprocess
import sys
import unittest
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

HERE = Path(__file__).parent
CALLBACK = "https://localhost/api/auth/x/callback"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636 appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
TOKEN = {"github": "/github/login/oauth/access_token", "google": "/google/token", "slack": "/slack/api/oauth.v2.access",
         "linear": "/linear/oauth/token", "generic": "/generic/token", "demo": "/demo/token"}


class DoubleTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen([sys.executable, "-B", HERE / "double.py"], stdout=subprocess.PIPE)
        cls.port = json.loads(cls.process.stdout.readline())["port"]

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.wait()
        cls.process.stdout.close()

    def setUp(self):
        self.control("reset", {})

    def send(self, method, path, body=None, headers=None):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, {"User-Agent": "test", "Accept": "application/json"} | (headers or {}))
        response = connection.getresponse()
        status, text = response.status, response.read()
        connection.close()
        return status, text

    def control(self, verb, fields=None):
        status, text = self.send("GET" if fields is None else "POST", f"/control/{verb}",
                                 None if fields is None else json.dumps(fields))
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def post(self, family, fields):
        fields = {"client_id": f"{family}-client", "client_secret": f"{family}-secret"} | fields
        status, text = self.send("POST", TOKEN[family], urlencode(fields),
                                 {"Content-Type": "application/x-www-form-urlencoded"})
        return status, json.loads(text)

    def connect(self, family, scope="repo", **more):
        pkce = {} if family in ("github", "slack") else {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        ask = {"family": family, "redirect_uri": CALLBACK, "scope": scope, "state": "S",
               "params": {"access_type": "offline", "prompt": "consent"}} | pkce | more
        code = self.control("code", ask)["code"]
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return self.post(family, fields | ({"code_verifier": VERIFIER} if pkce else {})), code

    def live(self, family, token):
        return self.send("GET", f"/{family}/api/whoami", headers={"Authorization": f"Bearer {token}"})[0] == 200

    def refresh(self, family, token):
        return self.post(family, {"grant_type": "refresh_token", "refresh_token": token})

    def test_generic_rotation_and_single_use(self):
        (status, reply), code = self.connect("generic", "repo read")
        self.assertEqual((status, reply["scope"]), (200, "repo read"))
        self.assertTrue(self.live("generic", reply["access_token"]))
        again = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        self.assertEqual(self.post("generic", again)[1]["error"], "invalid_grant")
        _, second = self.refresh("generic", reply["refresh_token"])
        self.assertNotEqual(second["refresh_token"], reply["refresh_token"])
        self.assertEqual(self.refresh("generic", reply["refresh_token"])[0], 400)
        self.control("set", {"advance": 3601})
        self.assertFalse(self.live("generic", second["access_token"]))
        self.assertEqual(self.control("counters")["generic"]["refresh"], 2)

    def test_generic_replay_can_kill_the_family(self):
        self.control("set", {"family": "generic", "refresh": "rotate+kill"})
        (_, first), _ = self.connect("generic")
        _, second = self.refresh("generic", first["refresh_token"])
        self.assertEqual(self.refresh("generic", first["refresh_token"])[0], 400)
        self.assertFalse(self.live("generic", second["access_token"]))
        self.assertEqual(self.refresh("generic", second["refresh_token"])[0], 400)

    def test_github(self):
        (status, reply), code = self.connect("github", "repo public_repo user user:email")
        self.assertEqual((status, reply["scope"], reply["token_type"]), (200, "repo,user", "bearer"))
        self.assertNotIn("expires_in", reply)
        status, reply = self.post("github", {"code": code, "redirect_uri": CALLBACK})
        self.assertEqual((status, reply["error"]), (200, "bad_verification_code"))
        status, text = self.send("POST", TOKEN["github"], urlencode({"client_id": "nobody"}), {
            "Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded"})
        self.assertTrue(text.startswith(b"error=incorrect_client_credentials"))
        (_, first), _ = self.connect("github", "repo offline_access")
        self.assertEqual(first["expires_in"], 28800)
        _, second = self.refresh("github", first["refresh_token"])
        self.assertFalse(self.live("github", first["access_token"]))
        self.assertTrue(self.live("github", second["access_token"]))
        self.assertEqual(self.refresh("github", first["refresh_token"])[1]["error"], "bad_refresh_token")

    def test_github_eleventh_token(self):
        tokens = [self.connect("github")[0][1]["access_token"] for _ in range(11)]
        self.assertEqual([self.live("github", token) for token in tokens], [False] + [True] * 10)

    def test_google(self):
        scopes = [f"https://www.googleapis.com/auth/{s}" for s in ("gmail.modify", "calendar", "drive.readonly")]
        (_, reply), _ = self.connect("google", " ".join(scopes))
        self.assertEqual(reply["scope"].split(), scopes[::-1])
        _, second = self.refresh("google", reply["refresh_token"])
        self.assertNotIn("refresh_token", second)
        token = {"Authorization": f"Bearer {second['access_token']}"}
        self.assertEqual(self.send("GET", "/google/v1/userinfo", headers=token)[0], 403)
        self.assertIn(b"octo@example.com", self.send("GET", "/google/gmail/v1/users/me/profile", headers=token)[1])
        (_, third), _ = self.connect("google", scopes[0], params={"access_type": "offline"})
        self.assertNotIn("refresh_token", third)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        revoke = urlencode({"token": reply["refresh_token"]})
        self.assertEqual(self.send("POST", "/google/revoke", revoke, form)[0], 200)
        self.assertFalse(self.live("google", third["access_token"]))
        self.assertEqual(self.send("POST", "/google/revoke", revoke, form)[0], 400)

    def test_slack(self):
        (_, reply), _ = self.connect("slack", "", user_scope="channels:read,chat:write")
        self.assertEqual(reply["authed_user"]["scope"], "channels:read,chat:write")
        self.assertNotIn("access_token", reply)
        self.control("set", {"family": "slack", "rotation": True})
        (_, reply), _ = self.connect("slack", "", user_scope="files:write")
        user = reply["authed_user"]
        self.assertEqual((user["scope"], user["expires_in"]), ("channels:read,chat:write,files:write", 43200))
        _, second = self.refresh("slack", user["refresh_token"])
        self.assertEqual((second["ok"], second["token_type"]), (True, "user"))
        self.control("set", {"advance": 61})
        self.assertEqual(self.refresh("slack", user["refresh_token"])[1], {"ok": False, "error": "invalid_refresh_token"})

    def test_linear(self):
        (_, reply), _ = self.connect("linear", "issues:create")
        self.assertEqual(reply["scope"], "issues:create read")
        first, again = (self.refresh("linear", reply["refresh_token"])[1] for _ in range(2))
        self.assertEqual(first["refresh_token"], again["refresh_token"])
        query = json.dumps({"query": "{ viewer { id } }"})
        headers = {"Authorization": f"Bearer {first['access_token']}", "Content-Type": "application/json"}
        viewer = json.loads(self.send("POST", "/linear/graphql", query, headers)[1])["data"]["viewer"]
        self.assertEqual(viewer["id"], "u-583231")

    def test_page(self):
        ask = urlencode({"client_id": "demo-client", "redirect_uri": CALLBACK, "scope": "read", "state": "S",
                         "response_type": "code", "code_challenge": CHALLENGE, "code_challenge_method": "S256"})
        status, html = self.send("GET", f"/demo/authorize?{ask}")
        self.assertEqual(status, 200)
        self.assertIn(b"This is a demo", html)
        self.assertNotIn(b"mallory", html)
        ticket = html.split(b"name=ticket value='")[1].split(b"'")[0].decode()
        connection = HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", "/demo/decide", urlencode({"ticket": ticket, "scope": "read", "account": "octo"}),
                           {"Content-Type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        self.assertEqual(response.status, 303)
        self.assertIn("&state=S&iss=http", response.headers["Location"])
        connection.close()
        self.assertEqual(self.control("complaints")["complaints"], [])

    def test_faults(self):
        (_, reply), _ = self.connect("generic")
        self.control("fault", {"family": "generic", "endpoint": "refresh", "kind": "drop", "when": "after", "times": 1})
        with self.assertRaises(ConnectionError):
            self.refresh("generic", reply["refresh_token"])
        self.assertEqual(self.refresh("generic", reply["refresh_token"])[0], 400)
        self.control("fault", {"family": "generic", "endpoint": "token", "kind": "429", "retry_after": 7})
        self.assertEqual(self.refresh("generic", reply["refresh_token"])[0], 429)
        self.assertEqual(self.control("faults")["armed"][0]["struck"], 1)
        self.assertTrue(self.control("wait?family=generic&endpoint=refresh&count=3")["reached"])

    def test_discovery(self):
        status, text = self.send("GET", "/.well-known/oauth-authorization-server/generic")
        self.assertEqual(json.loads(text)["issuer"], f"http://127.0.0.1:{self.port}/generic")


if __name__ == "__main__":
    unittest.main()
