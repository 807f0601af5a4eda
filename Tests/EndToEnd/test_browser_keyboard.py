"""Everything that a person can do, done with a keyboard alone: never a pointer, never a focus set by the test. On the way
the focus is seen wherever it is, a question gives it back when it is left, and nothing holds it fast."""

import json
import re

import decryptor
import pytest
from playwright.sync_api import expect

from harness.browsing import lend_session
from harness.clicking import finished, heading
from harness.flow import GITHUB
from harness.keyboard import Keyboard, question
from harness.oauth import Client, command_line, granted, pkce
from harness.people import Bearer, Person, Plugin
from harness.waiting import until
from test_browser_passkeys import Device, old
from test_browser_vault import IPHONE, part, row
from test_linking import seal
from test_oauth_pages import elsewhere

LINEAR = {"owner": "toolshed", "bridge": "linear", "scope": "read"}


@pytest.fixture
def person(instance):
    return Person(instance, "Ada Lovelace")


@pytest.fixture
def keys(page):
    return Keyboard(page)


def approve(keys: Keyboard) -> None:
    approve = keys.button(keys.page, "Approve")
    expect(approve).to_be_enabled()
    keys.press(approve)


def allow(keys: Keyboard, account: str = "octo") -> None:
    """At the provider, and back."""
    keys.press(keys.button(keys.page, f"Allow as {account}"))
    finished(keys.page)


# Sign in

def test_somebody_new_accepts_connects_and_changes_their_mind(browser, instance, plugin):
    invited = Person(instance, signed_in=False)
    page = browser.new_page()
    keys = Keyboard(page)
    page.goto(invited.invitation["url"])
    keys.press(keys.button(page, "Accept invitation"))
    page.wait_for_url("**/vault")
    page.goto(plugin.link("github", ["repo"], user=invited)["authorizationUrl"])
    approve(keys)
    allow(keys)
    assert plugin.token("github", ["repo"], user=invited)
    keys.sure(page, "Remove")
    expect(heading(page)).to_have_text("Removed")
    expect(heading(page)).to_be_focused()


