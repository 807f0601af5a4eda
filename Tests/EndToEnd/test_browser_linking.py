"""Linking, losing and recovering as a person does it: two browsers, a mouse or a keyboard, and what the pages say."""

import re

import decryptor as d
import pytest
from playwright.sync_api import Page, expect

from harness.browsing import lend_session
from harness.clicking import button, heading
from harness.oauth import Client
from harness.people import Person, Plugin
from harness.waiting import until
from test_linking import offers, seal, step

GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}
SLACK = {"owner": "toolshed", "bridge": "slack", "scope": "chat:write"}
LINEAR = {"owner": "toolshed", "bridge": "linear", "scope": "read"}


@pytest.fixture
def person(instance):
    return Person(instance, "Ada Lovelace")


@pytest.fixture
def elsewhere(person):
    return person.elsewhere()


@pytest.fixture
def other_page(profiles, elsewhere):
    """A window of the same person's other browser."""
    profile = profiles()
    lend_session(profile, elsewhere)
    return profile.new_page()


def part(page: Page, name: str):
    return page.get_by_role("region", name=name, exact=True)


def row(page: Page, region: str, text: str):
    return part(page, region).get_by_role("listitem").filter(has=page.get_by_role("heading", name=text))


def question(place):
    return place.get_by_role("group", name=re.compile("."))


def confirm(place, name: str) -> None:
    place.get_by_role("button", name=name, exact=True).click()
    question(place).get_by_role("button", name=name, exact=True).click()


def shown_code(page: Page) -> str:
    expect(page.locator("#code")).to_have_text(re.compile(r"^[0-9A-Z]{4} [0-9A-Z]{4}$"))
    return page.locator("#code").text_content()


def test_two_browsers_are_linked_by_a_typed_code(page, other_page, person, elsewhere, look):
    person.connect(GITHUB)
    elsewhere.connect(SLACK)
    person.api_key("nightly report")
    # The second browser says that it has a vault of its own, and what is elsewhere.
    other_page.goto("/vault")
    vaults = part(other_page, "Your vaults")
    expect(vaults).to_contain_text("1 connection of yours cannot be opened by this browser")
    expect(row(other_page, "Connections", "GitHub: ")).to_contain_text("locked here")
    look(other_page, "vault-two-vaults")
    vaults.get_by_role("button", name="Link", exact=True).click()
    other_page.wait_for_url("**/link")

    page.goto("/vault")
    part(page, "Your vaults").get_by_role("button", name="Link", exact=True).click()
    page.wait_for_url("**/link")
    expect(heading(page)).to_have_text("Link two vaults")
    look(page, "link-choose", every=True)
    button(page, "Show a code").click()
    code = shown_code(page)
    look(page, "link-offered", every=True)

    field = other_page.get_by_label("Code, eight characters")
    field.fill("0000 0000")
    button(other_page, "Use this code").click()
    expect(other_page.get_by_role("status")).to_contain_text("This code does not work")
    look(other_page, "link-wrong-code")
    field.fill(code.lower().replace(" ", "-"))
    button(other_page, "Use this code").click()
    expect(heading(other_page)).to_have_text("Link these two vaults?")
    expect(page.get_by_text("The other browser has typed the code")).to_be_visible()
    look(page, "link-given")
    for text in ("GitHub", "octo", "Slack", "nightly report", "this browser", "Firefox on Linux"):
        expect(other_page.locator("main")).to_contain_text(text)
    look(other_page, "link-accept", every=True)
    assert {c["status"] for c in elsewhere.connections() if c["provider"] == "github"} == {"locked"}, "not before yes"
    button(other_page, "Link").click()
    expect(heading(other_page)).to_have_text("Linked")
    expect(heading(page)).to_have_text("Linked")
    look(other_page, "link-done")
    other_page.get_by_role("link", name="Open your vault").click()
    expect(row(other_page, "Connections", "GitHub: octo")).to_be_visible()
    expect(part(other_page, "Your vaults")).to_contain_text("Everything that you have connected is in this vault")
    assert {c["status"] for c in elsewhere.connections()} == {"active"}


