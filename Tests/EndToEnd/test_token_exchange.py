"""Token exchange (RFC 8693) at /token: the vend, for software that knows the standard only."""

import base64

import pytest

from harness.instance import Instance
from harness.oauth import Client, command_line, refused
from harness.people import Person, Plugin

GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


def exchange(instance: Instance, basic: tuple[str, str] | None = None, **members):
    form = {"grant_type": GRANT, "audience": "github"} | members
    headers = {}
    if basic:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
    return instance.post("/token", data={name: value for name, value in form.items() if value is not None}, headers=headers)


def by_plugin(plugin: Plugin, person: Person | None, **members):
    return exchange(plugin.instance, (plugin.id, plugin.key), userId=person.user_id if person else None, **members)


def by_key(instance: Instance, key: str, **members):
    return exchange(instance, **{"subject_token": key, "subject_token_type": ACCESS} | members)


def test_a_plugin_exchanges_its_key_for_a_token(person, plugin, double):
    need = by_plugin(plugin, person, scope="repo", reason="list", tool="issues.list")
    body = refused(need, "interaction_required")
    same = plugin.link("github", ["repo"], user=person)
    assert body["requestId"] == same["requestId"] and body["authorizationUrl"] == same["authorizationUrl"]
    for member in ("reason", "statusUrl", "expiresIn", "interval", "matchCode", "missingScopes", "grantedScopes"):
        assert member in body
    assert person.asked(body["authorizationUrl"]).json()["reason"] == "list"
    person.connect(body["authorizationUrl"])
    answer = by_plugin(plugin, person, scope="repo", requested_token_type=ACCESS)
    assert answer.status_code == 200 and "no-store" in answer.headers["Cache-Control"], answer.text
    token = answer.json()
    assert token["issued_token_type"] == ACCESS and token["token_type"] == "Bearer" and token["scope"] == "repo"
    assert token["access_token"] == plugin.token("github", ["repo"], user=person)["accessToken"]
    assert "refresh_token" not in token


def test_a_key_and_a_command_line_are_subjects(person, instance, double):
    person.connect(GITHUB)
    key = person.api_key()
    cli = command_line(instance).log_in(person)
    for subject in (key.key, cli.tokens["access_token"]):
        for client in (None, "toolshed-cli"):
            answer = by_key(instance, subject, scope="repo", client_id=client)
            assert answer.status_code == 200, answer.text
            assert answer.json()["access_token"] == key.token("github", ["repo"])["accessToken"]
    assert by_key(instance, key.key, scope="repo", userId=person.user_id).status_code == 200


def test_v_2_an_agents_token_and_clients_that_anybody_could_have_made_may_not(person, instance, double):
    person.connect(GITHUB)
    key = person.api_key()
    client = Client(instance, token_endpoint_auth_method="client_secret_basic").log_in(person)
    for subject in (client.tokens["access_token"], client.tokens["refresh_token"]):
        refused(by_key(instance, subject), "unauthorized_client")
        refused(by_key(instance, subject, client_id="toolshed-cli"), "unauthorized_client")
    refused(exchange(instance, (client.id, client.secret), subject_token=key.key, subject_token_type=ACCESS), "unauthorized_client")
    refused(by_key(instance, key.key, client_id=Client(instance).id), "unauthorized_client")
    refused(by_key(instance, key.key, client_id="mc_nobody"), "invalid_client", 401)


@pytest.mark.parametrize("changed, code", [
    ({"actor_token": "x"}, "invalid_request"), ({"actor_token_type": ACCESS}, "invalid_request"),
    ({"subject_token_type": None}, "invalid_request"), ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
    ({"subject_token": None}, "invalid_request"), ({"subject_token": "tsk_nonsense"}, "invalid_request"),
    ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
    ({"audience": None}, "invalid_target"), ({"audience": "nowhere"}, "invalid_target"), ({"audience": "Not A Provider"}, "invalid_target"),
    ({"audience": "notion"}, "invalid_target"), ({"resource": "https://api.github.com"}, "invalid_target"),
    ({"scope": 'a"b'}, "invalid_scope"), ({"userId": "somebody"}, "invalid_request"), ({"reason": "x" * 257}, "invalid_request"),
])
def test_what_is_wrong_has_the_word_of_the_standard(changed, code, person, instance, double):
    person.connect(GITHUB)
    refused(by_key(instance, person.api_key().key, **changed), code)


def test_other_peoples_and_wrong_secrets(person, other, plugin, instance, double):
    person.connect(GITHUB)
    refused(by_key(instance, person.api_key().key, userId=other.user_id), "unauthorized_client")
    cookie = person.http.cookies["__Host-toolshed"]
    for subject in (cookie, plugin.key):
        refused(by_key(instance, subject), "invalid_request")
    refused(exchange(instance, (plugin.id, Plugin(instance).key), userId=person.user_id), "invalid_client", 401)
    refused(exchange(instance, ("p_" + "A" * 22, plugin.key), userId=person.user_id), "invalid_client", 401)
    refused(by_plugin(plugin, None), "invalid_request")
    refused(by_plugin(plugin, person, subject_token=person.api_key().key, subject_token_type=ACCESS), "invalid_request")
    unknown = exchange(instance, (plugin.id, plugin.key), userId="u_" + "A" * 22)
    refused(unknown, "unauthorized_client")
    # Not in the body: a plugin's key is Basic.
    posted = exchange(instance, client_id=plugin.id, client_secret=plugin.key, userId=person.user_id)
    refused(posted, "invalid_client", 401)


def test_a_decline_and_two_accounts(person, plugin, instance, double):
    body = refused(by_plugin(plugin, person, scope="repo"), "interaction_required")
    person.decide(body["authorizationUrl"], "decline")
    body = refused(by_plugin(plugin, person, scope="repo"), "access_denied")
    assert body["declinedScopes"] == ["repo"] and body["until"]
    for account, scope in (("octo", "repo"), ("mallory", "repo gist")):
        outcome = person.connect(GITHUB | {"scope": scope}, account=account).headers["Location"].split("#")[1]
        shown = person.get(f"/api/outcomes/{outcome}").json()
        if shown["status"] == "connected-unused":
            kept = person.post(f"/api/outcomes/{outcome}", {"decision": "keep", "formToken": shown["formToken"]})
            assert kept.status_code == 200
    key = person.api_key()
    body = refused(by_key(instance, key.key, scope="repo"), "invalid_request")
    assert len(body["accounts"]) == 2
    assert by_key(instance, key.key, scope="repo", account=body["accounts"][0]["id"]).status_code == 200
