"""A caller's word that an API refused a token: only the provider's own refusal does anything about it."""

from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest

from harness.answers import assert_problem
from harness.flow import CORP
from harness.people import Person

SLACK = {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"}


def report_of(token: dict, status: int = 401) -> dict:
    digest = urlsafe_b64encode(sha256(token["accessToken"].encode()).digest()).decode().rstrip("=")
    return {"connection": token["connection"]["id"], "tokenHash": digest, "status": status}


def vended(person, plugin, bridge: str, scope: str) -> dict:
    person.connect(plugin.link(bridge, [scope], user=person)["authorizationUrl"])
    return plugin.token(bridge, [scope], user=person)


@pytest.mark.parametrize("fault", [
    {"kind": "empty"}, {"kind": "truncated"}, {"kind": "500"}, {"kind": "503"}, {"kind": "drop"}, {"kind": "redirect"},
    {"kind": "body", "body": "<html>Please log in to the guest network</html>", "headers": {"Content-Type": "text/html"}},
    {"kind": "body", "body": {}}, {"kind": "body", "body": {"error": "temporarily_unavailable"}},
    {"kind": "body", "body": {"message": "Forbidden"}, "status": 403}, {"kind": "body", "body": {"login": "octo"}}],
    ids=lambda fault: "-".join(str(part)[:20] for part in fault.values()))
def test_what_is_not_the_providers_no_ends_no_grant(person, plugin, double, fault):
    token = vended(person, plugin, "github", "repo")
    double.fault("github", "userinfo", **fault)
    assert plugin.post("/api/tokens/report", report_of(token)).json() == {"next": "wait"}
    assert person.connections()[0]["status"] == "active"
    assert plugin.token("github", ["repo"], user=person)["accessToken"] == token["accessToken"]


def test_a_401_ends_a_grant_that_nothing_renews(person, plugin, double):
    token = vended(person, plugin, "github", "repo")
    double.fault("github", "userinfo", "body", body={"message": "Bad credentials"}, status=401)
    assert plugin.post("/api/tokens/report", report_of(token)).json() == {"next": "reauthorize"}
    assert plugin.link("github", ["repo"], user=person)["reason"] == "reauthorization-required"


@pytest.mark.parametrize("code, advice", [("token_revoked", "reauthorize"), ("account_inactive", "reauthorize"),
                                          ("ratelimited", "wait"), ("internal_error", "wait")])
def test_slack_says_no_in_a_200_and_not_everything_there_is_a_no(person, plugin, double, code, advice):
    token = vended(person, plugin, "slack", "chat:write")
    double.fault("slack", "userinfo", "body", body={"ok": False, "error": code}, times=1)
    assert plugin.post("/api/tokens/report", report_of(token)).json() == {"next": advice}
    assert person.connections()[0]["status"] == {"wait": "active"}.get(advice, "reauthorization-required")


@pytest.mark.parametrize("status", [None, -5, 0, 99, 600, "401", 401.5, True, [], {}], ids=repr)
def test_a_report_says_what_the_api_answered(person, status):
    person.connect(CORP)
    key = person.api_key()
    body = report_of(key.token("corp", ["read"]), status)
    for wrong in (body, {name: value for name, value in body.items() if name != "status"}):
        refused = assert_problem(key.post("/api/tokens/report", wrong), 400, "invalid-request")
        assert [error["member"] for error in refused["errors"]] == ["status"]
    assert key.post("/api/tokens/report", body | {"status": 403}).json() == {"next": "retry"}
