"""A second person reaches nothing of the first, by any route: what is tried comes from docs/openapi.yaml.

Every parameter and every member of a body that is an identifier is given each identifier of the first person that has its
form, by each kind of caller of the second; the answer must be that to an identifier that nobody has.
"""

import json
import re

import pytest

from harness.authenticator import Authenticator
from harness.contract import DOCUMENT, METHODS
from harness.database import Database
from harness.oauth import Client
from harness.people import Bearer, Person, Plugin

UNKNOWN = "A" * 22
SECRETS = ("Ada's own label", "ada-reason", "ada-tool", "Ada Only", "octo")
SAYS_WRONG_PERSON = {("/api/connect", "request")}
# They are about the caller alone, and would end it.
ABOUT_ONESELF = ("/api/sign-out", "/api/vault/stop")
# What differs from one answer to the next.
CHANGING = ("requestId", "authorizationUrl", "statusUrl", "matchCode", "expiresIn", "digest", "formToken", "until", "interval")


def resolved(schema: dict) -> dict:
    while "$ref" in schema:
        node = DOCUMENT
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        schema = node
    return schema


def prefixes(schema: dict) -> set[str]:
    """The kinds of identifiers that fit: `c_`, `s_`, …"""
    schema = resolved(schema)
    found = set(re.findall(r"^\^([a-z]_)", schema.get("pattern", "")))
    for each in schema.get("oneOf", []):
        found |= prefixes(each)
    return found


def example(schema: dict):
    """Something that fits, as simple as can be."""
    schema = resolved(schema)
    for key in ("example", "const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    if "oneOf" in schema:
        return example(schema["oneOf"][0])
    if kinds := prefixes(schema):
        return kinds.pop() + UNKNOWN
    kind = schema.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: example(value) for name, value in schema.get("properties", {}).items() if name in schema.get("required", [])}
    return {"string": "github" if "pattern" in schema else "x", "integer": schema.get("minimum", 1), "boolean": True, "array": []}[kind]


def places():
    """Every place of an identifier: operation, where it stands, and its kinds."""
    for path, item in DOCUMENT["paths"].items():
        shared = [resolved(parameter) for parameter in item.get("parameters", [])]
        for method in item:
            if method not in METHODS or path in ABOUT_ONESELF:
                continue
            parameters = shared + [resolved(parameter) for parameter in item[method].get("parameters", [])]
            for parameter in parameters:
                if kinds := prefixes(parameter["schema"]):
                    yield path, method, (parameter["in"], parameter["name"]), sorted(kinds)
            for name, schema in body_schema(item[method]).get("properties", {}).items():
                # An account is chosen by its name, or by the id of its connection.
                if kinds := {"c_"} if name == "account" else prefixes(schema):
                    yield path, method, ("body", name), sorted(kinds)


def body_schema(operation: dict) -> dict:
    body = resolved(operation.get("requestBody", {}))
    return resolved(body.get("content", {}).get("application/json", {}).get("schema", {}))


def asked(path: str, method: str, place: tuple[str, str], identifier: str) -> dict:
    """The request with this identifier at this place, and with what else it needs."""
    item = DOCUMENT["paths"][path]
    operation, query = item[method], {}
    for parameter in map(resolved, item.get("parameters", []) + operation.get("parameters", [])):
        is_it = place == (parameter["in"], parameter["name"])
        value = identifier if is_it else example(parameter["schema"])
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(value))
        elif is_it or parameter.get("required"):
            query[parameter["name"]] = value
    made = {"method": method.upper(), "path": path, "params": query}
    if schema := body_schema(operation):
        body = example(schema)
        if schema.get("minProperties") and not body:
            body = dict([next((name, example(value)) for name, value in schema["properties"].items())])
        made["body"] = body | ({place[1]: identifier} if place[0] == "body" else {})
    return made


def send(caller, request: dict):
    return caller.call(request["method"], request["path"], request.get("body"), params=request["params"])


def shape(reply) -> tuple:
    """What the answer says, without what is new each time."""
    try:
        said = reply.json()
    except ValueError:
        said = reply.text
    if isinstance(said, dict):
        said = {name: "…" if name in CHANGING else value for name, value in said.items()}
    return reply.status_code, json.dumps(said, sort_keys=True)


