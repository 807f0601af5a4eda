"""Our authorization server, one rule after the other; the ids are those of the standards checklist."""

import base64
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from harness.flow import at_once
from harness.oauth import CLI, Client, command_line, granted, parameters, pkce, refused
from harness.people import SAME_ORIGIN, Person, Plugin, mistyped

GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}


@pytest.fixture
def client(instance):
    return Client(instance)


# From consent to token (B-AUT, B-TOK)


def test_a_client_registers_is_let_in_and_renews(person, client, instance):
    person.connect(GITHUB)
    query = client.query(pkce()[1])
    shown = client.asked(person, query).json()
    assert shown["client"]["name"] == client.name and shown["client"]["kind"] == "registered"
    assert shown["redirect"]["destination"] == "app.example" and shown["signedInAs"] == person.name
    assert shown["warning"] is True and [line["scope"] for line in shown["scopes"]] == ["vault:use"]
    assert [one["provider"] for one in shown["connections"]] == ["GitHub"]
    client.log_in(person)
    first = client.tokens
    assert first["access_token"].startswith("tsa_") and first["refresh_token"].startswith("tsf_")
    assert first["scope"] == "vault:use" and 3500 < first["expires_in"] <= 3600
    second = client.renew().tokens
    assert {first["access_token"], first["refresh_token"]}.isdisjoint(second.values()), "B-RT-1"
    assert client.asked(person, query).json()["warning"] is False, "only the first time"


