"""/mcp by hand: what a client may send and what it gets, message by message. test_mcp_sdk.py has the real clients."""

import json
from urllib.parse import urlsplit

import pytest

from harness.answers import assert_headers, assert_problem
from harness.instance import Instance
from harness.oauth import Client
from harness.people import Bearer, Person, Plugin, mistyped
from harness.upstream import Upstream, raw, reply as answer
from harness.waiting import until

VERSIONS = ["2025-06-18", "2025-11-25", "2026-07-28"]
URLS = {"elicitation": {"form": {}, "url": {}}}
META = "io.modelcontextprotocol/"


class Agent:
    """An MCP client with a token, at one revision."""

    def __init__(self, instance: Instance, token: str, version: str = "2026-07-28", capabilities: dict | None = None):
        self.instance, self.token, self.version, self.capabilities = instance, token, version, capabilities or {}
        self.session, self.id = None, 0
        if version < "2026":
            reply = self.post("initialize", {"protocolVersion": version, "capabilities": self.capabilities,
                                             "clientInfo": {"name": "test", "version": "1"}})
            assert reply.status_code == 200 and reply.json()["result"]["protocolVersion"] == version, reply.text
            self.session = reply.headers.get("Mcp-Session-Id")
            assert self.raw({"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202

    def headers(self, method: str | None = None, name: str | None = None) -> dict:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json",
                   "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": self.version}
        if self.version >= "2026":
            headers |= {"Mcp-Method": method} | ({"Mcp-Name": name} if name else {}) if method else {}
        if self.session:
            headers["Mcp-Session-Id"] = self.session
        return headers

    def raw(self, body, **changed):
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        headers = {key: value for key, value in (self.headers() | changed).items() if value is not None}
        return self.instance.post("/mcp", data=data, headers=headers)

    def post(self, method: str, params: dict | None = None):
        self.id += 1
        params = dict(params or {})
        if self.version >= "2026":
            params["_meta"] = {f"{META}protocolVersion": self.version, f"{META}clientCapabilities": self.capabilities}
        name = params.get("name") if method == "tools/call" else None
        return self.raw({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}, **self.headers(method, name))

    def result(self, method: str, params: dict | None = None) -> dict:
        reply = self.post(method, params)
        assert reply.status_code == 200 and reply.headers["Content-Type"] == "application/json", reply.text
        body = reply.json()
        assert body["jsonrpc"] == "2.0" and body["id"] == self.id and "error" not in body, body
        if self.version >= "2026":
            assert body["result"]["resultType"] in ("complete", "input_required")
        return body["result"]

    def tool(self, name: str, **arguments) -> dict:
        return self.result("tools/call", {"name": name, "arguments": arguments})

    def done(self, name: str, **arguments) -> dict:
        """A tool that succeeds."""
        result = self.tool(name, **arguments)
        assert not result["isError"], result
        assert result["content"][0]["type"] == "text"
        return result["structuredContent"]

    def refused(self, name: str, **arguments) -> dict:
        result = self.tool(name, **arguments)
        assert result["isError"], result
        return result["structuredContent"]


class Place:
    def __init__(self):
        self.instance, self.upstream = Instance(), Upstream()
        self.instance.provide("upstream", self.upstream.provider(self.instance.double.port))
        self.instance.start()

    def person(self, scope: str | None = "read") -> Person:
        person = Person(self.instance)
        if scope:
            person.connect({"owner": "toolshed", "bridge": "upstream", "scope": scope})
        return person

    def client(self, person: Person) -> Client:
        return Client(self.instance).log_in(person)

    def agent(self, person: Person, version: str = "2026-07-28", capabilities: dict | None = None) -> Agent:
        return Agent(self.instance, self.client(person).tokens["access_token"], version, capabilities)


@pytest.fixture(scope="module")
def place():
    made = Place()
    try:
        yield made
    finally:
        made.upstream.close()
        made.instance.end()


@pytest.fixture(scope="module")
def person(place):
    return place.person()


@pytest.fixture(scope="module")
def client(place, person):
    return place.client(person)


@pytest.fixture(params=VERSIONS)
def agent(request, place, client):
    return Agent(place.instance, client.tokens["access_token"], request.param)


# Who may call


def challenge(reply, status: int) -> dict:
    """B-CHAL: Bearer first and alone, parameters quoted; no problem of ours besides."""
    assert reply.status_code == status, reply.text
    value = reply.headers["WWW-Authenticate"]
    assert value.startswith("Bearer ") and value.count("Bearer") == 1
    parameters = dict(part.split("=", 1) for part in value.removeprefix("Bearer ").split(", "))
    assert all(part.startswith('"') and part.endswith('"') for part in parameters.values()), value
    return {name: part.strip('"') for name, part in parameters.items()}


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_without_a_credential_the_challenge_says_where_to_begin(place, method):
    reply = place.instance.request(method, "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "server/discover"})
    said = challenge(reply, 401)
    assert said == {"resource_metadata": f"{place.instance.origin}/.well-known/oauth-protected-resource/mcp", "scope": "vault:use"}
    metadata = place.instance.get(urlsplit(said["resource_metadata"]).path).json()
    assert metadata["resource"] == f"{place.instance.origin}/mcp"
    assert reply.headers["Cache-Control"] == "no-store"


def test_a_bad_token_is_told_apart(place, person, client):
    cookie = person.http.cookies["__Host-toolshed"]
    for credential in ("Bearer nonsense", "Basic eA==", "Bearer " + mistyped(client.tokens["access_token"]), f"Bearer {cookie}",
                       "Bearer " + client.tokens["refresh_token"]):
        said = challenge(place.instance.post("/mcp", json={}, headers={"Authorization": credential}), 401)
        assert said["error"] == "invalid_token" and "resource_metadata" in said and "scope=" not in said["error_description"]
    cookie_only = place.instance.post("/mcp", json={}, headers={"Cookie": f"__Host-toolshed={cookie}", "Sec-Fetch-Site": "same-origin"})
    assert "error" not in challenge(cookie_only, 401)


def test_a_revoked_token_ends_at_once(place):
    person = place.person()
    client = place.client(person)
    agent = Agent(place.instance, client.tokens["access_token"])
    agent.result("tools/list")
    client.revoke(client.tokens["access_token"])
    assert challenge(agent.post("tools/list"), 401)["error"] == "invalid_token"


def test_a_token_of_another_scope_is_told_which_it_needs(place, person):
    client = Client(place.instance)
    client.log_in(person)
    agent = Agent(place.instance, client.tokens["access_token"])
    # As a scope of later might be; today an agent is given no other.
    grant = "(SELECT id FROM client_grant WHERE client = ?)"
    place.instance.sql(f"UPDATE client_token SET scope = 'vault:manage' WHERE client_grant IN {grant}", client.id)
    said = challenge(agent.post("tools/list"), 403)
    assert said["error"] == "insufficient_scope" and said["scope"] == "vault:use"


def test_the_token_is_good_nowhere_else(place, client):
    headers = {"Authorization": f"Bearer {client.tokens['access_token']}"}
    assert_problem(place.instance.post("/api/tokens/vend", json={"provider": "upstream"}, headers=headers), 403, "not-permitted")
    assert place.instance.get("/proxy/upstream/items", headers=headers).json()["error"] == "not-permitted"
    assert place.instance.get("/api/connections", headers=headers).status_code == 403


def test_a_persons_own_key_may_call_and_a_plugins_may_not(place, person):
    key = person.api_key()
    assert Agent(place.instance, key.key).done("list_connections")["connections"][0]["provider"] == "upstream"
    plugin = Plugin(place.instance)
    reply = Agent(place.instance, plugin.key).post("tools/list")
    assert reply.status_code == 403 and "WWW-Authenticate" not in reply.headers


def test_a_page_of_another_origin_is_no_client(place, client):
    agent = Agent(place.instance, client.tokens["access_token"])
    for origin in ("https://evil.example", "null", "https://localhost"):
        assert agent.raw({}, Origin=origin).json()["error"] == "cross-site"
    own = agent.raw({"jsonrpc": "2.0", "method": "notifications/x"}, Origin=place.instance.origin)
    assert own.status_code == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_there_is_no_stream_and_no_session_to_end(place, client, method):
    reply = place.instance.request(method, "/mcp", headers={"Authorization": f"Bearer {client.tokens['access_token']}"})
    assert reply.status_code == 405 and reply.headers["Allow"] == "POST"


# Messages


@pytest.mark.parametrize("body, code", [
    ("", -32700), ("{", -32700), (b"\xff", -32700), ('{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32700), ("[" * 200, -32700),
    ("[]", -32600), ('[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600), ("1", -32600), ("{}", -32600),
    ('{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600), ('{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
    ('{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32600)])
def test_what_is_no_message_is_an_error_of_json_rpc(agent, body, code):
    reply = agent.raw(body)
    assert reply.status_code == 400 and reply.json()["error"]["code"] == code, reply.text
    assert reply.json()["id"] is None and reply.headers["Content-Type"] == "application/json"
    assert_headers(reply)


def test_a_body_that_is_no_json_by_its_type_or_too_long(agent):
    assert_problem(agent.raw("{}", **{"Content-Type": "text/plain"}), 415, "unsupported-media-type")
    assert_problem(agent.raw("{" + " " * 65_536), 413, "too-large")
    long = agent.raw(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "nothing", "params": {"x": "y" * 60_000}}))
    assert long.json()["error"]["code"] in (-32601, -32602)


def test_giant_headers_are_refused_and_nobody_else_notices(agent):
    reply = agent.raw({}, **{"X-Giant": "y" * 9000})
    assert reply.status_code == 400 and reply.headers["Content-Type"] == "application/problem+json"
    agent.result("tools/list")


def test_methods_that_are_not_there(agent):
    status = 404 if agent.version >= "2026" else 200
    for method in ("prompts/list", "resources/read", "nonsense", "sampling/createMessage"):
        reply = agent.post(method)
        assert reply.status_code == status and reply.json()["error"]["code"] == -32601


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2027-01-01", "nonsense"])
def test_wrong_versions_are_told_the_right_ones(place, client, version):
    agent = Agent(place.instance, client.tokens["access_token"])
    agent.version = version
    reply = agent.raw({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    error = reply.json()["error"]
    assert reply.status_code == 400 and error["code"] == -32022
    assert error["data"] == {"supported": VERSIONS[::-1], "requested": version}


def test_an_old_handshake_is_answered_with_what_we_speak(place, client):
    agent = Agent(place.instance, client.tokens["access_token"])
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2024-11-05", "capabilities": {}}}
    reply = agent.raw(body, **{"MCP-Protocol-Version": None})
    assert reply.json()["result"]["protocolVersion"] == "2025-11-25"
    assert "Mcp-Session-Id" not in reply.headers, "nothing to remember"


def test_headers_and_message_say_the_same(place, client):
    agent = Agent(place.instance, client.tokens["access_token"])
    meta = {f"{META}protocolVersion": "2026-07-28", f"{META}clientCapabilities": {}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "find_api", "arguments": {"query": "x"}, "_meta": meta}}
    right = {"Mcp-Method": "tools/call", "Mcp-Name": "find_api"}
    assert agent.raw(body, **right).status_code == 200
    for wrong in ({"Mcp-Method": "tools/list"}, {"Mcp-Name": "call_api"}, {"Mcp-Name": None}, {"MCP-Protocol-Version": "2025-11-25"},
                  {"MCP-Protocol-Version": None}):
        reply = agent.raw(body, **(right | wrong))
        assert reply.status_code == 400 and reply.json()["error"]["code"] == -32020, wrong
    for without in (f"{META}protocolVersion", f"{META}clientCapabilities"):
        less = {"jsonrpc": "2.0", "id": 1, "method": "tools/list",
                "params": {"_meta": {name: value for name, value in meta.items() if name != without}}}
        assert agent.raw(less, **{"Mcp-Method": "tools/list"}).json()["error"]["code"] == -32602


def test_the_handshake_by_its_letters(place, client):
    for version in VERSIONS[:2]:
        agent = Agent(place.instance, client.tokens["access_token"], version)
        assert agent.result("ping") == {}
        assert agent.raw({"jsonrpc": "2.0", "id": 9, "result": {}}).status_code == 202
        assert agent.raw({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}).status_code == 202
    assert Agent(place.instance, client.tokens["access_token"], "2025-11-25", URLS).session.startswith("url-")


def test_discovery_by_its_letters(place, client):
    found = Agent(place.instance, client.tokens["access_token"]).result("server/discover")
    assert found["supportedVersions"] == VERSIONS[::-1] and found["capabilities"] == {"tools": {}}
    assert found["ttlMs"] > 0 and found["cacheScope"] == "public" and found["instructions"]
    assert found["_meta"][f"{META}serverInfo"]["name"] == "toolshed"


def test_tools_are_listed_with_their_schemas(agent):
    tools = agent.result("tools/list")["tools"]
    assert [tool["name"] for tool in tools] == ["list_connections", "request_authorization", "find_api", "learn_api", "call_api"]
    for tool in tools:
        assert tool["inputSchema"]["type"] == "object" and set(tool["inputSchema"]["required"]) <= set(tool["inputSchema"]["properties"])


def test_an_unknown_tool_is_the_protocols_error_and_a_wrong_argument_the_tools(agent):
    unknown = agent.post("tools/call", {"name": "nothing", "arguments": {}})
    assert unknown.json()["error"]["code"] == -32602 and unknown.status_code == (400 if agent.version >= "2026" else 200)
    for tool, arguments, member in (
            ("find_api", {}, None), ("find_api", {"query": 7}, "query"), ("find_api", {"query": "x" * 201}, "query"),
            ("find_api", {"query": "x", "more": 1}, "more"), ("learn_api", {}, "operation"), ("request_authorization", {}, "provider"),
            ("request_authorization", {"provider": "upstream", "scopes": ["a b"], "reason": "x"}, "scopes"),
            ("request_authorization", {"provider": "upstream", "scopes": ["a"]}, "reason"),
            ("call_api", {"provider": "upstream", "method": "TRACE", "path": "/x"}, "method"),
            ("call_api", {"provider": "upstream", "method": "get", "path": "/x"}, "method"),
            ("call_api", {"provider": "../x", "method": "GET", "path": "/x"}, "provider"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "x"}, "path"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/a/../b"}, "path"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/%2e%2e/b"}, "path"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/a b"}, "path"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "@evil.example/"}, "path"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "//evil.example/"}, "path"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/x", "query": {"access_token": "x"}}, "query"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/x", "query": {"a": {"b": 1}}}, "query"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/x", "body": {}}, "body"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/x", "headers": {"Authorization": "x"}}, "headers"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/x", "headers": {"X-HTTP-Method-Override": "PUT"}}, "headers"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/x", "headers": {"Accept": "a\r\nX: y"}}, "headers"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/x", "headers": {"Host": "evil.example"}}, "headers"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/x", "headers": 7}, "headers"),
            ("call_api", {"provider": "upstream", "method": "GET", "path": "/x", "account": ""}, "account")):
        if member is None:
            continue
        problem = agent.refused(tool, **arguments)
        assert problem["error"] == "invalid-request" and problem["errors"][0]["member"] == member, (tool, arguments, problem)


# Tools


def test_connections_are_those_the_person_let_this_client_use(place):
    person = place.person()
    agent = place.agent(person)
    assert [(c["provider"], c["account"], c["scopes"]) for c in agent.done("list_connections")["connections"]] == [("upstream", "octo", ["read"])]
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    listed = agent.done("list_connections")
    assert [c["provider"] for c in listed["connections"]] == ["upstream"], "a later one is asked for at its first use"
    assert "github" in listed["canBeConnected"]
    other = place.agent(place.person(None))
    assert other.done("list_connections")["connections"] == []


def test_operations_are_found_and_explained(agent):
    found = agent.done("find_api", query="list items")
    assert found["operations"][0] == {"operation": "upstream:items.list", "text": "List items.", "call": "GET /items", "scopes": ["read"]}
    assert {o["operation"].split(":")[0] for o in agent.done("find_api", query="issues", provider="github")["operations"]} == {"github"}
    assert agent.done("find_api", query="qqqq zzzz")["operations"] == []
    learned = agent.done("learn_api", operation="upstream:items.create")
    assert learned["method"] == "POST" and learned["scopes"] == ["write"] and learned["orScopes"] == [["admin"]] and learned["granted"] is False
    assert "X-Own-Version" in learned["headers"]
    assert agent.done("learn_api", operation="upstream:items.list")["granted"] is True
    assert agent.refused("learn_api", operation="upstream:nothing")["error"] == "not-found"


def test_an_api_is_called_and_the_agent_never_holds_the_token(place, agent):
    place.upstream.answers["/items"] = lambda connection, call: answer(
        connection, b'{"items": [1, 2.5, "three"]}', headers=(("Content-Type", "application/json"), ("X-RateLimit-Remaining", "7"),
                                                             ("Set-Cookie", "a=b"), ("Link", "<x>; rel=next")))
    called = agent.done("call_api", provider="upstream", method="GET", path="/items", query={"state": "open", "n": 3, "l": ["a", "b&c"]},
                        headers={"accept": "application/json", "X-Own-Version": "2"}, reason="To see them")
    assert called["status"] == 200 and called["body"] == {"items": [1, 2.5, "three"]}
    assert called["headers"] == {"content-type": "application/json", "x-ratelimit-remaining": "7", "link": "<x>; rel=next"}
    call = place.upstream.calls[-1]
    assert call.target == "/base/items?l=a&l=b%26c&n=3&state=open" and call.header("x-own-version") == "2"
    token = call.header("authorization").removeprefix("Bearer ")
    assert token.startswith("gen_at_") and token not in json.dumps(called)
    assert agent.token.encode() not in call.head


def test_bodies_go_as_they_are(place, agent):
    seen = []

    def keep(connection, call):
        seen.append((call.header("content-type"), b"".join(call.body())))
        answer(connection)

    place.upstream.answers["/keep"] = keep
    agent.done("call_api", provider="upstream", method="POST", path="/keep", body={"b": [1, None, True], "a": "ä"})
    agent.done("call_api", provider="upstream", method="PUT", path="/keep", body="a=1&b=2", headers={"Content-Type": "application/x-www-form-urlencoded"})
    agent.done("call_api", provider="upstream", method="PATCH", path="/keep", body=[])
    agent.done("call_api", provider="upstream", method="DELETE", path="/keep")
    assert seen == [("application/json", '{"a":"ä","b":[1,null,true]}'.encode()), ("application/x-www-form-urlencoded", b"a=1&b=2"),
                    ("application/json", b"[]"), (None, b"")]


def test_every_kind_of_answer_is_told(place, agent):
    def call(text: bytes) -> dict:
        place.upstream.answers["/kind"] = raw(text)
        result = agent.tool("call_api", provider="upstream", method="GET", path="/kind")
        return result["structuredContent"] | {"isError": result["isError"]}

    ok = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
    assert call(ok % (b"text/plain; charset=utf-8", 5, b"hello"))["text"] == "hello"
    assert call(ok % (b"image/png", 4, b"\x89PNG"))["binary"] == {"bytes": 4, "contentType": "image/png"}
    assert call(ok % (b"text/plain", 2, b"\xff\xfe"))["binary"]["bytes"] == 2
    assert call(ok % (b"application/json", 1, b"{"))["text"] == "{"
    assert "body" not in call(b"HTTP/1.1 204 No Content\r\n\r\n")
    moved = call(b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n")
    assert moved["status"] == 302 and moved["headers"]["location"] == "https://evil.example/", "told, never followed"
    failed = call(b"HTTP/1.1 422 No\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"message\":\"x\"}")
    assert failed["isError"] and failed["status"] == 422 and failed["body"] == {"message": "x"}
    big = call(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 400000\r\n\r\n" + b"x" * 400_000)
    assert big["isError"] and big["error"] == "no-answer" and "262144" in big["detail"]
    assert call(b"")["error"] == "no-answer"


def test_an_api_that_repeats_the_token_does_not_get_it_past_us(place, agent):
    def repeat(connection, call):
        token = call.header("authorization").removeprefix("Bearer ")
        body = json.dumps({"you": {"sent": f"Bearer {token}", "twice": token + token}}).encode()
        answer(connection, body, headers=(("Content-Type", "application/json"), ("ETag", f'"{token}"')))

    place.upstream.answers["/repeat"] = repeat
    said = agent.done("call_api", provider="upstream", method="GET", path="/repeat")
    token = place.upstream.calls[-1].header("authorization").removeprefix("Bearer ")
    assert token not in json.dumps(said) and said["body"]["you"]["sent"] == "Bearer (token)"
    assert said["body"]["you"]["twice"] == "(token)(token)" and said["headers"]["etag"] == '"(token)"'


def test_a_refused_token_is_looked_into(place, agent):
    place.upstream.answers["/refuse"] = raw(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    result = agent.tool("call_api", provider="upstream", method="GET", path="/refuse")
    assert result["isError"] and result["structuredContent"]["status"] == 401 and "token" in result["structuredContent"]["advice"]


def test_providers_that_are_not_there(agent):
    for provider, error in (("nowhere", "unknown-provider"), ("notion", "provider-not-configured")):
        assert agent.refused("call_api", provider=provider, method="GET", path="/x")["error"] == error
        assert agent.refused("request_authorization", provider=provider, scopes=["a"], reason="x")["error"] == error


# A person is needed


@pytest.mark.parametrize("version", VERSIONS)
def test_without_elicitation_the_result_is_a_plain_link(place, version):
    person = place.person()
    agent = place.agent(person, version, {"elicitation": {}})
    result = agent.tool("call_api", provider="upstream", method="POST", path="/items", body={}, reason="Make one")
    problem = result["structuredContent"]
    assert result["isError"] and problem["error"] == "authorization-required" and problem["missingScopes"] == ["write"]
    text = result["content"][0]["text"]
    assert problem["authorizationUrl"] in text and problem["matchCode"] in text and "write" in text
    again = agent.refused("call_api", provider="upstream", method="POST", path="/items", body={}, reason="Make one")
    assert again["requestId"] == problem["requestId"], "the same need, the same link"
    shown = person.asked(problem["authorizationUrl"]).json()
    assert shown["reason"] == "Make one" and shown["tool"] == "POST /items"
    person.connect(problem["authorizationUrl"])
    assert agent.done("call_api", provider="upstream", method="POST", path="/items", body={})["status"] == 200


def test_where_the_client_can_open_addresses_it_is_asked_to_in_2026(place):
    person = place.person()
    agent = place.agent(person, "2026-07-28", URLS)
    asked = {"provider": "upstream", "method": "GET", "path": "/notes/7"}
    first = agent.tool("call_api", **asked)
    assert first["resultType"] == "input_required" and set(first) == {"resultType", "inputRequests", "_meta"}
    request = first["inputRequests"]["authorize"]
    assert request["method"] == "elicitation/create" and set(request["params"]) == {"mode", "url", "message"} and request["params"]["mode"] == "url"
    for action, words in (("accept", "not finished"), ("decline", "did not want"), ("cancel", "did not want")):
        retried = agent.result("tools/call", {"name": "call_api", "arguments": asked, "inputResponses": {"authorize": {"action": action}}})
        assert retried["isError"] and words in retried["content"][0]["text"]
        assert retried["structuredContent"]["authorizationUrl"] == request["params"]["url"]
    person.connect(request["params"]["url"])
    done = agent.result("tools/call", {"name": "call_api", "arguments": asked, "inputResponses": {"authorize": {"action": "accept"}}})
    assert not done["isError"] and done["structuredContent"]["status"] == 200


def test_where_the_client_can_open_addresses_it_is_asked_to_in_2025(place):
    person = place.person()
    agent = place.agent(person, "2025-11-25", URLS)
    reply = agent.post("tools/call", {"name": "request_authorization",
                                      "arguments": {"provider": "upstream", "scopes": ["notes"], "reason": "Read notes"}})
    error = reply.json()["error"]
    assert reply.status_code == 200 and error["code"] == -32042
    [elicitation] = error["data"]["elicitations"]
    assert set(elicitation) == {"mode", "elicitationId", "url", "message"} and elicitation["mode"] == "url"
    assert elicitation["url"] in error["message"], "for whoever reads only that"
    assert f"request={elicitation['elicitationId']}" in elicitation["url"]
    assert "WWW-Authenticate" not in reply.headers, "B-CHAL-5"
    person.connect(elicitation["url"])
    assert agent.done("request_authorization", provider="upstream", scopes=["notes"], reason="Read notes")["status"] == "authorized"


def test_the_older_revision_is_never_sent_what_it_does_not_know(place):
    agent = place.agent(place.person(), "2025-06-18", URLS)
    assert agent.refused("request_authorization", provider="upstream", scopes=["notes"], reason="x")["error"] == "authorization-required"


def test_a_connection_of_later_asks_at_its_first_use(place):
    person = place.person(None)
    agent = place.agent(person)
    person.connect({"owner": "toolshed", "bridge": "upstream", "scope": "read"})
    problem = agent.refused("call_api", provider="upstream", method="GET", path="/items")
    assert problem["error"] == "authorization-required"
    person.connect(problem["authorizationUrl"])
    assert agent.done("call_api", provider="upstream", method="GET", path="/items")["status"] == 200


def test_a_declined_scope_is_not_asked_again(place):
    person = place.person()
    agent = place.agent(person)
    problem = agent.refused("request_authorization", provider="upstream", scopes=["notes"], reason="x")
    person.decide(problem["authorizationUrl"], "decline")
    assert agent.refused("request_authorization", provider="upstream", scopes=["notes"], reason="x")["error"] == "scope-declined"
    assert agent.done("call_api", provider="upstream", method="GET", path="/items")["status"] == 200


def test_nobody_reaches_anothers_account(place, person):
    connection = person.connections()[0]["id"]
    stranger = place.agent(place.person(None))
    problem = stranger.refused("call_api", provider="upstream", method="GET", path="/items", account=connection)
    assert problem["error"] == "authorization-required" and problem["reason"] == "not-connected"


def test_a_call_is_on_record_as_the_clients(place):
    person = place.person()
    client = place.client(person)
    Agent(place.instance, client.tokens["access_token"]).done("call_api", provider="upstream", method="GET", path="/items", reason="For the record")

    def recorded():
        lines = person.get("/api/activity?limit=20").json()["activity"]
        return [line for line in lines if line["event"] == "vended" and line["reason"] == "For the record" and line["tool"] == "GET /items"]
    until(recorded, "the record of the call")


def test_neither_token_is_in_any_log(place, client):
    tokens = {call.header("authorization").removeprefix("Bearer ") for call in place.upstream.calls} | {client.tokens["access_token"]}
    for file in (place.instance.dir / "log").iterdir():
        if "double" not in file.name:
            text = file.read_text(errors="replace")
            assert not [token for token in tokens if token in text], file