@pytest.fixture(scope="module")
def ada(instance):
    """Somebody with something of every kind, and what it is called."""
    instance.double.reset()
    person, plugin = Person(instance, "Ada Only"), Plugin(instance)
    arrived = person.connect(plugin.link("github", ["repo"], user=person, reason="ada-reason", tool="ada-tool")["authorizationUrl"])
    plugin.token("github", ["repo"], user=person, reason="ada-reason", tool="ada-tool")
    connection = person.connections()[0]["id"]
    assert person.call("PATCH", f"/api/connections/{connection}", {"label": "Ada's own label"}).status_code == 204
    own = person.post("/api/plugins", {"name": f"Own of {person.user_id}"}).json()
    person.decide(plugin.link("slack", ["chat:write"], user=person)["authorizationUrl"], "decline")
    assert Authenticator(instance).register(person).status_code == 201
    Client(instance).log_in(person)
    waiting = plugin.link("github", ["gist"], user=person, reason="ada-reason")["requestId"]
    ids = {person.user_id, person.api_key().id, own["id"], waiting, arrived.headers["Location"].split("#")[1], connection}
    # And whatever else her own lists name.
    for path, item in DOCUMENT["paths"].items():
        if "get" in item and "{" not in path and path.startswith("/api/"):
            ids |= set(re.findall(r'"([a-z]_[A-Za-z0-9_-]{22})"', person.get(path).text))
    # The operator's plugins are everybody's, by their names.
    plugins = person.plugins()
    everybodys = {entry["id"] for entry in plugins if entry["addedBy"] == "operator"}
    return person, ids - everybodys, Bearer(instance, own["key"], own["id"])


def second_person(instance) -> dict:
    """Browser, key, and a plugin of their own."""
    eve = Person(instance, "Eve")
    own = eve.post("/api/plugins", {"name": f"Own of {eve.user_id}"}).json()
    return {"browser": eve, "key": eve.api_key(), "own plugin": Bearer(instance, own["key"], own["id"])}


@pytest.fixture(scope="module")
def callers(instance):
    return second_person(instance)


@pytest.fixture(scope="module")
def bystander(instance):
    """Who has not tried anything: what one names oneself is in one's own lists."""
    return second_person(instance)


@pytest.mark.parametrize("path, method, place, kinds", [
    pytest.param(*each, id=f"{each[1].upper()} {each[0]} {each[2][1]}") for each in places()])
def test_what_is_hers_is_as_good_as_invented(instance, ada, callers, path, method, place, kinds):
    _, ids, _ = ada
    hers = [identifier for identifier in ids if identifier[:2] in kinds]
    if not hers:
        pytest.skip(f"she has nothing of the kinds {kinds}")
    with Database(instance).unchanged("connection", "slot", "plugin", "approval", "outcome", "vault"):
        for name, caller in callers.items():
            for identifier in hers:
                invented = shape(send(caller, asked(path, method, place, identifier[:2] + UNKNOWN)))
                theirs = send(caller, asked(path, method, place, identifier))
                if (path, place[1]) in SAYS_WRONG_PERSON and name == "browser":
                    # Who opens another's link is told that it is not for them, and nothing else (api.md "Connecting").
                    assert theirs.status_code == 403 and theirs.json()["error"] == "owner-mismatch"
                    assert set(theirs.json()) == {"type", "error", "title", "status", "detail"}
                else:
                    assert shape(theirs) == invented, name
                # Nor is a refusal for the rest of the request all there was to it.
                assert theirs.status_code != 415 and not any(secret in theirs.text for secret in SECRETS), theirs.text


@pytest.mark.parametrize("path", [path for path, item in DOCUMENT["paths"].items() if "get" in item and "{" not in path])
def test_no_list_or_page_of_the_second_person_names_anything_of_the_first(ada, bystander, path):
    person, ids, _ = ada
    for name, caller in bystander.items():
        for query in ({}, {"limit": 500}, {"userId": person.user_id}, {"person": person.user_id}):
            said = caller.get(path, params=query).text
            assert not [identifier for identifier in ids if identifier in said], name
            assert not [secret for secret in SECRETS if secret in said], name


def test_after_all_of_it_everything_of_the_first_is_as_it_was(ada):
    person, _, own = ada
    [connection] = person.connections()
    assert (connection["status"], connection["label"], connection["backgroundRefresh"]) == ("active", "Ada's own label", False)
    assert person.get("/api/requests").json()["requests"][0]["reason"] == "ada-reason"
    assert person.get("/api/declines").json()["declines"]
    assert own.link("github", ["repo"], user=person)["reason"] == "not-connected"
    assert {entry["event"] for entry in person.get("/api/activity").json()["activity"]} >= {"vended", "connected"}
