"""docs/openapi.yaml says what is there: the routes, the closed lists, and every answer that is seen."""

import base64
import hashlib
import re

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode

from harness.authenticator import Authenticator
from harness.contract import DOCUMENT, METHODS, Contract
from harness.instance import ROOT
from harness.oauth import Client, command_line
from harness.people import NAVIGATION, SAME_ORIGIN, Person, Plugin

CONTRACT = Contract()
SCHEMAS = DOCUMENT["components"]["schemas"]
LINK = {"owner": "toolshed", "bridge": "github", "scope": "repo"}


def test_the_document_is_valid_openapi():
    validate(DOCUMENT)


def test_the_document_is_served_as_json_also_while_no_worker_answers(instance, fresh):
    reply = instance.get("/api/openapi.json")
    assert reply.status_code == 200 and reply.headers["Content-Type"] == "application/json"
    assert reply.json() == DOCUMENT and reply.json()["openapi"].startswith("3.1.")
    assert fresh(double=False).serve().get("/api/openapi.json").json() == DOCUMENT


# Against the sources


def routes() -> dict[str, set[str]]:
    """Path and methods of every row of Router.swift."""
    source = (ROOT / "Sources/Gateway/Router.swift").read_text()
    found: dict[str, set[str]] = {}
    labels, outer = "", ""
    for label, methods in re.findall(r'case ([^:\n]*"[^:\n]*):|exchange,\s*"([A-Z, ]+)"', source):
        if label:
            labels = label
            outer = label if label.startswith("(") else outer
            continue
        for part in re.findall(r'\(\d, "api", "([a-z]+)"\)', labels) or re.findall(r'"([^"]+)"', labels):
            path = part if part.startswith("/") else f"/api/{part}/{{id}}"
            below = re.search(r'\(4, "api", "([a-z-]+)"\)', outer)
            if below and not part.startswith("/") and not labels.startswith("("):
                name = below.group(1)
                path = f"/api/{name}/{{{'provider' if name in ('auth', 'sign-in') else 'id'}}}/{part}"
            found[path] = set(methods.split(", "))
    # The callback of what can be no provider's name, which answers as that of an unknown one.
    assert found.pop("/api/auth/{id}") == {"GET"}
    return found


def test_every_route_is_in_the_document_and_the_reverse():
    documented = {path: {method.upper() for method in item if method in METHODS} for path, item in DOCUMENT["paths"].items()}
    assert routes() == documented


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_a_method_that_is_not_documented_is_refused_with_those_that_are(instance, path):
    concrete = path.replace("{provider}", "github")
    for name in re.findall(r"/(\w+)/\{id\}", path):
        letters = {"sessions": "s", "keys": "s", "passkeys": "w", "clients": "g"}
        concrete = concrete.replace("{id}", letters.get(name, name[0]) + "_" + "A" * 22)
    reply = instance.request("PUT", concrete, json={}, headers=NAVIGATION)
    assert reply.status_code == 405 and reply.json()["error"] == "method-not-allowed"
    documented = {method.upper() for method in DOCUMENT["paths"][path] if method in METHODS}
    assert set(reply.headers["Allow"].split(", ")) == documented | ({"HEAD"} if "GET" in documented else set())


def cases(file: str, name: str) -> set[str]:
    """The raw values of a Swift enum of strings."""
    body = re.search(rf"enum {name}: String[^{{]*\{{(.*?)\n\s*(?:\}}|public|var|func|static)", (ROOT / file).read_text(), re.S).group(1)
    values = re.findall(r"(?m)^\s*case (.+)$", re.sub(r"//.*", "", body))
    return {(re.search(r'"(.+)"', value) or re.search(r"`?(\w+)`?", value)).group(1) for line in values for value in line.split(",")}


@pytest.mark.parametrize("schema, file, name", [
    ("OutcomeStatus", "Sources/Vault/Outcomes.swift", "OutcomeStatus"),
    ("Event", "Sources/Vault/AuditLog.swift", "AuditEvent"),
    ("ApprovalStatus", "Sources/Vault/Approvals.swift", "ApprovalStatus"),
    ("HolderKind", "Sources/Vault/Slots.swift", "HolderKind"),
    ("NeedReason", "Sources/Broker/Refusal.swift", "Reason"),
    ("NextStep", "Sources/Broker/Report.swift", "ReportAdvice"),
    ("Risk", "Sources/Providers/ScopeVocabulary.swift", "Risk"),
])
def test_a_closed_list_is_the_sources_list(schema, file, name):
    source = "AuthorizationRequired" if schema == "NeedReason" else None
    if source:
        text = (ROOT / file).read_text().split("struct AuthorizationRequired")[1]
        assert set(re.findall(r'case \w+ = "([a-z-]+)"', text.split("}")[0])) == set(SCHEMAS[schema]["enum"])
    else:
        assert cases(file, name) == set(SCHEMAS[schema]["enum"])