def test_the_command_line_gets_a_token_of_its_own_kind(person, instance):
    person.connect(GITHUB)
    cli = command_line(instance).log_in(person)
    assert cli.tokens["access_token"].startswith("tsc_") and "refresh_token" not in cli.tokens
    headers = {"Authorization": f"Bearer {cli.tokens['access_token']}"}
    assert instance.get("/api/me", headers=headers).json()["userId"] == person.user_id
    vended = instance.post("/api/tokens/vend", json={"provider": "github", "scopes": ["repo"]}, headers=headers)
    assert vended.status_code == 200, vended.text
    assert cli.revoke(cli.tokens["access_token"]).status_code == 200
    assert instance.get("/api/me", headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/api/me", "/api/connections", "/api/keys", "/api/activity", "/api/providers"])
def test_an_agents_token_is_good_at_mcp_only(path, person, client):
    client.log_in(person)
    for token in (client.tokens["access_token"], client.tokens["refresh_token"]):
        reply = client.instance.get(path, headers={"Authorization": f"Bearer {token}"})
        assert reply.status_code == 403 and reply.json()["error"] == "not-permitted"


def test_an_agent_is_never_handed_a_providers_token(person, client):
    person.connect(GITHUB)
    client.log_in(person)
    reply = client.instance.post("/api/tokens/vend", json={"provider": "github"},
                                 headers={"Authorization": f"Bearer {client.tokens['access_token']}"})
    assert reply.status_code == 403 and reply.json()["error"] == "not-permitted"


def test_b_aut_2_nobody_is_sent_anywhere_for_a_client_that_is_not_known(person, client):
    challenge = pkce()[1]
    for query, code in (
        (client.query(challenge, client_id="mc_nobody"), "unknown-client"),
        (client.query(challenge, client_id=None), "unknown-client"),
        (client.query(challenge) + f"&client_id={client.id}", "unknown-client"),
        (client.query(challenge, redirect_uri="https://evil.example/callback"), "redirect-mismatch"),
        (client.query(challenge, redirect_uri=client.redirect + "/"), "redirect-mismatch"),
        (client.query(challenge, redirect_uri=client.redirect + "?x"), "redirect-mismatch"),
        (client.query(challenge) + "&redirect_uri=" + quote(client.redirect), "redirect-mismatch"),
    ):
        reply = client.asked(person, query)
        assert reply.status_code == 400 and reply.json()["error"] == code, reply.text
        assert "location" not in reply.json()


@pytest.mark.parametrize("changed, code", [
    ({"response_type": "token"}, "unsupported_response_type"), ({"response_type": None}, "invalid_request"),
    ({"response_type": "code id_token"}, "unsupported_response_type"), ({"response_mode": "fragment"}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"), ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"), ({"code_challenge": "short"}, "invalid_request"),
    ({"code_challenge": "=" * 43}, "invalid_request"), ({"code_challenge": "A" * 42 + "B"}, "invalid_request"),
    ({"resource": "https://elsewhere.example/mcp"}, "invalid_target"), ({"resource": "mcp"}, "invalid_target"),
    ({"state": "x" * 4097}, "invalid_request"),
])
def test_b_aut_3_and_4_what_is_wrong_goes_back_to_the_client_through_a_page(changed, code, person, client):
    shown = client.asked(person, client.query(pkce()[1], **changed)).json()
    assert shown["status"] == "return" and shown["error"] == code and shown["goesByItself"] is False, shown
    back = parameters(shown["location"], client.redirect)
    assert back["error"] == code and back["iss"] == client.instance.origin and back["error_description"]
    assert ("state" in back) == ("state" not in changed) and "code" not in back


def test_b_aut_1_a_repeated_parameter_is_an_error(person, client):
    for name in ("state", "scope", "code_challenge", "response_type", "prompt"):
        shown = client.asked(person, client.query(pkce()[1]) + f"&{name}=x&{name}=y").json()
        assert shown["status"] == "return" and shown["error"] == "invalid_request", name


def test_b_aut_4_the_resource_in_every_spelling_of_it(person, client):
    origin = client.instance.origin
    for resource in (f"{origin}/mcp", f"HTTPS://LOCALHOST:{client.instance.port}/mcp", None):
        assert client.asked(person, client.query(pkce()[1], resource=resource)).json()["resource"] == f"{origin}/mcp"
    twice = client.query(pkce()[1]) + "&resource=" + quote(f"{origin}/mcp")
    assert client.asked(person, twice).json()["status"] == "ready"
    for resource in (f"{origin}/mcp/", f"{origin}/mcp#x", f"{origin}/MCP", origin, "", f"{origin}.evil.example/mcp"):
        if resource:
            assert client.asked(person, client.query(pkce()[1], resource=resource)).json()["error"] == "invalid_target", resource


def test_b_aut_5_unknown_scopes_are_passed_over(person, client):
    for asked, given in (("openid vault:use offline_access", "vault:use"), ("everything", "vault:use"), (None, "vault:use"),
                         ("vault:manage", "vault:use"), ("vault:manage vault:use", "vault:use")):
        shown = client.asked(person, client.query(pkce()[1], scope=asked)).json()
        assert [line["scope"] for line in shown["scopes"]] == ["vault:use"], "nobody is asked for what does nothing"
        assert client.log_in(person, scope=asked).tokens["scope"] == given


def test_b_aut_6_no_page_no_code(person, instance, client):
    assert command_line(instance).asked(person, command_line(instance).query(pkce()[1], prompt="none")).json()["error"] == "consent_required"
    for prompt in ("consent", "login", "select_account", "none", "other"):
        assert client.asked(person, client.query(pkce()[1], prompt=prompt)).json()["status"] == "ready", prompt


def test_b_aut_7_and_8_state_comes_back_byte_for_byte_and_iss_always(person, instance):
    client = Client(instance, redirect="https://app.example/cb?tenant=a%20b")
    for state in ("x" * 4096, "ä/%2F+&= ü", "%", "'\"<script>"):
        query = client.query(pkce()[1], state=state)
        assert client.back(person, query, "decline")["state"] == state
        assert client.back(person, query)["state"] == state
    query = client.query(pkce()[1], state=None)
    assert set(client.back(person, query)) == {"code", "iss"}


def test_b_aut_9_nothing_is_said_before_somebody_is_signed_in(client, instance):
    nobody = Person(instance, signed_in=False)
    for query in (client.query(pkce()[1]), client.query(pkce()[1], response_type="token"), "client_id=nobody"):
        reply = client.asked(nobody, query)
        assert reply.status_code == 401 and set(reply.json()) >= {"signInUrl"} and "location" not in reply.json()


def test_a_decision_is_a_persons_in_a_browser_and_of_what_was_shown(person, other, client):
    query = client.query(pkce()[1])
    shown = client.asked(person, query).json()
    body = {"decision": "approve", "digest": shown["digest"], "formToken": shown["formToken"], "query": query}
    key = person.api_key()
    assert key.post("/api/authorize", body).json()["error"] == "not-permitted"
    assert key.get(f"/api/authorize?{query}").json()["error"] == "not-permitted"
    assert person.post("/api/authorize", body, headers={"Sec-Fetch-Site": "cross-site"}).json()["error"] == "cross-site"
    assert person.post("/api/authorize", body, headers={}).json()["error"] == "cross-site"
    assert other.post("/api/authorize", body).status_code == 409, "another person's page"
    for changed in ({"digest": shown["formToken"]}, {"query": client.query(pkce()[1])},
                    {"formToken": "A" * 43}):
        shown = client.asked(person, query).json()
        fresh = {"decision": "approve", "digest": shown["digest"], "formToken": shown["formToken"], "query": query}
        assert person.post("/api/authorize", fresh | changed).status_code == 409, changed
    shown = client.asked(person, query).json()
    body |= {"digest": shown["digest"], "formToken": shown["formToken"]}
    assert person.post("/api/authorize", body).status_code == 200
    assert person.post("/api/authorize", body).status_code == 409, "once"


def test_what_is_connected_meanwhile_is_shown_before_it_counts(person, client):
    query = client.query(pkce()[1])
    shown = client.asked(person, query).json()
    person.connect(GITHUB)
    body = {"decision": "approve", "digest": shown["digest"], "formToken": shown["formToken"], "query": query}
    assert person.post("/api/authorize", body).status_code == 409


# Codes (B-AUT-11, B-TOK)


def test_b_aut_11_a_code_shown_twice_ends_what_it_gave(person, client):
    code, verifier = client.code(person)
    client.tokens = granted(client.exchange(code, verifier))
    refused(client.exchange(code, verifier), "invalid_grant")
    refused(client.refresh(), "invalid_grant")


@pytest.mark.parametrize("changed", [
    {"code_verifier": "A" * 43}, {"code_verifier": None}, {"code_verifier": "short"}, {"code_verifier": "A" * 129},
    {"redirect_uri": "https://app.example/other"}, {"client_id": CLI},
])
def test_b_tok_4_what_does_not_fit_uses_the_code_up(changed, person, client):
    code, verifier = client.code(person)
    assert client.exchange(code, verifier, **changed).json()["error"] == "invalid_grant"
    refused(client.exchange(code, verifier), "invalid_grant")


def test_b_tok_4_and_5_what_may_be_left_out(person, client):
    code, verifier = client.code(person)
    granted(client.exchange(code, verifier, redirect_uri=None, resource=None))


def test_a_code_of_another_client_or_of_nobody_is_refused(person, client, instance):
    another = Client(instance)
    code, verifier = another.code(person)
    refused(client.exchange(code, verifier), "invalid_grant")
    for made in ("tsg_" + "A" * 70, "", mistyped(code), client_token_of(person, instance)):
        refused(client.exchange(made, verifier), "invalid_grant" if made else "invalid_request")


def client_token_of(person, instance) -> str:
    return Client(instance).log_in(person).tokens["refresh_token"]


def test_b_tok_5_another_resource_is_refused(person, client):
    code, verifier = client.code(person)
    refused(client.exchange(code, verifier, resource="https://elsewhere.example"), "invalid_target")


def test_a_code_lives_a_minute(person, client, instance):
    code, verifier = client.code(person)
    instance.sql("UPDATE client_token SET expires_at_ms = 1 WHERE kind = 'code'")
    refused(client.exchange(code, verifier), "invalid_grant")


def test_eight_race_for_a_code_and_one_gets_it(person, client):
    code, verifier = client.code(person)
    answers = at_once(*[lambda: client.exchange(code, verifier)] * 8)
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    winner = next(answer for answer in answers if answer.status_code == 200).json()
    # The losers showed a code for the second time, which ends the family.
    refused(client.refresh(winner["refresh_token"]), "invalid_grant")


# The token endpoint (B-TOK)


def test_b_tok_1_form_once_each(client, instance):
    body = f"grant_type=authorization_code&client_id={client.id}&code=x&code_verifier=y"
    refused(client.post("/token", body + "&code=z"), "invalid_request")
    refused(client.post("/token", body + f"&client_id={client.id}"), "invalid_request")
    refused(instance.post("/token", json={"grant_type": "authorization_code"}), "invalid_request")
    refused(client.post("/token", body + "&x=%zz"), "invalid_request")
    refused(client.post("/token", "client_id=" + client.id), "invalid_request")
    refused(client.post("/token", {"grant_type": "password", "username": "a", "password": "b"}), "unsupported_grant_type")
    assert client.post("/token", {"grant_type": "x" * 20_000}).status_code == 413
    assert instance.get("/token").status_code == 405 and instance.get("/token").headers["Allow"] == "POST"


def test_b_tok_2_exactly_one_way_to_authenticate(person, instance):
    client = Client(instance, token_endpoint_auth_method="client_secret_basic")
    assert client.registration["client_secret_expires_at"] == 0
    basic = base64.b64encode(f"{client.id}:{client.secret}".encode()).decode()
    escaped = base64.b64encode(f"{client.id.replace('_', '%5F')}:{quote(client.secret)}".encode()).decode()
    for header, body in ((basic, {}), (escaped, {}), (basic, {"client_id": client.id})):
        code, verifier = client.code(person)
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier} | body
        answer = instance.post("/token", data=form, headers={"Authorization": f"Basic {header}"})
        client.tokens = granted(answer)
    form = {"grant_type": "refresh_token", "refresh_token": client.tokens["refresh_token"]}
    with_basic = {"Authorization": f"Basic {basic}"}
    refused(instance.post("/token", data=form | {"client_secret": client.secret}, headers=with_basic), "invalid_request")
    refused(instance.post("/token", data=form | {"client_id": "another"}, headers=with_basic), "invalid_request")
    refused(instance.post("/token", data=form | {"client_id": client.id}), "invalid_client", 401)
    refused(instance.post("/token", data=form), "invalid_request")


