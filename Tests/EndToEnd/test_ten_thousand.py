"""Ten thousand connections in one vault: the page and the API stay under 200 ms."""

import os
import statistics
import threading
import time

import pytest
from playwright.sync_api import expect

from harness.browsing import lend_session
from harness.filler import Filler
from harness.flow import GITHUB, fastest
from harness.people import Person, Plugin
from test_browser_vault import part

COUNT = 10_000
PROVIDERS = ["github", "google", "linear", "slack", "corp", "demo"]
# What a release build does in 200 ms takes a debug build longer, by what it does not inline.
LIMIT = 0.2 if "release" in os.environ.get("TOOLSHEDD", "") else 0.4


@pytest.fixture(scope="module")
def rich(instance):
    instance.double.reset()
    person, plugin = Person(instance, "Croesus"), Plugin(instance)
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    Filler(person).fill(COUNT - 1, PROVIDERS, plugin=plugin.id)
    return person, plugin, person.api_key()


def test_every_list_and_every_action_is_quick(rich):
    person, plugin, key = rich
    first = person.get("/api/connections?limit=50").json()
    connection = first["connections"][-1]["id"]
    address = f"/api/connections/{connection}"
    took = {name: fastest(call, LIMIT) for name, call in {
        "first page": lambda: person.get("/api/connections?limit=50"),
        "next page": lambda: person.get("/api/connections", params={"limit": 50, "after": first["next"]}),
        "largest page": lambda: person.get("/api/connections?limit=500"),
        "plugins": lambda: person.get("/api/plugins"), "keys": lambda: person.get("/api/keys"),
        "sessions": lambda: person.get("/api/sessions"), "requests": lambda: person.get("/api/requests"),
        "declines": lambda: person.get("/api/declines"), "activity": lambda: person.get("/api/activity"),
        "me": lambda: person.get("/api/me"), "consent": lambda: person.asked(GITHUB),
        "label": lambda: person.call("PATCH", address, {"label": "x"}),
        "default": lambda: person.call("PATCH", address, {"default": True}),
        "vend by id": lambda: key.vend("github", ["repo"], account=first["connections"][0]["id"]),
        "vend by name": lambda: key.vend("github", ["repo"], account="account-6"),
    }.items()}
    print({name: f"{seconds * 1000:.0f} ms" for name, seconds in took.items()})
    assert not {name: seconds for name, seconds in took.items() if seconds > LIMIT}, took


def test_a_choice_among_very_many_is_quick_too(rich):
    _, _, key = rich
    refused = key.vend("google", ["repo"])
    assert refused.status_code == 409 and len(refused.json()["accounts"]) > COUNT / len(PROVIDERS) - 1
    assert fastest(lambda: key.vend("google", ["repo"]), LIMIT, refused=True) < LIMIT


def test_all_of_them_are_listed_once(rich):
    person, _, _ = rich
    seen, after = [], None
    while True:
        page = person.get("/api/connections", params={"limit": 500} | ({"after": after} if after else {})).json()
        seen += [connection["id"] for connection in page["connections"]]
        after = page["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == COUNT


def test_a_plugin_with_very_many_shows_some_and_says_how_many(rich):
    person, plugin, _ = rich
    listed, after = [], None
    while after is not None or not listed:
        page = person.get("/api/plugins", params={"after": after} if after else {}).json()
        listed, after = listed + page["plugins"], page["next"]
        if after is None:
            break
    (shown,) = [entry for entry in listed if entry["id"] == plugin.id]
    assert len(shown["connections"]) == 100


def test_new_keys_for_all_of_them_keep_nobody_waiting_who_reads(rich, instance):
    """Revoke as lost is one transaction over the whole vault. Whoever reads or vends meanwhile, in this vault or another,
    does not notice; whoever writes waits for it, and is served."""
    person, _, key = rich
    other = Person(instance, "Bystander")
    other.connect(GITHUB)
    own, lost = other.api_key(), person.api_key("lost")
    address = f"/api/connections/{other.connections()[0]['id']}"
    calls = {
        "page": lambda: other.get("/api/connections?limit=50"), "vend": lambda: own.vend("github", ["repo"]),
        "write": lambda: other.call("PATCH", address, {"label": "x"}),
    }
    took, over, answers = {name: [] for name in calls}, threading.Event(), []

    def go_on(name: str) -> None:
        while not over.is_set():
            start = time.monotonic()
            answers.append(calls[name]().status_code)
            took[name].append(time.monotonic() - start)

    threads = [threading.Thread(target=go_on, args=(name,)) for name in calls]
    for thread in threads:
        thread.start()
    start = time.monotonic()
    reply = person.post("/api/vault/lost", {"holder": lost.id}, timeout=120)
    whole = time.monotonic() - start
    over.set()
    for thread in threads:
        thread.join(60)
    assert reply.status_code == 200 and reply.json()["local"] == "done" and len(reply.json()["connections"]) == COUNT
    print({"lost": f"{whole:.1f} s"} | {name: f"median {statistics.median(times) * 1000:.0f} ms, worst {max(times) * 1000:.0f} ms of {len(times)}"
                                      for name, times in took.items() if times})
    # Who writes waits five seconds for whoever does; on a busy machine it takes longer than that.
    turned_away = {503} if whole > 5 else set()
    assert set(answers) - turned_away == {200, 204}, "nobody was turned away"
    # Whoever had to wait for it would wait for a good part of the whole.
    bound = max(LIMIT, whole / 5)
    assert statistics.median(took["page"]) < bound and statistics.median(took["vend"]) < bound, took
    assert lost.vend("github", ["repo"]).status_code == 401
    assert key.vend("github", ["repo"], account="account-6").status_code == 200
    assert {c["status"] for c in person.get("/api/connections?limit=500").json()["connections"]} == {"active"}
    (loss,) = person.get("/api/vault/lost").json()["losses"]
    assert len(loss["connections"]) == 100 and loss["others"] == COUNT - 100
    assert fastest(lambda: person.get("/api/vault/lost"), LIMIT) < LIMIT


def test_the_page_comes_with_the_first_and_loads_more_when_asked(rich, profiles, look):
    person, _, _ = rich
    browser = profiles()
    lend_session(browser, person)
    page = browser.new_page()
    rows = part(page, "Connections").locator("[data-list] > li")

    def took() -> float:
        page.goto("/vault")
        expect(rows).to_have_count(50)
        return page.evaluate("() => performance.getEntriesByName(performance.getEntriesByType('resource')"
                             ".find(entry => entry.name.includes('/api/connections')).name)[0].duration")
    # With everything else that the page asks for at the same time; again when the machine was busy.
    assert any(took() < LIMIT * 1000 * 3 for _ in range(5))
    more = page.get_by_role("button", name="Show more connections")
    for count in (100, 150):
        more.click()
        expect(rows).to_have_count(count)
    assert page.evaluate("() => document.activeElement.tagName") == "H3", "reading goes on where it stopped"
