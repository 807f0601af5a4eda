"""The page of control, all that can be done there: with a mouse, and against words that mean harm; by keys alone in
test_browser_keyboard.py."""

import re

import pytest
from playwright.sync_api import Page, expect

from harness.clicking import allow, decide, heading
from harness.database import Database
from harness.flow import CORP, GITHUB
from harness.people import Person, Plugin
from test_browser_vault import part, question, row

HOSTILE = "</script><img src=x onerror=alert(1)>\u202egnp.exe \u0301\u0301\u0301\u0301\u0301"


@pytest.fixture
def person(instance):
    return Person(instance, "Ada Lovelace")


def status(page: Page):
    return page.get_by_role("status")


def sure(place, first: str) -> str:
    """Asks, reads what it says will happen, and says yes."""
    place.get_by_role("button", name=first, exact=True).click()
    said = question(place).inner_text()
    question(place).get_by_role("button", name=first, exact=True).click()
    return said


def test_a_request_waits_on_the_page_is_declined_there_and_may_be_asked_again(page, person, instance, double, look):
    plugin = Plugin(instance, f"Release bot of {person.user_id[:6]}")
    page.goto("/vault")
    expect(part(page, "Requests waiting for you").get_by_text("Nobody is waiting")).to_be_visible()
    need = plugin.link("github", ["repo"], user=person, reason="List your open issues", tool="issues.list")
    page.reload()
    waiting = row(page, "Requests waiting for you", f"{plugin.name} asks for GitHub")
    for text in (need["matchCode"], "List your open issues", "issues.list", "Full control of your public and private repositories",
                 "From 127.0.0.1"):
        expect(waiting).to_contain_text(text)
    expect(waiting.get_by_text("where this browser is, too")).to_be_visible()
    expect(waiting.get_by_text("not where this browser is")).to_be_hidden()
    look(page, "vault-request")
    assert "told no" in sure(waiting, "Decline")
    expect(status(page)).to_contain_text("was told no. Nothing was allowed")
    assert plugin.vend("github", ["repo"], user=person).json()["error"] == "scope-declined"
    refused = row(page, "Requests waiting for you", f"{plugin.name}: GitHub")
    look(page, "vault-declined")
    assert "you decide when it asks" in sure(refused, "Allow asking again")
    expect(status(page)).to_contain_text("may ask again")
    plugin.link("github", ["repo"], user=person)
    page.reload()
    waiting.get_by_role("link", name="Look at it").click()
    expect(heading(page)).to_have_text(f"{plugin.name} asks for GitHub")
    decide(page)
    allow(page)
    page.goto("/vault")
    expect(part(page, "Requests waiting for you").get_by_text("Nobody is waiting")).to_be_visible()


def test_a_connection_is_named_paused_resumed_made_the_default_and_connected_anew(page, person, double, look):
    person.connect(GITHUB)
    mallory = person.connect(GITHUB | {"connection": "new"}, account="mallory").headers["Location"].split("#")[1]
    form = person.get(f"/api/outcomes/{mallory}").json()["formToken"]
    person.post(f"/api/outcomes/{mallory}", {"decision": "keep", "formToken": form})
    before = person.connections()[0]
    page.goto("/vault")
    octo = row(page, "Connections", "GitHub: octo")
    octo.get_by_text("Change", exact=True).click()
    octo.get_by_label("Your name for it").fill("Work")
    octo.get_by_role("button", name="Save").click()
    expect(octo.get_by_role("heading")).to_contain_text("“Work”")
    octo.get_by_text("Change", exact=True).click()
    look(page, "vault-change")
    assert "names no account" in sure(octo, "Make default")
    expect(octo.get_by_role("heading")).to_contain_text("default")
    octo.get_by_text("Change", exact=True).click()
    assert "until you resume it" in sure(octo, "Pause")
    expect(status(page)).to_contain_text("paused. Nothing was lost")
    expect(octo).to_contain_text("No program gets a key for it")
    look(page, "vault-paused")
    octo.get_by_text("Change", exact=True).click()
    sure(octo, "Resume")
    expect(status(page)).to_contain_text("can be used again")

    octo.get_by_role("link", name="Reconnect").click()
    expect(heading(page)).to_have_text("Reconnect GitHub")
    expect(page.get_by_text("connected anew in its place")).to_be_visible()
    look(page, "consent-reconnect")
    decide(page)
    allow(page)
    after = person.connections()[0]
    assert (after["id"], after["label"], after["default"]) == (before["id"], "Work", True)

    page.goto("/vault")
    octo.get_by_text("Change", exact=True).click()
    octo.get_by_role("link", name="Connect separately").click()
    expect(heading(page)).to_have_text("Connect GitHub separately")
    expect(page.get_by_text("The one that you have stays as it is")).to_be_visible()
    look(page, "consent-separate")