def test_passkeys_are_added_named_used_and_taken_away(page, keys, person):
    Device(page)
    person.connect(GITHUB)
    page.goto("/vault")
    passkeys = part(page, "Passkeys")
    keys.write(passkeys.get_by_label("Name of a new passkey"), "This laptop", "Enter")
    keys.hears("opens this vault")
    keys.goes_on(passkeys)
    passkey = row(page, "Passkeys", "laptop")
    keys.unfold(passkey)
    keys.write(passkey.get_by_label("Its name"), "Old laptop", "Enter")
    keys.hears("is called “Old laptop” from now on")
    page.keyboard.press("Tab")
    expect(passkey.get_by_role("heading")).to_be_focused()

    # Where the sign-in is too old it is confirmed in a dialog: left by Escape, or answered. What was derived for the passkey
    # has been a sign-in, too, so the session is another one by now.
    person.http.cookies.clear()
    person.http.cookies.set("__Host-toolshed", page.context.cookies()[0]["value"])
    old(person)
    name = part(page, "API keys").get_by_label("Name of a new key")
    keys.write(name, "nightly report", "Enter")
    dialog = page.get_by_role("dialog", name="Confirm that it is you")
    expect(dialog.get_by_role("heading")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    keys.hears("Confirm that it is still you")
    page.keyboard.press("Tab")
    expect(name).to_be_focused()
    expect(name).to_have_value("nightly report")
    page.keyboard.press("Enter")
    keys.press(keys.button(dialog, "Use your passkey"))
    expect(part(page, "API keys").locator(".secret")).to_contain_text("tsk_")
    keys.press(keys.button(part(page, "API keys"), "I have stored it"))

    keys.sure(page.locator(".card").first, "Sign out")
    page.wait_for_url("**/sign-in")
    keys.press(keys.button(page, "Sign in"))
    page.wait_for_url("**/vault")
    expect(row(page, "Connections", "GitHub: octo")).to_be_visible()
    keys.sure(passkey, "Remove", key="Space")
    keys.hears("“Old laptop” is removed")
    keys.goes_on(passkeys)
    expect(passkeys).to_contain_text("There are none")


def test_a_recovery_code_is_made_tried_replaced_and_signs_in(page, keys, person, profiles):
    person.connect(GITHUB)
    page.add_init_script("window.printed = 0; window.print = () => { window.printed += 1; }")
    page.goto("/vault")
    recovery = part(page, "Recovery")
    keys.press(keys.button(recovery, "Make a recovery code"))
    expect(recovery.get_by_role("heading", name="Your recovery code")).to_be_focused()
    first = recovery.locator(".secret").text_content()
    keys.press(keys.button(recovery, "Print"))
    assert page.evaluate("() => window.printed") == 1
    keys.press(keys.button(recovery, "Copy"))
    expect(page.get_by_role("status")).not_to_be_empty()
    keys.press(keys.button(recovery, "I have stored it"))
    keys.hears("open your vault again from any browser")
    keys.goes_on(recovery)
    keys.write(recovery.get_by_label("Check my code"), first, "Enter")
    keys.hears("This is the right code")
    keys.goes_on(recovery)
    keys.sure(recovery, "Replace the code")
    expect(recovery.get_by_role("heading", name="Your recovery code")).to_be_focused()
    second = recovery.locator(".secret").text_content()
    assert second != first
    keys.press(keys.button(recovery, "I have stored it"))

    elsewhere = Keyboard(profiles().new_page())
    elsewhere.page.goto("/sign-in")
    field = elsewhere.page.get_by_role("textbox", name="Recovery code")
    elsewhere.write(field, first, "Tab", "Enter")
    elsewhere.hears("This recovery code does not work")
    elsewhere.write(field, second, "Tab", "Enter")
    elsewhere.page.wait_for_url("**/vault")
    expect(row(elsewhere.page, "Connections", "GitHub: octo")).to_be_visible()


def test_the_last_key_is_given_up_only_after_a_second_yes(page, keys, person):
    person.connect(GITHUB)
    page.goto("/vault")
    card = page.locator(".card").first
    keys.sure(card, "Sign out")
    expect(question(card)).to_contain_text("Nothing else opens this vault")
    expect(question(card).locator("p").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(keys.button(card, "Sign out")).to_be_focused()
    assert person.get("/api/me").status_code == 200
    keys.sure(card, "Sign out")
    keys.press(keys.button(card, "Sign out and lose them"))
    page.wait_for_url("**/sign-in")
    assert person.get("/api/me").status_code == 401


def test_an_account_from_elsewhere_signs_in(profiles, double):
    keys = Keyboard(profiles().new_page())
    keys.page.goto("/sign-in")
    keys.press(keys.button(keys.page, "Sign in with Corp sign-on"))
    keys.press(keys.button(keys.page, "Allow as octo"))
    expect(keys.page.get_by_text("This browser has a vault of its own now")).to_be_visible()
    expect(heading(keys.page)).to_be_focused()
    keys.press(keys.page.get_by_role("link", name="Continue"))
    keys.page.wait_for_url("**/vault")


# Two vaults

def test_two_browsers_are_linked(page, keys, person, profiles):
    person.connect(GITHUB)
    twin = person.elsewhere()
    profile = profiles()
    lend_session(profile, twin)
    there = Keyboard(profile.new_page())
    there.page.goto("/vault")
    there.press(there.button(part(there.page, "Your vaults"), "Link"))
    there.page.wait_for_url("**/link")
    page.goto("/link")
    for again in (False, True):  # offered, taken back, offered again
        keys.press(keys.button(page, "Show a code"))
        expect(page.locator("#code")).to_have_text(re.compile(r"^[0-9A-Z]{4} [0-9A-Z]{4}$"))
        code = page.locator("#code").text_content()
        expect(page.get_by_text("In the other browser, sign in as")).to_be_focused()
        if not again:
            keys.press(keys.button(page, "Cancel"))
            keys.hears("Cancelled")
    field = there.page.get_by_label("Code, eight characters")
    there.write(field, "00000000", "Enter")
    there.hears("This code does not work")
    there.page.keyboard.press("Tab")
    expect(field).to_be_focused()
    there.write(field, code, "Enter")
    expect(heading(there.page)).to_have_text("Link these two vaults?")
    expect(heading(there.page)).to_be_focused()
    expect(page.get_by_text("The other browser has typed the code")).to_be_focused()
    there.press(there.button(there.page, "Link"))
    for window in (there.page, page):
        expect(heading(window)).to_have_text("Linked")
        expect(heading(window)).to_be_focused()
    there.press(there.page.get_by_role("link", name="Open your vault"))
    expect(row(there.page, "Connections", "GitHub: octo")).to_be_visible()


def test_an_offer_is_declined_and_a_recovery_code_links_instead(page, keys, person, profiles):
    person.connect(GITHUB)
    code = person.post("/api/vault/recovery", {}).json()["code"]
    twin = person.elsewhere()
    seal(person, twin)
    profile = profiles()
    lend_session(profile, twin)
    there = Keyboard(profile.new_page())
    there.page.goto("/vault")
    vaults = part(there.page, "Your vaults")
    there.press(there.button(vaults, "Decline"))
    there.hears("Declined. The two vaults stay as they are.")
    there.goes_on(vaults)
    there.press(there.button(vaults, "Link"))
    there.write(there.page.get_by_label("Recovery code of the other vault"), code, "Tab", "Enter")
    expect(heading(there.page)).to_have_text("Link these two vaults?")
    there.press(there.button(there.page, "Link"))
    expect(heading(there.page)).to_have_text("Linked")
    assert twin.connections()[0]["account"] == "octo"


def test_a_program_that_no_longer_opens_the_vault_is_given_its_key(page, keys, person):
    person.connect(GITHUB)
    key, lost = person.api_key("nightly report"), person.api_key()
    person.instance.sql("UPDATE slot SET vault_tag = randomblob(32) WHERE id = ?", decryptor.identifier(key.id))
    person.post("/api/vault/lost", {"holder": lost.id})
    page.goto(key.link("github", ["repo"])["authorizationUrl"])
    keys.press(keys.button(page, "Give it the key"))
    keys.hears("The program goes on by itself")
    until(lambda: key.vend("github", ["repo"]).status_code == 200, "the key to work again")


# What is asked

def test_requests_are_looked_at_declined_and_allowed_again(page, keys, person, plugin, double):
    need = plugin.link("github", ["repo"], user=person, optionalScopes=["gist"])
    plugin.link("slack", ["chat:write"], user=person)
    page.goto("/vault")
    requests = part(page, "Requests waiting for you")
    slack = row(page, "Requests waiting for you", f"{plugin.name} asks for Slack")
    keys.sure(slack, "Decline", key="Space")
    keys.hears("was told no. Nothing was allowed")
    keys.goes_on(requests)
    refused = row(page, "Requests waiting for you", f"{plugin.name}: Slack")
    keys.sure(refused, "Allow asking again")
    keys.hears("may ask again")
    keys.goes_on(requests)
    keys.press(requests.get_by_role("link", name="Look at it"))
    expect(heading(page)).to_have_text(f"{plugin.name} asks for GitHub")
    keys.press(page.get_by_role("checkbox", name=re.compile("gist")), "Space")
    approve(keys)
    allow(keys)
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "completed"
    assert plugin.token("github", ["repo"], user=person)["scopes"] == ["repo"]
    assert plugin.vend("github", ["gist"], user=person).json()["error"] == "scope-declined"
    page.goto(plugin.link("linear", ["read"], user=person)["authorizationUrl"])
    decline = keys.button(page, "Decline")
    expect(decline).to_be_enabled()
    keys.press(decline, "Space")
    expect(heading(page)).to_have_text("You declined")


def test_a_key_and_a_name_for_it_are_typed_into_the_form(page, keys, person, plugin, double):
    page.goto(plugin.link("keyed", ["mail.send"], user=person)["authorizationUrl"])
    field = page.get_by_label("Secret key", exact=True)
    approve(keys)
    expect(page.get_by_role("status")).to_contain_text("Paste your Secret key first")
    expect(field).to_be_focused()
    keys.write(page.get_by_label("Your name for it"), "Newsletter")
    keys.write(field, "key_live_wrong")
    expect(keys.button(page, "Approve")).to_be_enabled()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("a key that Key provider accepts")
    expect(field).to_be_focused()
    keys.write(field, double.key())
    keys.go(page.get_by_label("Your name for it"))
    expect(keys.button(page, "Approve")).to_be_enabled()
    page.keyboard.press("Enter")
    finished(page)
    assert [connection["label"] for connection in person.connections()] == ["Newsletter"]


# Connections

def test_a_connection_is_named_paused_refreshed_and_made_the_default(page, keys, person, double):
    person.connect(GITHUB)
    other = person.connect(GITHUB | {"connection": "new"}, account="mallory").headers["Location"].split("#")[1]
    page.goto(f"/done#{other}")
    keys.press(keys.button(page, "Keep"))
    expect(heading(page)).to_have_text("GitHub is connected")
    page.goto("/vault")
    connections = part(page, "Connections")
    octo = row(page, "Connections", "GitHub: octo")
    state = lambda: next(each for each in person.connections() if each["account"] == "octo")  # noqa: E731
    keys.unfold(octo)
    keys.write(octo.get_by_label("Your name for it"), "at work", "Enter")
    keys.hears("is called “at work”")
    page.keyboard.press("Tab")
    expect(octo.get_by_role("heading")).to_be_focused()
    for first, yes, said, reached in (
        ("Make default", None, "is used where no account is named", lambda now: now["default"]),
        ("Pause", None, "is paused. Nothing was lost", lambda now: now["status"] == "paused"),
        ("Resume", None, "can be used again", lambda now: now["status"] == "active"),
        ("Switch background refresh on", "Switch on", "Background refresh is on", lambda now: now["backgroundRefresh"]),
        ("Switch background refresh off", "Switch off", "Background refresh is off", lambda now: not now["backgroundRefresh"]),
    ):
        keys.unfold(octo)
        keys.sure(octo, first, yes)
        keys.hears(said)
        keys.goes_on(octo)
        assert reached(state()), first
    keys.unfold(octo, "What it allows")
    expect(octo.get_by_text("Full control of your public and private repositories")).to_be_visible()
    keys.sure(octo, "Revoke")
    keys.hears("GitHub does not let a server take it back")
    keys.goes_on(connections)
    assert [each["account"] for each in person.connections()] == ["mallory"]


def test_accounts_are_connected_again_separately_and_anew(page, keys, person, plugin, double):
    page.goto("/vault")
    keys.press(page.locator("#providers > summary"))
    keys.press(page.get_by_role("link", name="Connect GitHub"))
    expect(heading(page)).to_have_text("Connect GitHub")
    approve(keys)
    allow(keys)
    [before] = person.connections()
    page.goto("/vault")
    octo = row(page, "Connections", "GitHub: octo").first
    keys.press(octo.get_by_role("link", name="Reconnect"))
    expect(heading(page)).to_have_text("Reconnect GitHub")
    approve(keys)
    allow(keys)
    assert [each["id"] for each in person.connections()] == [before["id"]]
    page.goto("/vault")
    keys.unfold(octo)
    keys.press(octo.get_by_role("link", name="Connect separately"))
    expect(heading(page)).to_have_text("Connect GitHub separately")
    approve(keys)
    allow(keys)
    assert len(person.connections()) == 2
    # Of two, one is chosen.
    page.goto(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    choice = page.get_by_label("Account")
    chosen = choice.input_value()
    keys.go(choice)
    with page.expect_navigation():
        page.keyboard.press("ArrowDown")
    expect(choice).not_to_have_value(chosen)
    approve(keys)
    page.wait_for_url(lambda url: "/done#o_" in url)
    assert plugin.token("github", ["repo"], user=person)


# Who can use it

def test_keys_places_and_applications_are_let_in_and_sent_away(page, keys, person, instance, double):
    person.connect(GITHUB)
    code = person.post("/api/vault/recovery", {}).json()["code"]
    phones = [Person(instance, signed_in=False, agent=IPHONE) for _ in range(2)]
    for phone in phones:
        phone.post("/api/sign-in/recovery", {"code": code})
    cli = command_line(instance)
    begun = cli.begin_device().json()
    page.goto("/vault")
    keys.press(part(page, "Applications").get_by_role("link", name="Type it here"))
    keys.write(page.get_by_label("Code"), begun["user_code"], "Enter")
    expect(heading(page)).to_have_text("Let Toolshed command line in?")
    approve(keys)
    expect(heading(page)).to_have_text("Let in")
    assert granted(cli.poll(begun["device_code"]))["access_token"]
    notebook = Client(instance, client_name="Notebook").log_in(person)

    page.goto("/vault")
    secrets = {}
    api_keys, places, applications = (part(page, name) for name in ("API keys", "Signed-in places", "Applications"))
    for name in ("nightly report", "left in a train"):
        keys.write(api_keys.get_by_label("Name of a new key"), name, "Enter")
        expect(api_keys.get_by_role("heading", name=f"The new key “{name}”")).to_be_focused()
        secrets[name] = Bearer(instance, api_keys.locator(".secret").text_content(), "")
        keys.press(keys.button(api_keys, "I have stored it"))
        keys.hears("is no longer shown")
        keys.goes_on(api_keys)
    for place, at, said in ((api_keys, row(page, "API keys", "nightly report"), "no longer works"),
                            (places, row(page, "Signed-in places", "Safari on iPhone").first, "is signed out"),
                            (applications, row(page, "Applications", "Notebook"), "is no longer let in")):
        keys.sure(at, "Revoke")
        keys.hears(said)
        keys.goes_on(place)
    assert secrets["nightly report"].get("/api/me").status_code == 401 and notebook.refresh().status_code == 400
    for at, name in ((row(page, "API keys", "left in a train"), "left in a train"),
                     (row(page, "Signed-in places", "Safari on iPhone"), "Safari on iPhone"),
                     (row(page, "Applications", "Toolshed command line"), "Toolshed command line")):
        keys.sure(at, "Revoke as lost")
        result = part(page, f"“{name}” is revoked as lost")
        expect(result.get_by_role("heading", level=2)).to_be_focused()
        expect(result.get_by_role("listitem")).to_have_count(1)
    assert secrets["left in a train"].get("/api/me").status_code == 401
    assert [phone.get("/api/me").status_code for phone in phones] == [401, 401]
    assert person.get("/api/me").status_code == 200


def test_an_application_is_let_in_or_not(page, keys, person, instance):
    person.connect(GITHUB)
    seen = elsewhere(page)
    client = Client(instance, client_name="Notebook")
    for answer in ("Decline", "Approve"):
        page.goto(f"/authorize?{client.query(pkce()[1])}")
        keys.press(keys.button(page, "Go on to what it asks for"))
        expect(heading(page)).to_be_focused()
        choice = keys.button(page, answer)
        expect(choice).to_be_enabled()
        keys.press(choice)
        if answer == "Decline":  # a yes goes back by itself
            expect(page.locator("#back")).to_be_focused()
            page.keyboard.press("Enter")
        expect(page.get_by_text("Welcome back.")).to_be_visible()
    assert "error=access_denied" in seen[0] and "code=" in seen[-1]


# Plugins

def opened(keys: Keyboard, name: str):
    found = row(keys.page, "Plugins", name)
    keys.unfold(found)
    return found


def test_a_plugin_is_muted_limited_and_sent_away_and_its_token_replaced(page, keys, person, plugin, double):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    assert plugin.token("github", ["repo"], user=person)
    page.goto("/vault")
    plugins = part(page, "Plugins")
    keys.sure(opened(keys, plugin.name), "Mute")
    keys.hears("is muted")
    page.keyboard.press("Tab")
    expect(row(page, "Plugins", plugin.name).get_by_role("heading")).to_be_focused()
    assert plugin.vend("github", ["repo"], user=person).json()["error"] == "not-permitted"
    keys.press(keys.button(opened(keys, plugin.name), "Unmute"))
    keys.hears("may ask you again")
    keys.goes_on(plugins)
    found = opened(keys, plugin.name)
    keys.write(found.get_by_label("Only these services"), "linear")
    keys.write(found.get_by_label("Tokens that carry at most"), "linear: read")
    keys.write(found.get_by_label("Only these calls"), "linear POST /graphql")
    keys.write(found.get_by_label("Tokens a minute"), "120", "Enter")
    keys.hears("is limited as you said")
    keys.goes_on(plugins)
    assert plugin.vend("github", ["repo"], user=person).status_code == 404
    found = opened(keys, plugin.name)
    for label in ("Only these services", "Tokens that carry at most", "Tokens a minute", "Only these calls"):
        keys.write(found.get_by_label(label), "")
    keys.press(keys.button(found, "Save limits"), "Space")
    keys.hears("has no limits of yours")
    assert plugin.token("github", ["repo"], user=person)
    keys.sure(row(page, "Plugins", plugin.name), "Revoke")
    keys.hears("does not expire by itself: replace it")
    keys.goes_on(plugins)
    keys.sure(plugins.get_by_role("listitem").filter(has_text="may still hold a token"), "Replace the token")
    keys.hears("GitHub cannot end the old token by itself")
    keys.press(page.get_by_role("status").get_by_role("link", name="Connect GitHub again"))
    expect(heading(page)).to_have_text("Reconnect GitHub")
    assert plugin.link("github", ["repo"], user=person)["reason"] == "plugin-not-approved"


def test_a_plugin_of_ones_own_is_registered_given_another_key_and_ended(page, keys, person, instance):
    page.goto("/vault")
    plugins = part(page, "Plugins")
    name = f"Mail sorter {person.user_id[2:8]}"
    keys.write(plugins.get_by_label("Name of a plugin of your own"), name, "Enter")
    first = Bearer(instance, plugins.locator(".secret").text_content(), "")
    keys.press(keys.button(plugins, "I have stored it"))
    keys.hears("is no longer shown")
    person.connect(first.link("github", ["repo"], user=person)["authorizationUrl"])
    keys.write(opened(keys, name).get_by_label("Its present key, to change it"), "tsp_mistyped", "Enter")
    keys.hears("the plugin's present key")
    page.keyboard.press("Tab")
    expect(row(page, "Plugins", name).get_by_label("Its present key, to change it")).to_be_focused()
    keys.write(row(page, "Plugins", name).get_by_label("Its present key, to change it"), first.key, "Enter")
    expect(plugins.locator(".secret")).to_contain_text("tsp_")
    second = Bearer(instance, plugins.locator(".secret").text_content(), "")
    keys.press(keys.button(plugins, "I have stored it"))
    keys.press(keys.button(opened(keys, name), "End the old key now"))
    keys.hears("Only the newest key")
    keys.goes_on(plugins)
    assert first.vend("github", ["repo"], user=person).status_code == 401 and second.token("github", ["repo"], user=person)
    keys.sure(row(page, "Plugins", name), "Revoke as lost")
    expect(part(page, f"“{name}” is revoked as lost").get_by_role("heading", level=2)).to_be_focused()
    assert second.vend("github", ["repo"], user=person).status_code == 401


# The record, and the end of it

def test_the_record_is_chosen_from_and_taken_along(page, keys, person, plugin):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    plugin.token("github", ["repo"], user=person, reason="List your open issues")
    until(lambda: "vended" in [line["event"] for line in person.get("/api/activity").json()["activity"]], "the record")
    page.goto("/vault")
    activity = part(page, "Activity")
    keys.press(page.locator("#activity-tools > summary"))
    expect(activity.get_by_label("What happened").locator("option")).not_to_have_count(1)
    keys.press(activity.get_by_label("What happened"), "Token given")
    keys.press(keys.button(activity, "Show these"))
    expect(activity.get_by_role("listitem")).to_have_count(1)
    for name, ending in (("Export as CSV", ".csv"), ("Export as JSON", ".json")):
        button = keys.button(activity, name)
        with page.expect_download() as download:
            keys.press(button)
        assert download.value.suggested_filename.endswith(ending)
        expect(button).to_be_focused()
    assert [line["event"] for line in json.loads(download.value.path().read_text())["activity"]] == ["vended"]
    keys.press(keys.button(activity, "Show everything"))
    expect(activity.get_by_role("listitem")).not_to_have_count(1)
    keys.press(keys.button(page, "Lock now"))
    keys.hears("Locked: the server has forgotten the keys")
    page.keyboard.press("Tab")
    expect(keys.button(page, "Lock now")).to_be_focused()


def test_everything_is_revoked(page, keys, person, instance, double, look):
    plugin, key = Plugin(instance, f"Last bot of {person.user_id[:6]}"), person.api_key("nightly report")
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    person.connect(LINEAR)
    page.goto("/vault")
    place = part(page, "Revoke everything")
    keys.press(keys.button(place, "Revoke everything"))
    asked = question(place)
    expect(asked).to_contain_text("Everything stops at once")
    expect(asked.locator("p").first).to_be_focused()
    look(page, "vault-everything")
    page.keyboard.press("Escape")
    expect(keys.button(place, "Revoke everything")).to_be_focused()
    assert len(person.connections()) == 2 and key.token("github", ["repo"])
    keys.sure(place, "Revoke everything")
    status = page.get_by_role("status")
    expect(status).to_contain_text("Done. 2 connections removed, 1 plugin and 1 key or browser taken out")
    results = place.get_by_role("listitem")
    expect(results.filter(has_text="Linear")).to_contain_text("taken back at Linear")
    expect(results.filter(has_text="GitHub")).to_contain_text("you can do it there yourself")
    expect(part(page, "Connections").get_by_text("Nothing is connected yet")).to_be_visible()
    look(page, "vault-everything-done")
    assert person.connections() == [] and key.get("/api/me").status_code == 401 and double.count("linear", "revoke") == 1
    assert person.get("/api/me").status_code == 200, "this browser stays, since it was not ticked"
    keys.press(page.get_by_label("Sign out this browser, too"), "Space")
    keys.sure(place, "Revoke everything")
    expect(status).to_contain_text("This browser is signed out")
    assert person.get("/api/me").status_code == 401