def test_every_problem_code_is_in_the_document_and_the_reverse():
    source = (ROOT / "Sources/Gateway/Problem.swift").read_text()
    codes = set(re.findall(r'(?:\b\d{3},|\.retry\()\s*"([a-z-]+)"', source))
    assert codes == set(SCHEMAS["ProblemCode"]["enum"])
    # Each has a schema, and each schema belongs to an answer.
    assert codes == {schema["properties"]["error"]["const"] for schema in SCHEMAS.values() if "allOf" in schema}


# Against the running instance


@pytest.fixture(scope="module")
def stock(instance):
    """A person with a connection, a pending request and an outcome; what generated requests may name."""
    instance.double.reset()
    person, plugin = Person(instance), Plugin(instance)
    arrived = person.connect(LINK)
    key = person.api_key()
    cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in person.http.cookies)
    leaving, stopping = Person(instance), Person(instance)
    callers = {
        "nobody": {}, "plugin": {"Authorization": f"Bearer {plugin.key}"}, "key": {"Authorization": f"Bearer {key.key}"},
        "session": {"Cookie": cookie},
        # Its own session, to be ended.
        "POST /api/sign-out": {"Cookie": f"__Host-toolshed={leaving.http.cookies['__Host-toolshed']}"},
        "POST /api/vault/stop": {"Cookie": f"__Host-toolshed={stopping.http.cookies['__Host-toolshed']}"},
    }
    names = {
        "/api/requests/{id}": plugin.link("github", ["gist"], user=person)["requestId"],
        "/api/outcomes/{id}": arrived.headers["Location"].split("#")[1],
        "/api/connections/{id}": person.connections()[0]["id"],
    }
    return callers, names, person


def asked():
    """Every operation with what fits it, and with what does not where anything in it could be wrong and the caller
    comes as far as that."""
    for label, operation in CONTRACT.operations.items():
        for caller in ("nobody", "plugin", "key", "session"):
            yield pytest.param(label, caller, GenerationMode.POSITIVE, id=f"{label}, valid, {caller}")
        if operation.body or operation.query or operation.path_parameters:
            for caller in ("plugin", "session"):
                yield pytest.param(label, caller, GenerationMode.NEGATIVE, id=f"{label}, invalid, {caller}")


@pytest.mark.parametrize("label, caller, mode", list(asked()))
def test_generated_requests_are_answered_as_documented(instance, stock, label, caller, mode):
    operation = CONTRACT.operations[label]
    callers, names, person = stock
    headers = callers[label if caller == "session" and label in callers else caller] | (
        NAVIGATION if "/auth/" in label else SAME_ORIGIN)

    @settings(max_examples=4, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(mode))
    def ask(case):
        case.cookies = {}
        if mode == GenerationMode.POSITIVE and operation.method != "delete" and operation.path in names:
            case.path_parameters["id"] = names[operation.path]
        if label == "POST /api/tokens/vend" and isinstance(case.body, dict) and "userId" in case.body:
            case.body["userId"] = person.user_id
        reply = case.call(base_url=instance.origin, headers=headers, verify=instance.ca, timeout=30, allow_redirects=False)
        # Nothing is broken here, so nothing may be said to be.
        assert reply.status_code < 500, reply.text
        CONTRACT.check(case, reply)

    ask()


@pytest.fixture
def held(instance, double):
    """People and plugins whose every answer is held to the document."""
    def hold(one):
        one.http.hooks["response"].append(CONTRACT.hold)
        return one
    return hold