def test_b_tok_3_an_unknown_client_gets_401(client, instance):
    form = {"grant_type": "authorization_code", "code": "x", "client_id": "mc_" + "A" * 22}
    answer = instance.post("/token", data=form)
    refused(answer, "invalid_client", 401)
    assert "WWW-Authenticate" not in answer.headers
    for header in ("Basic " + base64.b64encode(b"mc_nobody:secret").decode(), "Basic !!!", "Bearer x", "Basic"):
        answer = instance.post("/token", data={"grant_type": "authorization_code"}, headers={"Authorization": header})
        refused(answer, "invalid_client", 401)
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="token"'
    # A public client that shows a secret is not the one that registered.
    refused(client.post("/token", {"grant_type": "refresh_token", "client_secret": "x"}), "invalid_client", 401)


# Refresh (B-RT)


def test_b_rt_2_the_same_successor_again_for_a_minute_and_then_the_end(person, client, instance):
    client.log_in(person)
    old = client.tokens["refresh_token"]
    first, again = granted(client.refresh(old)), granted(client.refresh(old))
    assert (first["access_token"], first["refresh_token"]) == (again["access_token"], again["refresh_token"])
    later = granted(client.refresh(first["refresh_token"]))
    instance.sql("UPDATE client_token SET ended_at_ms = ended_at_ms - 61000 WHERE ended_at_ms IS NOT NULL AND kind = 'refresh'")
    refused(client.refresh(old), "invalid_grant")
    refused(client.refresh(later["refresh_token"]), "invalid_grant")


