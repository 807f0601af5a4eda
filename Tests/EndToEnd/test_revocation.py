"""Taking back at the provider, with the honest four-valued result; how far it reaches is said before."""

import re
import threading

import pytest
from playwright.sync_api import expect

from harness.browsing import Chromium, lend_session, watch
from harness.people import Person, Plugin
from harness.waiting import until
from test_browser_vault import question, row

LINKS = {bridge: {"owner": "toolshed", "bridge": bridge, "scope": scope} for bridge, scope in {
    "github": "repo", "google": "calendar", "slack": "chat:write", "linear": "read", "demo": "read"}.items()}


def switched_on(files: dict[str, str], target: str) -> str:
    """The operator's file with what GitHub and Slack can do today."""
    text = files["doubles"]
    for name, rules in {"github": f"default: \"on\", target: {target}", "slack": 'default: "on"'}.items():
        text = text.replace(f"  {name}:\n    allow_loopback_http: true\n", f"  {name}:\n    allow_loopback_http: true\n    revoke: {{ {rules} }}\n")
    return text


@pytest.fixture(scope="module", params=["token", "grant"])
def able(request):
    """An instance whose operator let it take back at GitHub, by token or by grant, and at Slack."""
    from harness.instance import Instance

    made = Instance()
    made.provide("doubles", switched_on(made.double.provider_files(), request.param))
    try:
        yield made.start(), request.param
    finally:
        made.end()


def connected(instance, bridge: str) -> tuple[Person, dict]:
    instance.double.reset()
    for family in ("github", "slack"):
        instance.double.set(family, revoke=True)
    person = Person(instance)
    person.connect(LINKS[bridge])
    return person, person.connections()[0]


def live(instance, family: str) -> list[bool]:
    return [token["live"] for token in instance.double.get("tokens")[family]["access"]]


def recorded(person: Person) -> list[str]:
    return [line["event"] for line in person.get("/api/activity").json()["activity"]]


def test_what_the_provider_said_is_on_record(able):
    instance, _ = able
    person, connection = connected(instance, "github")
    assert person.delete(f"/api/connections/{connection['id']}").json()["provider"] == "revoked"
    until(lambda: "revoked" in recorded(person), "the provider's answer")
    assert {"removed", "revoked"} <= set(recorded(person))
    person, connection = connected(instance, "google")
    instance.double.fault("google", "revoke", "500")
    assert person.delete(f"/api/connections/{connection['id']}").json()["provider"] == "failed"
    until(lambda: "revocation-failed" in recorded(person), "that it did not confirm")
    instance.double.reset()
    assert "revoked" not in recorded(person)


def test_that_the_provider_cannot_take_back_or_was_not_asked_is_on_record(instance, double, person):
    person.connect(LINKS["github"])
    elsewhere = person.elsewhere()
    elsewhere.connect(LINKS["slack"])
    mine, theirs = (next(c["id"] for c in person.connections() if c["provider"] == provider) for provider in ("github", "slack"))
    assert person.delete(f"/api/connections/{mine}").json()["provider"] == "unsupported"
    assert person.delete(f"/api/connections/{theirs}").json()["provider"] == "not-applicable"
    until(lambda: {"revocation-unsupported", "revocation-not-asked"} <= set(recorded(person)), "both answers")
    assert "revoked" not in recorded(person)


@pytest.mark.parametrize("bridge, family, reach", [
    ("github", "github", None), ("google", "google", "grant"), ("slack", "slack", "grant"), ("linear", "linear", "grant"),
    ("demo", "demo", "unknown")])
def test_it_is_taken_back_there(able, bridge, family, reach):
    instance, target = able
    person, connection = connected(instance, bridge)
    assert connection["revocation"] == (reach or target)
    before = len(live(instance, family))
    assert person.delete(f"/api/connections/{connection['id']}").json()["provider"] == "revoked"
    assert live(instance, family) == [False] * before and instance.double.complaints() == []


def test_githubs_two_calls_end_the_token_or_all_of_the_account(able):
    instance, target = able
    person, connection = connected(instance, "github")
    other = Person(instance)
    other.connect(LINKS["github"])
    assert person.delete(f"/api/connections/{connection['id']}").json()["provider"] == "revoked"
    assert live(instance, "github") == ([False, True] if target == "token" else [False, False])


@pytest.mark.parametrize("bridge, endpoint", [("github", "revoke"), ("google", "revoke"), ("slack", "revoke"), ("linear", "revoke")])
def test_what_was_over_there_already_counts_as_taken_back(able, bridge, endpoint):
    instance, _ = able
    person, connection = connected(instance, bridge)
    instance.double.set(bridge, expire_access=True, forget_refresh=True)
    assert person.delete(f"/api/connections/{connection['id']}").json()["provider"] == "revoked"


@pytest.mark.parametrize("fault", ["500", "drop", "429"])
@pytest.mark.parametrize("bridge", ["github", "google"])
def test_a_provider_that_fails_is_said_to_have_and_it_is_gone_here(able, bridge, fault):
    instance, _ = able
    person, connection = connected(instance, bridge)
    instance.double.fault(bridge, "revoke", fault)
    removed = person.delete(f"/api/connections/{connection['id']}").json()
    assert (removed["local"], removed["provider"]) == ("removed", "failed") and removed["manageUrl"]
    assert person.connections() == []