def test_every_success_and_the_common_refusals_are_as_documented(instance, held):
    person, plugin = held(Person(instance, signed_in=False)), held(Plugin(instance))
    person.sign_in()
    assert person.post("/api/sign-in/invitation", {"code": "tsi_no"}).status_code == 403
    for path in ("/healthz", "/readyz", "/metrics", "/api/me", "/api/providers", "/api/sessions"):
        assert person.get(path).status_code == 200

    # Ask, poll, decline, ask again, withdraw.
    assert plugin.post("/api/person-keys", {"userId": person.user_id}).status_code == 204
    assert plugin.post("/api/person-keys", {"userId": f"u_{'A' * 21}w"}).status_code == 403
    need = plugin.link("github", ["repo"], user=person, reason="list", tool="issues.list")
    assert [plugin.get(f"/api/requests/{need['requestId']}").status_code for _ in range(2)] == [200, 429]
    assert held(Person(instance)).asked(need["authorizationUrl"]).status_code == 403
    assert person.get("/api/requests").json()["requests"][0]["link"]
    person.decide(need["authorizationUrl"], "decline")
    assert person.get("/api/declines").json()["declines"]
    assert plugin.vend("github", ["repo"], user=person).json()["error"] == "scope-declined"
    assert person.delete("/api/declines", params={"caller": plugin.id, "provider": "github"}).status_code == 204
    need = plugin.link("github", ["gist"], user=person)
    assert plugin.call("DELETE", f"/api/requests/{need['requestId']}").status_code == 204

    # Connect, with every stop on the way.
    need = plugin.link("github", ["notifications"], user=person)
    location = person.decide(need["authorizationUrl"]).json()["location"]
    callback = instance.double.decide(person.login(location))
    bare = held(Person(instance, signed_in=False))
    assert bare.navigate(callback, site="cross-site").status_code == 200
    arrived = person.navigate(callback, site="cross-site").headers["Location"]
    assert person.get(f"/api/outcomes/{arrived.split('#')[1]}").json()["status"] == "connected"
    assert plugin.token("github", ["notifications"], user=person)["accessToken"]

    # A second account, kept; then a choice.
    outcome = person.connect(LINK, account="mallory").headers["Location"].split("#")[1]
    form = person.get(f"/api/outcomes/{outcome}").json()["formToken"]
    assert person.post(f"/api/outcomes/{outcome}", {"decision": "keep", "formToken": form}).status_code == 200
    assert person.post(f"/api/outcomes/{outcome}", {"decision": "keep", "formToken": form}).status_code == 409
    key = held(person.api_key())
    assert key.vend("github").status_code == 409
    connections = person.connections()
    for change in ({"default": True}, {"backgroundRefresh": True}, {"backgroundRefresh": False}):
        assert person.call("PATCH", f"/api/connections/{connections[0]['id']}", change).status_code == 204
    assert key.token("github")["connection"]["id"] == connections[0]["id"]

    token = key.token("github")
    digest = base64.urlsafe_b64encode(hashlib.sha256(token["accessToken"].encode()).digest()).decode().rstrip("=")
    report = {"connection": token["connection"]["id"], "tokenHash": digest, "status": 401}
    assert [key.post("/api/tokens/report", report).json()["next"] for _ in range(2)] == ["retry", "wait"]

    # What is shown and taken away.
    for path in ("/api/connections?limit=1", "/api/keys", "/api/plugins", "/api/activity?limit=5"):
        assert key.get(path).status_code == 200
    made = person.post("/api/plugins", {"name": f"Own of {person.user_id}"}).json()
    own = made["id"]
    limits = {"providers": ["github"], "scopes": {"github": ["repo"]}, "ratePerMinute": 60,
              "calls": [{"provider": "github", "methods": ["GET"], "path": "/repos"}]}
    assert person.call("PATCH", f"/api/plugins/{own}", {"muted": False, "limits": limits}).status_code == 204
    assert person.post(f"/api/plugins/{own}/key", {"key": made["key"]}).status_code == 201
    assert person.get("/api/plugins").status_code == 200
    assert person.delete(f"/api/plugins/{own}/key").status_code == 204
    assert person.post(f"/api/connections/{connections[0]['id']}/replace").status_code == 200
    assert person.post("/api/plugins", {"name": f"Own of {person.user_id}"}).status_code == 409
    assert person.delete(f"/api/plugins/{own}").status_code == 200
    assert person.delete(f"/api/plugins/{plugin.id}").json()["connections"]
    assert person.delete(f"/api/connections/{connections[0]['id']}").status_code == 200
    assert person.delete(f"/api/keys/{key.id}").status_code == 204
    assert key.get("/api/me").status_code == 401

    # An OAuth client, with its whole life.
    client = Client(instance, token_endpoint_auth_method="client_secret_post", hold=CONTRACT.hold)
    client.log_in(person).renew()
    assert client.is_live() and client.revoke(client.tokens["refresh_token"]).status_code == 200
    device = command_line(instance)
    device.hold = CONTRACT.hold
    assert device.approve_device(person, device.begin_device().json()["user_code"]).status_code == 204
    device.log_in(person)
    assert person.delete(f"/api/clients/{person.get('/api/clients').json()['clients'][0]['id']}").status_code == 204

    # Another browser with a vault of its own, linked; a key that was lost; the code tried.
    apart = held(person.elsewhere())
    offer = person.post("/api/vault/link", {"step": "offer"}).json()
    assert apart.post("/api/vault/link", {"step": "claim", "code": offer["code"]}).status_code == 200
    assert person.post("/api/vault/link", {"step": "seal", "id": offer["id"]}).status_code == 200
    digest = apart.get("/api/vault/link").json()["offers"][0]["digest"]
    assert apart.post("/api/vault/link", {"step": "accept", "id": offer["id"], "digest": digest}).status_code == 200
    assert apart.post("/api/vault/link", {"step": "claim", "code": "00000000"}).status_code == 404
    lost = person.api_key().id
    assert person.post("/api/vault/lost", {"holder": lost}).status_code == 200
    assert person.delete("/api/vault/lost", params={"holder": lost}).status_code == 204
    assert person.get("/api/vault").status_code == 200
    assert person.post("/api/vault/recovery/check", {"code": "tsr_"}).status_code == 200

    # Recovery from elsewhere, and the end.
    code = person.post("/api/vault/recovery").json()["code"]
    elsewhere = held(Person(instance, signed_in=False))
    assert elsewhere.post("/api/sign-in/recovery", {"code": code}).status_code == 200
    session = elsewhere.get("/api/me").json()["sessionId"]
    assert person.delete(f"/api/sessions/{session}").status_code == 204
    held(Person(instance, signed_in=False)).sign_in_as("named by nginx")
    for bounced in (False, True):
        visitor = held(Person(instance, signed_in=False))
        callback = instance.double.decide(visitor.post("/api/sign-in/corp/start").json()["location"])
        if bounced:
            visitor.http.cookies.clear()
        assert visitor.navigate(callback, site="cross-site").status_code == (200 if bounced else 303)
        if not bounced:
            assert visitor.post("/api/sign-in/corp/confirm").status_code == 200
    device, passkeys = Authenticator(instance), held(Person(instance, signed_in=False))
    assert device.register(person).status_code == 201 and device.show(passkeys).status_code == 200
    assert passkeys.get("/api/sign-in/methods").json()["passkey"] is True
    device.counter -= 1
    assert device.show(passkeys).status_code == 403
    (listed,) = passkeys.get("/api/passkeys").json()["passkeys"]
    assert person.call("PATCH", f"/api/passkeys/{listed['id']}", {"name": "Laptop"}).status_code == 204
    assert person.delete(f"/api/passkeys/{listed['id']}").status_code == 204
    assert device.show(passkeys).status_code == 400
    assert person.post("/api/vault/lock").status_code == 200
    assert person.post("/api/vault/stop").status_code == 200
    assert person.post("/api/sign-out", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert person.post("/api/sign-out").status_code == 204

    other = held(Plugin(instance))
    for body, status in (({"provider": "github", "userId": "u_unknown"}, 403), ({"provider": "nowhere"}, 400),
                         ({"provider": "nowhere", "userId": person.user_id}, 404),
                         ({"provider": "notion", "userId": person.user_id}, 424)):
        assert other.post("/api/tokens/vend", body).status_code == status
    for sent, status in (({"data": "{}"}, 415), ({"data": b" " * 17_000}, 413)):
        assert other.call("POST", "/api/tokens/vend", **sent).status_code == status
    assert other.get("/api/providers?" + "a" * 9000).status_code == 414
    assert CONTRACT.successes() <= CONTRACT.seen, CONTRACT.successes() - CONTRACT.seen


def test_a_link_that_could_not_be_opened_is_not_given_out(person, plugin):
    many = [f"{'x' * 250}{number}" for number in range(4)]
    assert person.asked(plugin.link("github", many, user=person)["authorizationUrl"]).status_code == 200
    refused = plugin.vend("github", [*many, "y" * 250], user=person)
    assert refused.status_code == 400 and refused.json()["errors"][0]["member"] == "scopes"


def test_what_says_nothing_is_refused_by_name(person):
    for path in ("/api/keys", "/api/plugins"):
        refused = person.post(path, {"name": "\u0007 \u202e"})
        assert refused.status_code == 400 and refused.json()["errors"][0]["member"] == "name"
    unchanged = person.call("PATCH", "/api/connections/c_" + "A" * 22, {})
    assert unchanged.status_code == 400 and unchanged.json()["errors"][0]["member"] == "body"


def test_schemes_and_media_types_are_read_without_regard_to_case(plugin):
    headers = {"Authorization": f"BEARER {plugin.key}", "Content-Type": "Application/JSON; charset=utf-8"}
    for path in ("/api/tokens/vend", "/api/tokens/report"):
        reply = plugin.instance.post(path, data="{}", headers=headers)
        assert reply.status_code == 400, "understood, and wrong only for what is missing"