def test_b_rt_3_eight_race_with_one_refresh_token_and_all_get_the_same(person, client):
    client.log_in(person)
    answers = at_once(*[client.refresh] * 8)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert len({answer.json()["access_token"] for answer in answers}) == 1
    granted(client.refresh(answers[0].json()["refresh_token"]))


def test_b_rt_4_a_refresh_may_narrow_the_access_token_only(person, client):
    client.log_in(person)
    client.instance.sql("UPDATE client_token SET scope = 'vault:manage vault:use' WHERE kind = 'refresh'")
    client.instance.sql("UPDATE client_grant SET scope = 'vault:manage vault:use'")
    narrow = granted(client.refresh(scope="vault:use"))
    assert narrow["scope"] == "vault:use"
    assert granted(client.refresh(narrow["refresh_token"]))["scope"] == "vault:manage vault:use"
    client.log_in(person, scope="vault:use")
    refused(client.refresh(scope="vault:manage"), "invalid_scope")


def test_b_rt_5_a_refresh_token_is_its_clients_and_ends(person, client, instance):
    client.log_in(person)
    refused(Client(instance).refresh(client.tokens["refresh_token"]), "invalid_grant")
    refused(client.refresh(client.tokens["access_token"]), "invalid_grant")
    instance.sql("UPDATE client_token SET expires_at_ms = 1 WHERE kind = 'refresh' AND ended_at_ms IS NULL")
    refused(client.refresh(), "invalid_grant")