def test_what_the_operator_took_out_is_still_taken_back_or_told_as_it_is(fresh):
    """Google takes a token without the client's id; GitHub wants id and secret; what is in no file can be asked nothing."""
    instance = fresh()
    doubles = switched_on(instance.double.provider_files(), "token")
    instance.provide("doubles", doubles)
    instance.start()
    instance.double.set("github", revoke=True)
    people = {bridge: Person(instance) for bridge in ("google", "github", "demo")}
    for bridge, person in people.items():
        person.connect(LINKS[bridge])
    without = re.sub(r"    client: \{ id: (google|github)-client.*\n", "", doubles)
    instance.provide("doubles", without)
    (instance.dir / "etc/providers.d/demo.yaml").unlink()
    assert instance.reload().returncode == 0
    for bridge, expected in (("google", "revoked"), ("github", "failed"), ("demo", "failed")):
        person = people[bridge]
        [connection] = person.connections()
        reply = person.delete(f"/api/connections/{connection['id']}")
        assert (reply.status_code, reply.json()["provider"]) == (200, expected), (bridge, reply.text)
        assert person.connections() == []
        event = {"revoked": "revoked", "failed": "revocation-failed"}[expected]
        until(lambda: {"removed", event} <= set(recorded(person)), "the provider's answer")
    assert live(instance, "google") == [False] and live(instance, "github") == [True]


def test_what_was_connected_beside_is_not_ended_by_the_grant_and_is_by_the_token(able):
    """With GitHub's grant both would end, so the first is only removed here; its token alone can be ended."""
    instance, target = able
    person, connection = connected(instance, "github")
    person.connect(LINKS["github"] | {"connection": connection["id"], "separate": "true"})
    removed = person.delete(f"/api/connections/{connection['id']}").json()
    assert removed["provider"] == ("revoked" if target == "token" else "not-applicable")
    assert person.api_key().token("github", ["repo"])


def test_the_page_says_how_far_it_reaches_before_the_click(able):
    instance, target = able
    person, _ = connected(instance, "github")
    for bridge in ("google", "slack", "linear", "demo"):
        person.connect(LINKS[bridge])
    browser, errors = Chromium(instance), []
    try:
        context = browser.context()
        watch(context, errors)
        lend_session(context, person)
        page = context.new_page()
        page.goto("/vault")
        everything = "ends everything that"
        for heading, said in {"GitHub": everything if target == "grant" else "other keys for the same account stay",
                              "Google": everything, "Slack": everything, "Linear": everything,
                              "Demo provider": "How far that reaches is not documented"}.items():
            place = row(page, "Connections", f"{heading}: ")
            place.get_by_role("button", name="Revoke", exact=True).click()
            expect(question(place)).to_contain_text(said)
            place.get_by_role("button", name="Cancel").click()
        assert len(person.connections()) == 5 and errors == []
    finally:
        browser.end()


def test_in_a_vault_that_is_not_open_there_is_nothing_to_show_the_provider(instance, double):
    """Two sign-ins of one person that have not been joined: the other one's connection can be removed, and that is said."""
    from base64 import urlsafe_b64decode

    from harness.database import Database

    person = Person(instance)
    person.connect(LINKS["google"])
    connection = person.connections()[0]["id"]
    stranger = Person(instance)
    Database(instance).run("UPDATE connection SET vault = (SELECT id FROM vault WHERE person = ?) WHERE id = ?",
                           urlsafe_b64decode(stranger.user_id[2:] + "=="), urlsafe_b64decode(connection[2:] + "=="))
    [locked] = person.connections()
    assert locked["status"] == "locked" and locked["account"] is None and locked["label"] is None
    removed = person.delete(f"/api/connections/{connection}").json()
    assert removed["provider"] == "not-applicable" and removed["manageUrl"] and double.count("google", "revoke") == 0
    assert person.connections() == []


@pytest.mark.parametrize("taking", ["remove", "pause", "stop"])
def test_what_is_taken_back_is_never_vended_again(instance, double, taking):
    """Many ask all the time; who began to ask after the answer to the taking-back gets nothing, refreshed or not."""
    double.set("generic", expires_in=2)
    person, plugin = Person(instance), Plugin(instance)
    person.connect(plugin.link("corp", ["read"], user=person)["authorizationUrl"])
    connection = person.connections()[0]["id"]
    taken, over, late, early = threading.Event(), threading.Event(), [], []

    def ask() -> None:
        with_key = Plugin.__new__(Plugin)
        super(Plugin, with_key).__init__(instance, plugin.key, plugin.id)
        while not over.is_set():
            after = taken.is_set()
            status = with_key.vend("corp", ["read"], user=person).status_code
            (late if after else early).append(status)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: early.count(200) >= 30, "everybody to be served")
    reply = {"remove": lambda: person.delete(f"/api/connections/{connection}"),
             "pause": lambda: person.call("PATCH", f"/api/connections/{connection}", {"paused": True}),
             "stop": lambda: person.post("/api/vault/stop")}[taking]()
    taken.set()
    assert reply.status_code < 300
    until(lambda: len(late) >= 60, "everybody to ask again")
    over.set()
    for thread in threads:
        thread.join(30)
    assert early.count(200) >= 30 and 200 not in late and set(late) <= {403, 429}, set(late)
