"""The main job as a person does it: real Chromium, the pages, the double's page, and back."""

import re

import pytest
from playwright.sync_api import Page, expect

from harness.browsing import lend_session
from harness.clicking import allow, button, connect, decide, finished, heading
from harness.people import Person, Plugin


@pytest.fixture(autouse=True)
def provider_has_nothing_to_complain(double):
    """What no good client does, our cookie at the provider among it."""
    yield
    assert double.complaints() == []


@pytest.fixture
def person(instance):
    return Person(instance, "Ada Lovelace")


@pytest.fixture
def other(instance):
    return Person(instance, "Charles Babbage")


def test_an_invitation_does_nothing_before_the_click_and_leaves_no_trace_in_the_address(profiles, instance, look):
    invited = Person(instance, "Grace Hopper", signed_in=False)
    first, second = profiles(), profiles()
    opened = first.new_page()
    opened.goto(invited.invitation["url"])
    expect(button(opened, "Accept invitation")).to_be_visible()
    assert opened.url == f"{instance.origin}/sign-in"
    history = first.new_cdp_session(opened).send("Page.getNavigationHistory")
    assert all("tsi_" not in entry["url"] for entry in history["entries"])
    look(opened, "sign-in", every=True)

    accepted = second.new_page()
    accepted.goto(invited.invitation["url"])
    button(accepted, "Accept invitation").click()
    accepted.wait_for_url("**/vault")
    expect(accepted.get_by_text("Signed in as Grace Hopper")).to_be_visible()
    expect(accepted.get_by_text("Nothing is connected yet")).to_be_visible()
    look(accepted, "vault-empty")
    cookie, = second.cookies()
    assert cookie["name"] == "__Host-toolshed" and cookie["httpOnly"] and cookie["secure"] and cookie["sameSite"] == "Lax"

    button(opened, "Accept invitation").click()
    expect(opened.get_by_role("status")).to_contain_text("This invitation does not work")
    look(opened, "sign-in-refused")
    accepted.goto(Person(instance, signed_in=False).invitation["url"])
    expect(accepted.get_by_text("Your invitation is still unused")).to_be_visible()
    look(accepted, "sign-in-already")


def test_the_page_says_who_asks_for_what_and_the_click_gives_a_token(page, person, instance, double, look):
    plugin = Plugin(instance, "Issue reader")
    need = plugin.link("github", ["repo", "read:user"], user=person, reason="List your open issues", tool="issues.list")
    page.goto(need["authorizationUrl"])
    expect(heading(page)).to_have_text("Issue reader asks for GitHub")
    main = page.get_by_role("main")
    for text in ("added by the operator of localhost", "List your open issues", "issues.list", need["matchCode"],
                 "Read your profile data", "read only", "Full control of your public and private repositories",
                 "far-reaching", f"You decide as {person.name}", "Approve takes you to GitHub"):
        expect(main).to_contain_text(text)
    for absent in ("This comes with it", "You allowed this at", "Can also be used by"):
        expect(page.get_by_text(absent)).to_be_hidden()
    assert double.count("github", "authorize") == 0 and plugin.link("github", ["repo"], user=person)
    expect(button(page, "Approve")).to_be_enabled()
    look(page, "consent", every=True)

    decide(page)
    expect(button(page, "Allow as octo")).to_be_visible()
    assert page.url.startswith(double.url)
    allow(page)
    expect(heading(page)).to_have_text("GitHub is connected")
    for text in ("Connected as octo", "You can go back to Issue reader", "Read your profile data", "Not you?"):
        expect(main).to_contain_text(text)
    look(page, "done", every=True)
    assert plugin.token("github", ["repo", "read:user"], user=person)["connection"]["account"] == "octo"
    assert not any(name.lower() == "cookie" for asked in double.requests("github") for name, _ in asked["headers"])