def test_a_client_that_did_not_ask_for_refresh_gets_none(person, instance):
    client = Client(instance, grant_types=["authorization_code"]).log_in(person)
    assert "refresh_token" not in client.tokens
    refused(client.refresh("tsf_x"), "unauthorized_client")


# Revocation and introspection (B-REV, B-INT)


def test_b_rev_1(person, instance):
    client = Client(instance, token_endpoint_auth_method="client_secret_post").log_in(person)
    first = client.tokens
    client.renew()
    assert client.is_live(first["access_token"]) and client.is_live()
    assert client.revoke(first["access_token"]).status_code == 200
    assert not client.is_live(first["access_token"]) and client.is_live(), "an access token only itself"
    for token in ("nonsense", first["access_token"], "tsf_" + "A" * 70):
        assert client.revoke(token).status_code == 200
    assert Client(instance).revoke(client.tokens["refresh_token"]).status_code == 200
    assert client.is_live(), "another client's"
    assert client.revoke(client.tokens["refresh_token"], token_type_hint="refresh_token").status_code == 200
    assert not client.is_live()
    refused(client.refresh(), "invalid_grant")
    refused(client.post("/revoke", {}), "invalid_request")


def test_b_int_1_to_3(person, client, instance):
    keeper = Client(instance, token_endpoint_auth_method="client_secret_basic").log_in(person)
    answer = keeper.post("/introspect", {"token": keeper.tokens["access_token"]}).json()
    assert answer["active"] is True and answer["client_id"] == keeper.id and answer["sub"] == person.user_id
    assert answer["aud"] == f"{instance.origin}/mcp" and answer["iss"] == instance.origin
    assert answer["exp"] - answer["iat"] == 3600 and answer["token_type"] == "Bearer" and answer["scope"] == "vault:use"
    client.log_in(person)
    for token in (client.tokens["access_token"], "x", "tsa_" + "A" * 70, person.http.cookies["__Host-toolshed"]):
        assert keeper.post("/introspect", {"token": token}).json() == {"active": False}
    refused(client.post("/introspect", {"token": client.tokens["access_token"]}), "invalid_client", 401)
    refused(instance.post("/introspect", data={"token": client.tokens["access_token"]}), "invalid_request")