def test_of_several_accounts_the_person_chooses_on_the_consent_page(page, person, instance, double, look):
    person.connect(GITHUB)
    outcome = person.connect(GITHUB | {"connection": "new"}, account="mallory").headers["Location"].split("#")[1]
    form = person.get(f"/api/outcomes/{outcome}").json()["formToken"]
    person.post(f"/api/outcomes/{outcome}", {"decision": "keep", "formToken": form})
    plugin = Plugin(instance, f"Choosing bot of {person.user_id[:6]}")
    page.goto(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    choice = page.get_by_label("Account")
    expect(choice.locator("option")).to_have_text(["octo", "mallory", "another account"])
    choice.select_option("mallory")
    page.wait_for_url(re.compile("connection=c_"))
    expect(page.get_by_label("Account").locator("option:checked")).to_have_text("mallory")
    look(page, "consent-accounts")
    decide(page)
    page.wait_for_url(lambda url: "/done#o_" in url)
    assert plugin.token("github", ["repo"], user=person)["connection"]["account"] == "mallory"


def test_the_account_that_a_request_names_is_shown_as_its_wish(page, person, plugin, double, look):
    page.goto(plugin.link("github", ["repo"], user=person, account="octo")["authorizationUrl"])
    expect(page.get_by_text(f"as {plugin.name} says. Sign in with that account at GitHub")).to_be_visible()
    look(page, "consent-named-account")


def test_everything_that_works_by_mouse_is_reached_by_tab(page, person, instance, double):
    plugin = Plugin(instance, f"Tabbed bot of {person.user_id[:6]}")
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    plugin.link("slack", ["chat:write"], user=person)
    person.api_key("nightly report")
    page.goto("/vault")
    expect(row(page, "Connections", "GitHub")).to_be_visible()
    row(page, "Connections", "GitHub").get_by_text("Change", exact=True).click()
    page.evaluate("() => document.activeElement.blur()")
    wanted = page.evaluate("""() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary")]
        .filter(element => element.checkVisibility() && !element.disabled).map((element, at) => element.dataset.at = at).length""")
    seen = set()
    for _ in range(wanted + 20):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("() => document.activeElement?.dataset.at ?? null"))
    assert seen - {None} == {str(number) for number in range(wanted)}


def test_words_of_others_are_shown_and_do_nothing(page, person, double, look):
    person.connect(CORP)
    connection = person.connections()[0]
    person.call("PATCH", f"/api/connections/{connection['id']}", {"label": HOSTILE})
    own = person.post("/api/plugins", {"name": f"{HOSTILE[:40]}{person.user_id[:6]}"}).json()
    bot = Plugin.__new__(Plugin)
    super(Plugin, bot).__init__(person.instance, own["key"], own["id"])
    bot.link("github", ["repo"], user=person, reason=HOSTILE * 2, tool=HOSTILE[:60])
    page.goto("/vault")
    shown = row(page, "Connections", "Corp sign-on")
    expect(shown).to_contain_text("<img src=x onerror=alert(1)>")
    assert "\u202e" not in page.inner_text("body") and page.locator("main img").count() == 0
    look(page, "vault-hostile")


def test_what_fails_says_what_was_kept(page, person, double, look):
    person.connect(GITHUB)
    page.goto("/vault")
    octo = row(page, "Connections", "GitHub")
    page.route("**/api/connections/*", lambda route: route.fulfill(
        status=409, json={"error": "changed", "detail": "What was shown is no longer so. Nothing was changed; look again."}))
    octo.get_by_text("Change", exact=True).click()
    octo.get_by_role("button", name="Pause", exact=True).click()
    question(octo).get_by_role("button", name="Pause", exact=True).click()
    expect(status(page)).to_contain_text("Nothing was changed; look again")
    page.unroute("**/api/connections/*")
    assert person.connections()[0]["status"] == "active"
    page.route("**/api/plugins?*", lambda route: route.fulfill(status=429, json={}, headers={"Retry-After": "7"}))
    page.reload()
    expect(octo).to_be_visible()
    expect(part(page, "Plugins")).to_contain_text("Try again in 7 seconds")
    look(page, "vault-part-failed")


def test_times_are_in_the_persons_zone(profiles, person, double):
    from harness.browsing import lend_session

    person.connect(GITHUB)
    Database(person.instance).run("UPDATE connection SET created_at_ms = 1767225600000 WHERE person = "
                                  "(SELECT id FROM person WHERE name = ? ORDER BY created_at_ms DESC LIMIT 1)", person.name)
    for zone, said in (("Asia/Tokyo", "Jan 1, 2026, 9:00"), ("America/Los_Angeles", "Dec 31, 2025, 4:00")):
        profile = profiles(timezone_id=zone)
        lend_session(profile, person)
        page = profile.new_page()
        page.goto("/vault")
        expect(row(page, "Connections", "GitHub")).to_contain_text(said)
