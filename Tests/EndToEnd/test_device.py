"""The device grant (RFC 8628), by rules against those who send codes to other people."""

import pytest

from harness.flow import at_once
from harness.instance import Instance
from harness.oauth import Client, command_line, granted, refused
from harness.people import Person

GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}


@pytest.fixture
def cli(instance):
    return command_line(instance)


def hurry(instance: Instance) -> None:
    """As if the interval had passed since the last poll."""
    instance.sql("UPDATE device_request SET polled_at_ms = polled_at_ms - 100000")


def test_b_dev_1_to_3_from_code_to_token(person, cli, instance):
    person.connect(GITHUB)
    begun = cli.begin_device()
    assert begun.status_code == 200 and "no-store" in begun.headers["Cache-Control"]
    begun = begun.json()
    assert set(begun) == {"device_code", "user_code", "verification_uri", "expires_in", "interval"}, "no verification_uri_complete"
    assert begun["verification_uri"] == f"{instance.origin}/device" and begun["interval"] == 5
    refused(cli.poll(begun["device_code"]), "authorization_pending")
    refused(cli.poll(begun["device_code"]), "slow_down")
    shown = person.post("/api/device", {"userCode": begun["user_code"].lower().replace("-", " ")}).json()
    assert shown["client"] == "Toolshed command line" and shown["address"] == "127.0.0.1" and shown["ownAddress"] is True
    assert [one["provider"] for one in shown["connections"]] == ["GitHub"]
    hurry(instance)
    refused(cli.poll(begun["device_code"]), "authorization_pending")
    assert cli.approve_device(person, begun["user_code"]).status_code == 204
    token = granted(cli.poll(begun["device_code"]))["access_token"]
    assert token.startswith("tsc_")
    headers = {"Authorization": f"Bearer {token}"}
    assert instance.post("/api/tokens/vend", json={"provider": "github"}, headers=headers).status_code == 200
    refused(cli.poll(begun["device_code"]), "invalid_grant")
    assert person.post("/api/device", {"userCode": begun["user_code"]}).status_code == 404, "once"


def test_b_dev_2_a_no_and_too_late(person, cli, instance):
    begun = cli.begin_device().json()
    assert cli.approve_device(person, begun["user_code"], "decline").status_code == 204
    refused(cli.poll(begun["device_code"]), "access_denied")
    begun = cli.begin_device().json()
    instance.sql("UPDATE device_request SET expires_at_ms = 1")
    refused(cli.poll(begun["device_code"]), "expired_token")
    assert person.post("/api/device", {"userCode": begun["user_code"]}).status_code == 404


def test_eight_poll_at_once_and_one_gets_it(person, cli):
    begun = cli.begin_device().json()
    assert cli.approve_device(person, begun["user_code"]).status_code == 204
    answers = at_once(*[lambda: cli.poll(begun["device_code"])] * 8)
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {"invalid_grant"}


def test_b_dev_3_five_wrong_codes_and_the_session_waits(person, cli, instance):
    begun = cli.begin_device().json()
    for number in range(5):
        assert person.post("/api/device", {"userCode": "BCDF-GHJ" + "KLMNP"[number]}).status_code == 404
    stopped = person.post("/api/device", {"userCode": begun["user_code"]})
    assert stopped.status_code == 429 and stopped.headers["Retry-After"]
    instance.sql("DELETE FROM device_try")
    assert person.post("/api/device", {"userCode": begun["user_code"]}).status_code == 200


def test_b_dev_3_thirty_wrong_codes_and_the_address_waits(fresh):
    instance = fresh(double=False).start()
    people = [Person(instance) for _ in range(7)]
    for person in people[:6]:
        for _ in range(5):
            assert person.post("/api/device", {"userCode": "BCDFGHJK"}).status_code == 404
    assert people[6].post("/api/device", {"userCode": "BCDFGHJK"}).status_code == 429


def test_b_dev_4_it_is_a_persons_decision_about_what_was_shown(person, other, cli):
    begun = cli.begin_device().json()
    code = begun["user_code"]
    shown = person.post("/api/device", {"userCode": code}).json()
    body = {"decision": "approve", "userCode": code, "digest": shown["digest"], "formToken": shown["formToken"]}
    key = person.api_key()
    for path, members in (("/api/device", {"userCode": code}), ("/api/device/decision", body)):
        assert key.post(path, members).json()["error"] == "not-permitted"
        assert person.post(path, members, headers={"Sec-Fetch-Site": "cross-site"}).json()["error"] == "cross-site"
        assert Person(person.instance, signed_in=False).post(path, members).status_code == 401
        assert person.get(path).status_code == 405
    assert other.post("/api/device/decision", body).status_code == 409
    shown = person.post("/api/device", {"userCode": code}).json()
    body |= {"digest": shown["digest"], "formToken": shown["formToken"]}
    person.connect(GITHUB)
    assert person.post("/api/device/decision", body).status_code == 409, "what it would get has changed"
    refused(cli.poll(begun["device_code"]), "authorization_pending")


def test_only_in_a_sign_in_that_is_fresh(person, cli, instance):
    code = cli.begin_device().json()["user_code"]
    assert person.post("/api/vault/recovery", {}).status_code == 201
    instance.sql("UPDATE slot SET signed_in_at_ms = 1 WHERE kind = 'session'")
    for path, body in (("/api/device", {"userCode": code}),
                       ("/api/device/decision", {"userCode": code, "decision": "approve", "digest": "x", "formToken": "x"})):
        assert person.post(path, body).json()["error"] == "fresh-sign-in-required"


@pytest.mark.parametrize("metadata", [{}, {"grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]}])
def test_clients_that_anybody_could_have_made_may_not(metadata, instance):
    client = Client(instance, **metadata)
    refused(client.begin_device(), "unauthorized_client")
    refused(client.poll("tsd_" + "A" * 70), "unauthorized_client")


def test_the_operator_can_switch_it_off(fresh):
    instance = fresh(environment={"TOOLSHED_DEVICE_GRANT": "off"}, double=False)
    instance._script("lay")
    instance.start()
    refused(command_line(instance).begin_device(), "unauthorized_client")
    document = instance.get("/.well-known/oauth-authorization-server").json()
    assert "device_authorization_endpoint" not in document
    assert not [grant for grant in document["grant_types_supported"] if "device" in grant]


@pytest.mark.parametrize("code", ["tsd_" + "A" * 70, "x", "tsg_" + "A" * 70])
def test_made_up_device_codes(code, cli):
    refused(cli.poll(code), "invalid_grant")


def test_bad_input_names_the_member(person, cli):
    for body, member in (({}, "userCode"), ({"userCode": 7}, "userCode"), ({"userCode": "x" * 41}, "userCode"),
                         ({"userCode": "BCDF", "more": 1}, "more")):
        reply = person.post("/api/device", body)
        assert reply.status_code == 400 and reply.json()["errors"][0]["member"] == member
    refused(cli.post("/device_authorization", "client_id=toolshed-cli&client_id=toolshed-cli"), "invalid_request")
    refused(cli.begin_device(client_id="nobody"), "invalid_client", 401)
    refused(cli.begin_device(resource="https://elsewhere.example"), "invalid_target")