# Registration (B-DCR)


def test_b_dcr_2_to_6_what_holds_is_said_and_nothing_is_null(instance):
    asked = {
        "redirect_uris": ["http://127.0.0.1/", "http://127.0.0.1:33418/", "https://vscode.dev/redirect"],
        "client_name": "Visual\u202e Studio\u0007 Code", "client_uri": "https://code.example", "logo_uri": "https://code.example/logo",
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code", "client_credentials"],
        "response_types": ["code"], "token_endpoint_auth_method": "none", "application_type": "native", "scope": "vault:use",
        "contacts": ["ops@code.example"], "software_id": "vscode", "software_version": "1", "unknown": {"x": 1}, "tos_uri": None,
    }
    answer = instance.post("/register", json=asked)
    assert answer.status_code == 201 and answer.headers["Content-Type"] == "application/json"
    assert "no-store" in answer.headers["Cache-Control"]
    body = answer.json()
    kept = {name: value for name, value in asked.items() if name not in ("unknown", "tos_uri", "client_name", "grant_types")}
    assert body.items() >= kept.items() and body["client_name"] == "Visual Studio Code"
    assert body["grant_types"] == asked["grant_types"][:3]
    assert isinstance(body["client_id_issued_at"], int) and "client_secret" not in body
    assert None not in body.values() and "" not in body.values() and "unknown" not in body


def test_b_dcr_4_no_method_is_none_and_a_secret_says_when_it_ends(instance):
    plain = instance.post("/register", json={"redirect_uris": ["https://a.example/cb"]}).json()
    assert plain["token_endpoint_auth_method"] == "none" and "client_secret" not in plain and "client_name" not in plain
    for method in ("client_secret_basic", "client_secret_post"):
        body = instance.post("/register", json={"redirect_uris": ["https://a.example/cb"], "token_endpoint_auth_method": method}).json()
        assert body["client_secret_expires_at"] == 0 and len(body["client_secret"]) > 43
        assert not set(body["client_id"] + body["client_secret"]) - set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"), "B-DCR-6"


def test_b_dcr_7_what_is_acceptable_is_kept(instance):
    cursor = ["cursor://anysphere.cursor-mcp/oauth/callback", "https://www.cursor.com/agents/mcp/oauth/callback",
              "http://localhost:8787/callback"]
    bad = ["javascript:alert(1)", "http://app.example/cb", "https://user@app.example/cb", "https://app.example/cb#x", "unknown:x"]
    assert instance.post("/register", json={"redirect_uris": bad + cursor}).json()["redirect_uris"] == cursor
    refused(instance.post("/register", json={"redirect_uris": bad}), "invalid_redirect_uri")
    refused(instance.post("/register", json={"redirect_uris": []}), "invalid_redirect_uri")
    refused(instance.post("/register", json={}), "invalid_redirect_uri")


@pytest.mark.parametrize("body", [
    {"client_name": 7}, {"client_name": "x" * 81}, {"grant_types": "authorization_code"}, {"grant_types": ["implicit"]},
    {"response_types": ["token"]}, {"token_endpoint_auth_method": "private_key_jwt"}, {"contacts": [1]}, {"scope": ["a"]},
])
def test_b_dcr_8_other_faults_are_json(body, instance):
    refused(instance.post("/register", json={"redirect_uris": ["https://a.example/cb"]} | body), "invalid_client_metadata")


def test_b_dcr_8_what_is_no_object_is_refused(instance):
    for data in (b"", b"[]", b"{", b"\xff", b"null", b'"x"', b"[" * 16_000):
        refused(instance.post("/register", data=data, headers={"Content-Type": "application/json"}), "invalid_client_metadata")
    assert instance.post("/register", data=b"{" + b" " * 17_000, headers={"Content-Type": "application/json"}).status_code == 413
    assert instance.get("/register").status_code == 405