def test_the_buttons_wait_until_the_page_was_seen_for_a_while(page, person, plugin, browser):
    page.add_init_script("""new MutationObserver(() => {
        const approve = document.getElementById("approve");
        if (!approve) return;
        if (!document.querySelector("[data-state=ready]").hidden) window.shownAt ??= performance.now();
        if (!approve.disabled) window.enabledAt ??= performance.now();
    }).observe(document, { subtree: true, childList: true, attributes: true });""")
    page.goto(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    expect(heading(page)).to_contain_text("asks for GitHub")
    for name in ("Approve", "Decline"):
        expect(button(page, name)).to_be_enabled()
    assert page.evaluate("() => enabledAt - shownAt") >= 695
    # The window loses the focus, and gets it back: the wait begins again.
    page.evaluate("() => { window.dispatchEvent(new Event('blur')); }")
    for name in ("Approve", "Decline"):
        expect(button(page, name)).to_be_disabled()
    page.evaluate("() => { window.shownAt = performance.now(); window.enabledAt = undefined; dispatchEvent(new Event('focus')); }")
    expect(button(page, "Approve")).to_be_enabled()
    assert page.evaluate("() => enabledAt - shownAt") >= 695


def test_a_decline_is_said_to_the_plugin_and_goes_nowhere(page, person, plugin, double, look):
    need = plugin.link("github", ["repo"], user=person)
    page.goto(need["authorizationUrl"])
    decide(page, "Decline")
    finished(page)
    expect(heading(page)).to_have_text("You declined")
    expect(page.get_by_role("main")).to_contain_text(f"{plugin.name} is told so")
    look(page, "done-declined")
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "declined"
    assert plugin.vend("github", ["repo"], user=person).json()["error"] == "scope-declined"
    assert double.count("github", "authorize") == 0


def test_a_no_at_the_provider_stores_nothing_and_says_so(page, person, plugin, look):
    page.goto(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    decide(page)
    button(page, "Deny").click()
    finished(page)
    expect(heading(page)).to_have_text("GitHub was not connected")
    expect(page.get_by_text("You said no at GitHub.")).to_be_visible()
    look(page, "done-denied")
    assert person.connections() == []


def test_a_scope_left_out_at_the_provider_is_named(page, person, plugin, look):
    page.goto(plugin.link("google", ["calendar", "drive.readonly"], user=person)["authorizationUrl"])
    decide(page)
    page.get_by_role("checkbox", name=re.compile("drive")).uncheck()
    allow(page)
    refused = page.locator(".note", has_text="Asked for, but not granted at Google")
    expect(refused.get_by_role("listitem")).to_have_count(1)
    expect(refused).to_contain_text("drive.readonly")
    expect(refused).to_contain_text(f"That is a no: {plugin.name} is told so, and gets no new link for this for 24 hours")
    look(page, "done-less")
    assert plugin.vend("google", ["drive.readonly"], user=person).json()["error"] == "scope-declined"
    refused.get_by_role("link", name="your vault").click()
    expect(page.get_by_role("region", name="Requests waiting for you").get_by_role("button", name="Allow asking again")).to_be_visible()


def test_two_services_of_one_task_are_two_small_consents(page, person, plugin):
    for provider, name, scope in (("github", "GitHub", "repo"), ("slack", "Slack", "chat:write")):
        connect(page, plugin.link(provider, [scope], user=person)["authorizationUrl"])
        expect(heading(page)).to_have_text(f"{name} is connected")
        assert plugin.token(provider, [scope], user=person)["accessToken"]


def test_the_demo_provider_of_make_up_has_words_and_says_that_it_is_a_demo(page, person, instance, look):
    plugin = Plugin(instance, "Demo agent")
    page.goto(plugin.link("demo", ["repo"], user=person, reason="List your open issues")["authorizationUrl"])
    expect(page.get_by_role("main")).to_contain_text("imaginary")
    decide(page)
    expect(page.get_by_text("This is a demo on your own machine")).to_be_visible()
    look(page, "demo-provider")
    allow(page)
    expect(heading(page)).to_have_text("Demo provider is connected")


def test_a_second_scope_later_is_told_from_what_is_granted(page, person, instance, look):
    plugin = Plugin(instance, "Release notes")
    person.api_key("Nightly report")
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    page.goto(plugin.link("github", ["repo", "gist"], user=person, reason="Publish the notes")["authorizationUrl"])
    fresh = page.locator("section", has=page.get_by_role("heading", name="New, not allowed so far"))
    granted = page.locator("section", has=page.get_by_role("heading", name="You allowed this at GitHub before"))
    expect(fresh.get_by_role("listitem")).to_have_count(1)
    expect(fresh).to_contain_text("gist")
    expect(granted.get_by_role("listitem")).to_have_count(1)
    expect(granted).to_contain_text("Full control of your public and private repositories")
    expect(page.get_by_role("main")).to_contain_text("octo")
    fixed = page.get_by_role("checkbox", name="Nightly report")
    expect(fixed).to_be_checked()
    expect(fixed).to_be_disabled()
    expect(button(page, "Approve")).to_be_enabled()
    look(page, "consent-more", every=True)
    decide(page)
    allow(page)
    assert set(plugin.token("github", ["gist"], user=person)["scopes"]) == {"repo", "gist"}


def test_an_existing_connection_is_enough_for_another_plugin(page, person, plugin, double, look):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    second = Plugin(person.instance)
    page.goto(second.link("github", ["repo"], user=person)["authorizationUrl"])
    expect(page.get_by_text("Your existing connection is enough")).to_be_visible()
    expect(button(page, "Approve")).to_be_enabled()
    look(page, "consent-shared")
    before = double.count("github", "authorize")
    decide(page)
    finished(page)
    expect(heading(page)).to_have_text("GitHub is allowed")
    look(page, "done-allowed")
    assert double.count("github", "authorize") == before and second.token("github", ["repo"], user=person)


def test_the_wrong_person_learns_nothing_about_whose_link_it_is(page, person, other, profiles, plugin, look):
    need = plugin.link("github", ["repo"], user=person, reason="Quarterly numbers", tool="numbers")
    browser = profiles()
    lend_session(browser, other)
    theirs = browser.new_page()
    theirs.goto(need["authorizationUrl"])
    expect(heading(theirs)).to_have_text("This link is not for you")
    expect(theirs.get_by_role("main")).to_contain_text(f"you are signed in as {other.name}")
    said = theirs.locator("body").inner_text()
    for secret in (person.name, person.user_id, plugin.name, "Quarterly numbers", "numbers", need["matchCode"], "GitHub"):
        assert secret not in said
    expect(button(theirs, "Approve")).to_be_hidden()
    look(theirs, "consent-wrong-person")
    expect(theirs.get_by_role("link", name="Open your vault")).to_be_visible()
    status = plugin.get(f"/api/requests/{need['requestId']}").json()
    assert status["status"] == "pending" and status["mismatch"] is True
    connect(page, need["authorizationUrl"])
    assert plugin.token("github", ["repo"], user=person)


def test_the_wrong_person_sees_who_they_are_and_comes_back_as_somebody_else(person, other, profiles, plugin, look):
    need = plugin.link("github", ["repo"], user=person)
    code = person.post("/api/vault/recovery", {}).json()["code"]
    browser = profiles()
    lend_session(browser, other)
    page = browser.new_page()
    page.goto(need["authorizationUrl"])
    expect(heading(page)).to_have_text("This link is not for you")
    expect(page.get_by_role("main")).to_contain_text("you are signed in as Charles Babbage")
    expect(page.get_by_role("link", name="Open your vault")).to_be_visible()
    button(page, "Sign out and use another account").click()
    look(page, "consent-wrong-person-leaves")
    button(page, "Cancel").click()
    assert other.get("/api/me").status_code == 200, "not before yes"
    button(page, "Sign out and use another account").click()
    button(page, "Sign out").click()
    page.wait_for_url("**/sign-in")
    assert other.get("/api/me").status_code == 401
    page.get_by_label("Recovery code").fill(code)
    button(page, "Use the recovery code").click()
    expect(heading(page)).to_have_text(f"{plugin.name} asks for GitHub")
    expect(page.get_by_text("Signed in as Ada Lovelace")).to_be_visible()


def test_a_link_opened_twice_connects_once(page, person, plugin, browser, double, look):
    need = plugin.link("github", ["repo"], user=person)
    tabs = [page, browser.new_page()]
    for tab in tabs:
        tab.goto(need["authorizationUrl"])
        expect(button(tab, "Approve")).to_be_enabled()
    callbacks = []
    page.on("request", lambda request: "/callback?" in request.url and callbacks.append(request.url))
    decide(tabs[0])
    allow(tabs[0])
    decide(tabs[1])
    expect(heading(tabs[1])).to_have_text("Already answered")
    look(tabs[1], "consent-finished")
    # The way back a second time shows how the first one ended.
    shown, exchanges = page.url, double.count("github", "exchange")
    page.goto(callbacks[0])
    finished(page)
    expect(heading(page)).to_have_text("GitHub is connected")
    assert page.url == shown and double.count("github", "exchange") == exchanges == 1
    assert len(person.connections()) == 1


def test_two_tabs_approved_side_by_side_make_one_connection(page, person, plugin, browser):
    need = plugin.link("linear", ["read"], user=person)
    tabs = [page, browser.new_page()]
    for tab in tabs:
        tab.goto(need["authorizationUrl"])
        decide(tab)
        expect(button(tab, "Allow as octo")).to_be_visible()
    for tab in tabs:
        allow(tab)
        expect(heading(tab)).to_have_text("Linear is connected")
    assert len(person.connections()) == 1 and plugin.token("linear", ["read"], user=person)


def test_the_way_back_in_another_browser_stores_nothing(page, person, other, profiles, plugin, look):
    page.goto(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    decide(page)
    expect(button(page, "Allow as octo")).to_be_visible()
    stolen = person.instance.double.decide(page.url, account="mallory")
    browser = profiles()
    lend_session(browser, other)
    theirs = browser.new_page()
    theirs.goto(stolen)
    theirs.wait_for_url("**/error#wrong-browser")
    expect(theirs.get_by_role("heading", name="It was begun in another browser")).to_be_visible()
    look(theirs, "error-wrong-browser")
    assert person.connections() == [] and other.connections() == []


def test_whoever_is_not_signed_in_comes_back_to_exactly_the_link(browser, instance, plugin, look):
    invited = Person(instance, signed_in=False)
    link = plugin.link("github", ["repo", "read:user"], user=invited, reason="a & b")["authorizationUrl"]
    page = browser.new_page()
    page.goto(link)
    expect(page.get_by_text("Sign in first.")).to_be_visible()
    assert plugin.name not in page.locator("body").inner_text()
    look(page, "consent-signed-out")
    button(page, "Sign in").click()
    page.wait_for_url("**/sign-in")
    page.get_by_label("Invitation code").fill(invited.invitation["url"])
    button(page, "Accept invitation").click()
    page.wait_for_url(link)
    expect(heading(page)).to_have_text(f"{plugin.name} asks for GitHub")
    decide(page)
    allow(page)
    assert plugin.token("github", ["repo"], user=invited)


@pytest.mark.parametrize("choice", ["Keep", "Remove"])
def test_another_account_waits_for_keep_or_remove(choice, page, person, plugin, look):
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    connect(page, plugin.link("github", ["gist"], user=person)["authorizationUrl"], account="mallory")
    expect(heading(page)).to_have_text("Keep this account?")
    expect(page.get_by_role("main")).to_contain_text("Connected as mallory")
    assert plugin.vend("github", ["gist"], user=person).status_code == 403, "nobody's until Keep"
    look(page, "done-keep")
    button(page, choice).click()
    if choice == "Remove":
        asked = page.get_by_role("group", name=re.compile("GitHub as mallory is deleted here"))
        expect(asked).to_contain_text("GitHub does not let this server take it back")
        look(page, "done-remove")
        button(asked, "Remove").click()
        expect(page.get_by_role("main")).to_contain_text("The connection as mallory was removed")
        expect(page.get_by_role("main")).to_contain_text("you can do it there yourself")
    accounts = {True: {"octo", "mallory"}, False: {"octo"}}[choice == "Keep"]
    expect(heading(page)).to_have_text("GitHub is connected" if choice == "Keep" else "Removed")
    assert {connection["account"] for connection in person.connections()} == accounts
    assert (plugin.vend("github", ["gist"], user=person).status_code == 200) == (choice == "Keep")


def test_the_result_says_what_was_taken_back_meanwhile(page, person, plugin, look):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    page.goto(plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"])
    decide(page)
    assert person.delete(f"/api/connections/{person.connections()[0]['id']}").status_code == 200
    allow(page)
    expect(heading(page)).to_have_text("Keep this connection?")
    expect(page.get_by_role("main")).to_contain_text("You revoked a connection to GitHub after you had approved this. So nobody was let in")
    expect(page.get_by_text("This is another account")).to_be_hidden()
    look(page, "done-revoked")
    button(page, "Keep").click()
    expect(heading(page)).to_have_text("GitHub is connected")
    expect(page.get_by_role("main")).to_contain_text("nobody was let in")
    expect(page.get_by_text("continues by itself")).to_be_hidden()
    assert plugin.vend("github", ["repo"], user=person).status_code == 403


def test_remove_says_before_and_after_what_it_ends_at_the_service(page, person, other, look):
    """Picked by mistake, the account of somebody else: theirs ends with it, and that is said before the click."""
    google = {"owner": "toolshed", "bridge": "google", "scope": "calendar"}
    other.connect(google, account="mallory")
    person.connect(google)
    arrived = person.connect(google | {"connection": "new"}, account="mallory")
    page.goto(arrived.headers["Location"])
    button(page, "Remove").click()
    asked = page.get_by_role("group", name=re.compile("is deleted here"))
    expect(asked).to_contain_text("other people’s connections to the same account end, too")
    look(page, "done-remove-wide")
    button(asked, "Cancel").click()
    assert person.instance.double.count("google", "revoke") == 0 and len(person.connections()) == 2
    button(page, "Remove").click()
    button(asked, "Remove").click()
    expect(heading(page)).to_have_text("Removed")
    expect(page.get_by_role("main")).to_contain_text("taken back at Google")
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("The connection was removed")
    expect(page.get_by_role("main")).to_contain_text("taken back at Google")
    assert person.instance.double.count("google", "revoke") == 1


def test_after_a_further_consent_the_page_leads_to_the_vault_and_removes_nothing(page, person, look):
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    arrived = person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo gist"})
    page.goto(arrived.headers["Location"])
    expect(heading(page)).to_have_text("GitHub is connected")
    expect(page.get_by_role("main")).to_contain_text("This connection was there before")
    expect(button(page, "Remove")).to_be_hidden()
    expect(page.get_by_role("heading", name="Not you?")).to_be_hidden()
    look(page, "done-grown")
