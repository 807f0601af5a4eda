"""Providers from an operator's file, through the whole flow, without a change of code."""

from urllib.parse import parse_qs, urlsplit

import pytest

from harness.instance import Instance
from harness.people import Person, Plugin


def files(port: int) -> dict[str, str]:
    at = f"http://127.0.0.1:{port}"
    github = f"""\
    allow_loopback_http: true
    endpoints:
      authorize: {at}/github/login/oauth/authorize
      token: {at}/github/login/oauth/access_token
      revoke: {at}/github/api/applications/github-client/token
    identity:
      - {{ url: "{at}/github/api/user", headers: {{ Accept: application/vnd.github+json }}, id: id, label: login }}
    client: {{ id: github-client, secret: github-secret }}
"""
    return {
        "today": f"""\
version: 1
providers:
  github:
{github}
    authorize: {{ pkce: {{ default: S256 }} }}
    revoke: {{ default: on }}
  forge:
    name: Forge
    allow_loopback_http: true
    endpoints:
      authorize: {at}/generic/authorize
      token: {at}/generic/token
      userinfo: {at}/generic/userinfo
    client: {{ id: generic-client, secret: generic-secret }}
    authorize: {{ pkce: {{ default: S256 }} }}
    scopes:
      read: {{ text: Read your projects., risk: read }}
      repo: {{ text: Read and change your projects., risk: write, implies: [read] }}
""",
        "acme": f"version: 1\nowner: acme\nproviders:\n  github:\n    name: Acme GitHub\n{github}",
    }


@pytest.fixture(scope="module")
def shop():
    """An instance with these files in the place of the double's own."""
    made = Instance()
    try:
        (made.dir / "etc/providers.d/doubles.yaml").unlink()
        for name, yaml in files(made.double.port).items():
            made.provide(name, yaml)
        yield made.start()
    finally:
        made.end()


@pytest.fixture
def ann(shop):
    shop.double.reset()
    return Person(shop)


@pytest.fixture
def agent(shop):
    return Plugin(shop)


def test_an_organizations_own_app_has_its_own_callback_and_connection(shop, ann, agent):
    need = agent.link("acme/github", ["repo"], user=ann)
    asked = parse_qs(urlsplit(need["authorizationUrl"]).query)
    assert asked["owner"] == ["acme"] and asked["bridge"] == ["github"]
    shown = ann.asked(need["authorizationUrl"]).json()
    assert shown["provider"] == {"id": "acme/github", "name": "Acme GitHub"} and shown["owner"] == "acme"
    address = ann.login(ann.decide(need["authorizationUrl"]).json()["location"])
    sent = parse_qs(urlsplit(address).query)
    assert sent["redirect_uri"] == [f"{shop.origin}/api/auth/acme~github/callback"]
    assert "code_challenge" not in sent, "the built-in entry's default holds for acme's app"
    ann.navigate(shop.double.decide(address), site="cross-site")
    token = agent.token("acme/github", ["repo"], user=ann)
    assert token["provider"] == "acme/github" and token["connection"]["account"] == "octo"
    # The service's own app is another provider.
    assert agent.link("github", ["repo"], user=ann)["reason"] == "not-connected"
    assert shop.double.complaints() == []


def test_what_github_can_do_today_is_switched_on_by_a_file(shop, ann):
    shop.double.set("github", pkce="required", revoke=True)
    address = ann.login(ann.decide("/connect?owner=toolshed&bridge=github&scope=repo").json()["location"])
    assert parse_qs(urlsplit(address).query)["code_challenge_method"] == ["S256"]
    ann.navigate(shop.double.decide(address), site="cross-site")
    [connection] = ann.connections()
    removed = ann.delete(f"/api/connections/{connection['id']}").json()
    assert removed["local"] == "removed" and removed["provider"] == "revoked"
    assert ann.connections() == [] and shop.double.complaints() == []


def test_endpoints_and_words_of_ones_own_are_enough(shop, ann, agent):
    need = agent.link("forge", ["repo"], user=ann)
    shown = ann.asked(need["authorizationUrl"]).json()
    assert [(each["text"], each["risk"]) for each in shown["scopes"]] == [("Read and change your projects.", "write")]
    assert ann.connect(need["authorizationUrl"]).status_code == 303
    token = agent.token("forge", ["read"], user=ann)
    assert token["scopes"] == ["repo"], "repo covers read here because the file says so"
    assert "octo" in token["connection"]["account"].lower()
    assert shop.double.complaints() == []


def test_a_provider_without_a_client_is_listed_and_says_so(shop, ann, agent):
    listed = {each["provider"]: each["configured"] for each in ann.get("/api/providers").json()["providers"]}
    assert listed["github"] and listed["acme/github"] and listed["forge"] and not listed["notion"]
    answer = agent.vend("notion", ["x"], user=ann)
    assert answer.status_code == 424 and answer.json()["error"] == "provider-not-configured"
    assert agent.vend("acme/notion", ["x"], user=ann).json()["error"] == "unknown-provider"