def test_the_name_of_a_client_is_shown_without_tricks(person, instance):
    client = Client(instance, client_name="Tool\u202eshed\u0000 <b>")
    assert client.asked(person, client.query(pkce()[1])).json()["client"]["name"] == "Toolshed <b>"


# Metadata (B-META, B-PRM)


def test_b_meta_4_one_issuer_in_every_place_byte_for_byte(person, client, instance):
    server = instance.get("/.well-known/oauth-authorization-server")
    resource = instance.get("/.well-known/oauth-protected-resource/mcp")
    back = client.back(person, client.query(pkce()[1]))
    assert {server.json()["issuer"], resource.json()["authorization_servers"][0], back["iss"]} == {instance.origin}
    assert len(resource.json()["authorization_servers"]) == 1 and resource.json()["resource"] == f"{instance.origin}/mcp"


def test_b_meta_1_2_5_6_and_b_prm_1(instance):
    for path in ("/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp"):
        for address in (path, path + "?a=b"):
            reply = instance.get(address, headers={"MCP-Protocol-Version": "2026-07-28"})
            assert reply.status_code == 200 and reply.headers["Content-Type"] == "application/json"
            assert reply.headers["Access-Control-Allow-Origin"] == "*"
            assert reply.headers["Cache-Control"] == "public, max-age=300"
    document = instance.get("/.well-known/oauth-authorization-server").json()
    for name in ("authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint",
                 "introspection_endpoint", "device_authorization_endpoint"):
        assert document[name].startswith(instance.origin + "/")
    assert document["response_types_supported"] == ["code"] and document["code_challenge_methods_supported"] == ["S256"]
    assert "none" in document["token_endpoint_auth_methods_supported"]
    assert document["client_id_metadata_document_supported"] is True
    assert document["authorization_response_iss_parameter_supported"] is True
    assert "offline_access" not in document["scopes_supported"]


def test_b_meta_3_there_is_no_openid_configuration(instance):
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/mcp",
                 "/.well-known/oauth-protected-resource", "/.well-known/"):
        reply = instance.get(path)
        assert reply.status_code == 404 and reply.json()["error"] == "not-found", path


def test_b_meta_5_scripts_of_any_origin_may_ask_the_endpoints_and_none_the_pages(instance):
    headers = {"Origin": "https://client.example", "Access-Control-Request-Method": "POST",
               "Access-Control-Request-Headers": "authorization, mcp-protocol-version"}
    for path in ("/token", "/register", "/revoke", "/.well-known/oauth-authorization-server"):
        reply = instance.request("OPTIONS", path, headers=headers)
        assert reply.status_code == 204 and reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "MCP-Protocol-Version" in reply.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in reply.headers
    assert instance.post("/token", data={}, headers=headers).headers["Access-Control-Allow-Origin"] == "*"
    for path in ("/authorize", "/connect", "/api/authorize", "/api/me", "/introspect", "/vault"):
        for method in ("GET", "OPTIONS"):
            assert "Access-Control-Allow-Origin" not in instance.request(method, path, headers=headers).headers, path


def test_b_meta_1_metadata_is_served_while_no_worker_answers(fresh):
    instance = fresh(double=False).serve()
    assert instance.get("/.well-known/oauth-authorization-server").json()["issuer"] == instance.origin
    assert instance.get("/.well-known/oauth-protected-resource/mcp").json()["resource"] == f"{instance.origin}/mcp"
    for path in ("/token", "/register", "/revoke", "/introspect"):
        reply = instance.post(path, data={"grant_type": "x"})
        assert reply.status_code == 503 and "json" in reply.headers["Content-Type"] and reply.headers["Retry-After"]