def test_who_waits_for_the_other_browser_outlasts_an_answer_that_is_lost(page, other_page, person, elsewhere):
    person.connect(GITHUB)
    page.goto("/link")
    button(page, "Show a code").click()
    code = shown_code(page)
    page.route("**/api/vault/link", lambda route: route.fulfill(status=429, json={}, headers={"Retry-After": "2"}))
    expect(page.get_by_role("status")).to_contain_text("Try again in 2 seconds")
    page.unroute("**/api/vault/link")
    other_page.goto("/link")
    other_page.get_by_label("Code, eight characters").fill(code)
    button(other_page, "Use this code").click()
    expect(heading(other_page)).to_have_text("Link these two vaults?")
    expect(page.get_by_text("The other browser has typed the code")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("")


def test_linking_with_the_keyboard_and_what_changes_meanwhile_is_shown_again(page, other_page, person, elsewhere):
    person.connect(GITHUB)
    page.goto("/link")
    button(page, "Show a code").focus()
    page.keyboard.press("Enter")
    code = shown_code(page)
    other_page.goto("/link")
    other_page.get_by_label("Code, eight characters").focus()
    other_page.keyboard.type(code)
    other_page.keyboard.press("Enter")
    expect(heading(other_page)).to_have_text("Link these two vaults?")
    person.api_key("made meanwhile")
    button(other_page, "Link").focus()
    other_page.keyboard.press("Enter")
    expect(other_page.get_by_role("status")).to_contain_text("Something changed since you last looked")
    expect(other_page.locator("#holders")).to_contain_text("made meanwhile")
    button(other_page, "Link").focus()
    other_page.keyboard.press("Enter")
    expect(heading(other_page)).to_have_text("Linked")


def test_either_side_cancels_and_a_closed_page_goes_on_where_it_was(page, other_page, person, elsewhere):
    page.goto("/link")
    button(page, "Show a code").click()
    code = shown_code(page)
    button(page, "Cancel").click()
    expect(page.get_by_role("status")).to_contain_text("Cancelled")
    button(page, "Show a code").click()
    code = shown_code(page)
    page.goto("/vault")  # gone before the code is typed
    other_page.goto("/link")
    other_page.get_by_label("Code, eight characters").fill(code)
    button(other_page, "Use this code").click()
    expect(other_page.get_by_text("Waiting for the other browser")).to_be_visible()
    page.goto("/link")
    expect(page.get_by_text("The other browser has typed the code")).to_be_visible()
    expect(heading(other_page)).to_have_text("Link these two vaults?")
    button(other_page, "Cancel").click()
    expect(button(other_page, "Show a code")).to_be_visible()
    expect(button(page, "Show a code")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("That offer is over")


def test_a_recovery_code_links_without_the_other_browser(other_page, person, elsewhere):
    person.connect(GITHUB)
    code = person.post("/api/vault/recovery", {}).json()["code"]
    other_page.goto("/link")
    field = other_page.get_by_label("Recovery code of the other vault")
    field.fill("tsr_wrong")
    button(other_page, "Use this recovery code").click()
    expect(other_page.get_by_role("status")).to_contain_text("opens no vault of yours")
    field.fill(" ".join(code[i:i + 4] for i in range(0, len(code), 4)))
    button(other_page, "Use this recovery code").click()
    expect(heading(other_page)).to_have_text("Link these two vaults?")
    button(other_page, "Link").click()
    expect(heading(other_page)).to_have_text("Linked")
    assert elsewhere.connections()[0]["account"] == "octo"


def test_revoke_as_lost_says_what_it_does_and_what_became_of_the_tokens(page, person, instance, look):
    plugin = Plugin(instance, "Train bot")
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    person.connect(LINEAR)
    lost, kept = person.api_key("left in a train"), person.api_key("kept")
    old = kept.token("linear", ["read"])["accessToken"]
    page.goto("/vault")
    place = row(page, "API keys", "left in a train")
    place.get_by_role("button", name="Revoke as lost").click()
    expect(question(place)).to_contain_text("new keys")
    look(page, "vault-lost-question")
    question(place).get_by_role("button", name="Revoke as lost").click()
    result = part(page, "“left in a train” is revoked as lost")
    expect(result).to_be_visible()
    expect(result.get_by_role("listitem").filter(has_text="GitHub")).to_contain_text("still good")
    expect(result.get_by_role("listitem").filter(has_text="Linear")).to_contain_text(re.compile("replaced|ends by itself"))
    look(page, "vault-lost", every=True)
    assert lost.vend("github", ["repo"]).status_code == 401
    assert kept.token("linear", ["read"])["accessToken"] != old
    confirm(row(page, "Plugins", "Train bot"), "Revoke as lost")
    expect(part(page, "“Train bot” is revoked as lost")).to_be_visible()
    assert plugin.link("github", ["repo"], user=person)["reason"] == "plugin-not-approved"


def test_the_last_key_to_a_vault_wants_a_second_yes(page, person, look):
    person.connect(GITHUB)
    page.goto("/vault")
    expect(part(page, "Recovery")).to_contain_text("Only signed-in browsers open this vault")
    card = page.locator(".card").first
    confirm(card, "Sign out")
    expect(question(card)).to_contain_text("Nothing else opens this vault. With it 1 connection can never be opened again")
    look(page, "vault-last-holder")
    question(card).get_by_role("button", name="Cancel").click()
    assert person.get("/api/me").status_code == 200
    confirm(card, "Sign out")
    question(card).get_by_role("button", name="Sign out and lose them").click()
    page.wait_for_url("**/sign-in")
    assert person.get("/api/me").status_code == 401


def test_a_recovery_code_is_checked_and_replaced(page, person, look):
    person.connect(GITHUB)
    first = person.post("/api/vault/recovery", {}).json()["code"]
    page.goto("/vault")
    recovery = part(page, "Recovery")
    expect(recovery).to_contain_text("You have not tried it yet")
    field = recovery.get_by_label("Check my code")
    field.fill(first[:-3] + "abc")
    recovery.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("opens nothing of yours")
    field.fill(first)
    recovery.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("This is the right code")
    expect(recovery).to_contain_text("You last tried it")
    look(page, "vault-recovery-there")
    confirm(recovery, "Replace the code")
    shown = recovery.locator(".secret")
    expect(shown).to_contain_text("tsr_")
    assert shown.text_content() != first
    elsewhere = Person(person.instance, signed_in=False)
    assert elsewhere.post("/api/sign-in/recovery", {"code": first}).status_code == 400
    code = shown.text_content()
    recovery.get_by_role("button", name="I have stored it").click()
    expect(recovery).to_contain_text("You have not tried it yet")
    recovery.get_by_role("button", name="Replace the code").click()
    expect(question(recovery)).to_contain_text("copies of the database made before can still be opened with it")
    question(recovery).get_by_role("button", name="Cancel").click()
    assert elsewhere.post("/api/sign-in/recovery", {"code": code}).status_code == 200


def test_a_recovery_code_that_somebody_else_may_have_is_revoked_as_lost(page, person, look):
    person.connect(GITHUB)
    code, kept = person.post("/api/vault/recovery", {}).json()["code"], person.api_key("kept")
    page.goto("/vault")
    recovery = part(page, "Recovery")
    recovery.get_by_role("button", name="Revoke as lost").click()
    expect(question(recovery)).to_contain_text("everything that it could open gets new keys")
    look(page, "vault-recovery-lost")
    question(recovery).get_by_role("button", name="Revoke as lost").click()
    expect(part(page, "“The recovery code” is revoked as lost")).to_be_visible()
    expect(recovery.get_by_role("button", name="Make a recovery code")).to_be_visible()
    elsewhere = Person(person.instance, signed_in=False)
    assert elsewhere.post("/api/sign-in/recovery", {"code": code}).status_code == 400
    assert kept.token("github", ["repo"])


def test_the_form_takes_no_longer_name_of_a_key_than_the_server(page, person):
    page.goto("/vault")
    keys = part(page, "API keys")
    keys.get_by_label("Name of a new key").press_sequentially("n" * 90)
    keys.get_by_role("button", name="Make a key").click()
    expect(row(page, "API keys", "n" * 80)).to_be_visible()
    keys.get_by_role("button", name="I have stored it").click()
    place = row(page, "API keys", "n" * 80)
    place.get_by_role("button", name="Revoke", exact=True).click()
    expect(question(place)).to_contain_text("copies of the database made before can still be opened with it")


def test_lock_now_says_what_goes_on(page, person, plugin):
    person.connect(plugin.link("linear", ["read"], user=person)["authorizationUrl"])
    page.goto("/vault")
    button(page, "Lock now").click()
    expect(page.get_by_role("status")).to_contain_text("1 plugin that you let in has a key of its own")


def test_a_program_that_no_longer_opens_the_vault_is_let_in_again(page, other_page, person, elsewhere, look):
    person.connect(GITHUB)
    key, lost = person.api_key("nightly report"), person.api_key()
    person.instance.sql("UPDATE slot SET vault_tag = randomblob(32) WHERE id = ?", d.identifier(key.id))
    person.post("/api/vault/lost", {"holder": lost.id})
    need = key.link("github", ["repo"])
    other_page.goto(need["authorizationUrl"])
    expect(other_page.get_by_text("which is another one than that of this browser")).to_be_visible()
    look(other_page, "link-unlock-elsewhere")
    page.goto(need["authorizationUrl"])
    expect(page.get_by_text(need["matchCode"])).to_be_visible()
    expect(page.locator("main")).to_contain_text("nightly report")
    look(page, "link-unlock")
    button(page, "Give it the key").click()
    expect(page.get_by_text("It can open your vault again")).to_be_visible()
    until(lambda: key.vend("github", ["repo"]).status_code == 200, "the key to work again")
    page.goto(need["authorizationUrl"])
    expect(page.get_by_text("This link is over")).to_be_visible()


def test_signed_out_the_page_leads_to_the_sign_in_and_back(profiles):
    page = profiles().new_page()
    page.goto("/link")
    button(page, "Sign in").click()
    page.wait_for_url("**/sign-in*")


def test_the_vault_says_that_an_offer_waits(page, other_page, person, elsewhere, look):
    person.connect(GITHUB)
    seal(person, elsewhere)
    other_page.goto("/vault")
    vaults = part(other_page, "Your vaults")
    expect(vaults).to_contain_text("An offer from Firefox on Linux")
    look(other_page, "vault-offer", every=True)
    vaults.get_by_role("button", name="Decline").click()
    expect(other_page.get_by_role("status")).to_contain_text("Declined. The two vaults stay as they are.")
    expect(vaults).not_to_contain_text("An offer from")
    assert offers(elsewhere) == [] and {c["status"] for c in elsewhere.connections()} == {"locked"}
    seal(person, elsewhere)
    other_page.reload()
    vaults.get_by_role("link", name="Look at it").click()
    expect(heading(other_page)).to_have_text("Link these two vaults?")
    button(other_page, "Link").click()
    expect(heading(other_page)).to_have_text("Linked")
    page.goto("/vault")
    expect(part(page, "Your vaults")).not_to_contain_text("An offer from")


def test_revoke_everything_takes_back_what_is_in_reserve_and_counts_nothing_twice(page, person, elsewhere, double):
    """And a third vault, locked here: it goes first, so that the service can be told of the others."""
    corp = {"owner": "toolshed", "bridge": "corp", "scope": "read"}
    for browser in (person, elsewhere):
        browser.connect(corp)
    identifier = seal(person, elsewhere)
    [offer] = offers(elsewhere)
    step(elsewhere, "accept", id=identifier, digest=offer["digest"])
    person.elsewhere().connect(corp)
    page.goto("/vault")
    everything = part(page, "Revoke everything")
    confirm(everything, "Revoke everything")
    expect(page.get_by_role("status")).to_contain_text("Done. 2 connections removed")
    expect(page.get_by_role("status")).to_contain_text("1 service was not told")
    assert person.connections() == []
    assert sorted(token["live"] for token in double.get("tokens")["generic"]["access"]) == [False, False, True]


def test_of_the_same_account_the_one_in_reserve_says_so(page, person, elsewhere, look):
    person.connect(GITHUB)
    elsewhere.connect({"owner": "toolshed", "bridge": "github", "scope": "repo read:user"})
    identifier = seal(person, elsewhere)
    [offer] = offers(elsewhere)
    step(elsewhere, "accept", id=identifier, digest=offer["digest"])
    page.goto("/vault")
    reserve = part(page, "Connections").get_by_role("listitem").filter(has_text="in reserve")
    expect(reserve).to_contain_text("takes its place if it turns out to be dead")
    expect(reserve.get_by_role("link", name="Reconnect")).to_be_hidden()
    look(page, "vault-in-reserve")


def test_an_application_is_revoked_as_lost(page, person, instance, look):
    person.connect(GITHUB)
    client = Client(instance, client_name="Notebook").log_in(person)
    page.goto("/vault")
    confirm(row(page, "Applications", "Notebook"), "Revoke as lost")
    expect(page.locator("#losses")).to_contain_text("Notebook")
    expect(part(page, "Applications")).not_to_contain_text("Notebook")
    assert client.refresh().status_code == 400
    look(page, "vault-lost-application")
    until(lambda: "lost" in [each["event"] for each in person.get("/api/activity").json()["activity"]], "the record to be read")
    page.reload()
    expect(part(page, "Activity")).to_contain_text("Revoked as lost")


def test_tokens_that_could_not_be_renewed_yet_are_marked(page, person, double, look):
    person.connect(LINEAR)
    lost = person.api_key("nightly report")
    double.fault("linear", "refresh", "503", times=2)
    page.goto("/vault")
    confirm(row(page, "API keys", "nightly report"), "Revoke as lost")
    expect(page.locator("#losses")).to_contain_text("could not be asked yet")
    page.reload()
    expect(row(page, "Connections", "Linear: ")).to_contain_text("Somebody may know its tokens")
    look(page, "vault-renewal-pending")
    double.reset()
    assert lost.vend("linear").status_code == 401
