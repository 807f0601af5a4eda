"""Plugins on the pages: narrowing, muting, ending them, one's own; what was declined; and keys that are typed."""

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Page, expect

from harness.clicking import button, decide, finished, heading
from harness.flow import GITHUB
from harness.people import Bearer, Person, Plugin
from harness.waiting import until


@pytest.fixture
def person(instance):
    return Person(instance, "Ada Lovelace")


def part(page: Page, name: str):
    return page.get_by_role("region", name=name, exact=True)


def row(page: Page, region: str, text: str):
    return part(page, region).get_by_role("listitem").filter(has=page.get_by_role("heading", name=text))


def opened(page: Page, region: str, text: str):
    """The row with its choices open, as they are after it was drawn anew."""
    found = row(page, region, text)
    if not found.get_by_role("button", name="Save limits").is_visible():
        found.get_by_text("Change", exact=True).click()
    return found


def confirm(place, name: str) -> None:
    place.get_by_role("button", name=name, exact=True).click()
    place.get_by_role("group", name=re.compile(".")).get_by_role("button", name=name, exact=True).click()


def status(page: Page):
    return page.get_by_role("status")


def test_the_page_says_by_which_key_a_plugin_asks(page, person, instance, double, look):
    library, plain, own = Plugin(instance, "Calendar helper"), Plugin(instance, "Issue counter"), person.own_plugin("My own script")
    for plugin, key in ((library, library.register(person)), (plain, plain), (own, own)):
        person.connect(key.link("github", ["repo"], user=person)["authorizationUrl"])
        assert key.token("github", ["repo"], user=person)
    entry = lambda: next(e for e in person.plugins() if e["id"] == library.id)  # noqa: E731
    until(lambda: entry()["keyUsedAt"], "the use was noted")
    page.goto("/vault")
    expect(row(page, "Plugins", library.name)).to_contain_text("It uses a key of your own, which opens nothing of anybody else’s. Last used ")
    expect(row(page, "Plugins", plain.name)).to_contain_text("It uses its general key, which opens what everybody approved for it.")
    expect(row(page, "Plugins", "My own script")).to_contain_text("It uses its general key.")
    expect(part(page, "Activity").get_by_role("listitem").filter(has_text=f"A key of your own for {library.name}")).to_have_count(1)
    look(page, "vault-plugin-keys", every=True)
    assert library.token("github", ["repo"], user=person)
    until(lambda: entry()["keyInUse"] == "general", "the other use was noted")
    page.reload()
    expect(row(page, "Plugins", library.name)).to_contain_text("It uses its general key, which opens what everybody approved for it. Last used ")


def test_a_plugin_is_narrowed_muted_and_ended_on_the_page(page, person, instance, double, look):
    plugin = Plugin(instance, "Release watcher", "--rate", "6000")
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    assert plugin.token("github", ["repo"], user=person)
    page.goto("/vault")
    found = opened(page, "Plugins", plugin.name)
    expect(found).to_contain_text("Limited by the operator: 6000 tokens a minute")
    found.get_by_label("Only these services").fill("linear, slack")
    found.get_by_label("Tokens that carry at most").fill("linear: read\nslack: chat:write")
    found.get_by_label("Tokens a minute").fill("120")
    found.get_by_label("Only these calls").fill("linear post /graphql")
    look(page, "vault-plugin-limits", every=True)
    found.get_by_role("button", name="Save limits").click()
    expect(status(page)).to_contain_text("is limited as you said")
    limits = next(entry for entry in person.plugins() if entry["id"] == plugin.id)["limits"]
    assert limits == {"providers": ["linear", "slack"], "scopes": {"linear": ["read"], "slack": ["chat:write"]},
                      "ratePerMinute": 120, "calls": [{"provider": "linear", "methods": ["POST"], "path": "/graphql"}]}
    assert plugin.vend("github", ["repo"], user=person).status_code == 404
    found = opened(page, "Plugins", plugin.name)
    expect(found.get_by_label("Only these services")).to_have_value("linear slack")
    found.get_by_label("Tokens a minute").fill("many")
    found.get_by_role("button", name="Save limits").click()
    expect(status(page)).to_contain_text("a whole number from 1 to 60000")
    for label in ("Only these services", "Tokens that carry at most", "Tokens a minute", "Only these calls"):
        found.get_by_label(label).fill("")
    found.get_by_role("button", name="Save limits").click()
    expect(status(page)).to_contain_text("has no limits of yours")
    assert plugin.token("github", ["repo"], user=person)

    confirm(opened(page, "Plugins", plugin.name), "Mute")
    expect(status(page)).to_contain_text("is muted")
    expect(row(page, "Plugins", plugin.name).get_by_text("muted", exact=True)).to_be_visible()
    assert plugin.vend("github", ["repo"], user=person).json()["error"] == "not-permitted"
    opened(page, "Plugins", plugin.name).get_by_role("button", name="Unmute").click()
    expect(status(page)).to_contain_text("may ask you again")

    confirm(row(page, "Plugins", plugin.name), "Revoke")
    expect(status(page)).to_contain_text("does not expire by itself: replace it")
    held = part(page, "Plugins").get_by_role("listitem").filter(has_text="may still hold a token for GitHub: octo")
    expect(held).to_contain_text("It has no end of its own")
    look(page, "vault-plugin-held")
    confirm(held, "Replace the token")
    expect(status(page)).to_contain_text("GitHub cannot end the old token by itself")
    link = status(page).get_by_role("link", name="Connect GitHub again")
    expect(link).to_have_attribute("href", re.compile(r"/connect\?.*connection=c_"))
    # It is the connection's own token, so that stays said, also to who comes back later, until there is another one.
    page.reload()
    expect(held).to_contain_text("It has no end of its own")
    person.connect(GITHUB | {"connection": person.connections()[0]["id"]})
    page.reload()
    expect(row(page, "Connections", "GitHub: octo")).to_be_visible()
    expect(held).to_be_hidden()


def test_a_person_registers_a_plugin_changes_its_key_and_ends_it(page, person, instance, look):
    page.goto("/vault")
    plugins = part(page, "Plugins")
    name = f"Mail sorter {person.user_id[2:8]}"
    plugins.get_by_label("Name of a plugin of your own").fill(name)
    plugins.get_by_role("button", name="Register a plugin").click()
    shown = plugins.locator(".secret")
    expect(shown).to_contain_text("tsp_")
    first = Bearer(instance, shown.text_content(), "")
    look(page, "vault-own-plugin")
    plugins.get_by_role("button", name="I have stored it").click()
    person.connect(first.link("github", ["repo"], user=person)["authorizationUrl"])

    found = opened(page, "Plugins", name)
    expect(found).to_contain_text("added by you on")
    found.get_by_label("Its present key, to change it").fill("tsp_mistyped")
    found.get_by_role("button", name="Change the key").click()
    expect(status(page)).to_contain_text("the plugin's present key")
    found.get_by_label("Its present key, to change it").fill(first.key)
    found.get_by_role("button", name="Change the key").click()
    expect(shown).to_contain_text("tsp_")
    second = Bearer(instance, shown.text_content(), "")
    assert second.key != first.key and first.key not in page.content()
    for key in (first, second):
        assert key.token("github", ["repo"], user=person)
    expect(row(page, "Plugins", name)).to_contain_text("Its old key works until")
    opened(page, "Plugins", name).get_by_role("button", name="End the old key now").click()
    expect(status(page)).to_contain_text("Only the newest key")
    assert first.vend("github", ["repo"], user=person).status_code == 401
    assert second.token("github", ["repo"], user=person)
    confirm(row(page, "Plugins", name), "Revoke")
    expect(row(page, "Plugins", name)).to_be_hidden()
    assert second.vend("github", ["repo"], user=person).status_code == 401
    # What it was handed outlives it, and so does the button that replaces it: also for who left the page.
    held = part(page, "Plugins").get_by_role("listitem").filter(has_text=f"{name} may still hold a token for GitHub: octo")
    expect(held).to_contain_text("It has no end of its own")
    page.reload()
    confirm(held, "Replace the token")
    expect(status(page)).to_contain_text("GitHub cannot end the old token by itself")
    look(page, "vault-own-plugin-held")
    person.connect(GITHUB | {"connection": person.connections()[0]["id"]})
    page.reload()
    expect(row(page, "Connections", "GitHub: octo")).to_be_visible()
    expect(held).to_be_hidden()
    plugins.get_by_label("Name of a plugin of your own").fill("T\u043e\u043elshed")
    plugins.get_by_role("button", name="Register a plugin").click()
    expect(status(page)).to_contain_text("Choose a name that no other plugin has")


def test_a_list_that_is_cut_says_so_and_goes_on_when_asked(page, person, look):
    """As if there were 2,300 keys: the caps of this server keep a person from having them."""
    names = [f"key {number:04}" for number in range(2300)]
    asked = []

    def answer(route, request):
        query = dict(parse_qsl(urlsplit(request.url).query))
        start, limit = int(query.get("after", 0)), int(query["limit"])
        asked.append(start)
        keys = [{"id": f"s_{'A' * 17}{number:04}Q", "name": names[number], "createdAt": "2026-01-01T00:00:00Z", "lastUsedAt": None, "current": False}
                for number in range(start, min(start + limit, len(names)))]
        route.fulfill(json={"keys": keys, "next": str(start + limit) if start + limit < len(names) else None})

    page.route(re.compile(r"/api/keys\?"), answer)
    page.goto("/vault")
    keys = part(page, "API keys")
    rows = keys.locator("[data-list] > li")
    expect(rows).to_have_count(2000)
    expect(keys.get_by_text("There are more than are shown here.")).to_be_visible()
    keys.get_by_role("button", name="Show more API keys").click()
    expect(rows).to_have_count(2300)
    expect(keys.get_by_text("There are more than are shown here.")).to_be_hidden()
    assert asked == [0, 500, 1000, 1500, 2000]
    assert page.evaluate("() => document.activeElement.textContent").strip().startswith("key 2000"), "reading goes on where it stopped"
    part(page, "Activity").get_by_text("Filter and export").click()
    # By its place: roles of a page this long take their time.
    expect(page.locator("#activity-filter [name=caller] option").last).to_have_text("There are more than are listed here.")


def test_what_can_be_left_out_is_left_out_and_may_be_allowed_again(page, person, plugin, double, look):
    need = plugin.link("github", ["repo"], user=person, optionalScopes=["gist", "notifications"])
    page.goto(need["authorizationUrl"])
    main = page.get_by_role("main")
    expect(main.get_by_role("checkbox", disabled=False)).to_have_count(2)
    main.get_by_role("checkbox", name=re.compile("gist")).uncheck()
    look(page, "consent-optional", every=True)
    decide(page)
    button(page, "Allow as octo").click()
    finished(page)
    assert plugin.token("github", ["repo"], user=person)["scopes"] == ["notifications", "repo"]
    assert plugin.vend("github", ["gist"], user=person).json()["error"] == "scope-declined"
    page.goto("/vault")
    declined = row(page, "Requests waiting for you", plugin.name)
    expect(declined).to_contain_text("gist")
    confirm(declined, "Allow asking again")
    expect(status(page)).to_contain_text("may ask again")
    assert plugin.link("github", ["gist"], user=person)["missingScopes"] == ["gist"]


def test_a_limit_stands_on_the_consent_page_where_it_is_in_the_way(page, person, instance, double, look):
    limited = Plugin(instance, None, "--scope", "github:repo")
    person.connect(GITHUB | {"scope": "repo gist"})
    page.goto(limited.link("github", ["repo"], user=person)["authorizationUrl"])
    expect(page.get_by_role("heading", name=f"More than {limited.name} may have")).to_be_visible()
    expect(button(page, "Decline")).to_be_enabled()
    expect(button(page, "Approve")).to_be_hidden()
    look(page, "consent-limited")
    page.get_by_role("link", name="connect separately", exact=True).click()
    decide(page)
    button(page, "Allow as octo").click()
    finished(page)
    assert limited.token("github", ["repo"], user=person)["scopes"] == ["repo"]


def test_a_key_is_typed_into_the_page_and_is_in_no_address(page, person, plugin, double, look):
    need = plugin.link("keyed", ["mail.send"], user=person, reason="Send your newsletter")
    page.goto(need["authorizationUrl"])
    expect(heading(page)).to_have_text(f"{plugin.name} asks for Key provider")
    field = page.get_by_label("Secret key", exact=True)
    expect(field).to_have_attribute("type", "password")
    expect(field).to_have_attribute("autocomplete", "off")
    expect(page.get_by_role("link", name="Make one at Key provider")).to_have_attribute("href", "https://keys.example/settings")
    look(page, "consent-key", every=True)
    decide(page)
    expect(status(page)).to_contain_text("Paste your Secret key first")
    expect(field).to_be_focused()
    name = page.get_by_label("Your name for it")
    name.fill("</script><img src=x onerror=alert(1)>")
    field.fill("key_live_wrong")
    decide(page)
    expect(status(page)).to_contain_text("a key that Key provider accepts")
    expect(field).to_have_value("key_live_wrong")
    expect(name).to_have_value("</script><img src=x onerror=alert(1)>")
    look(page, "consent-key-refused")
    key = double.key()
    field.fill(key)
    expect(button(page, "Approve")).to_be_enabled()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    field.press("Enter")
    finished(page)
    expect(heading(page)).to_have_text("Key provider is connected")
    expect(page.get_by_role("main")).to_contain_text("Connected as octo")
    assert all(key not in url for url in requests) and key not in page.url and key not in page.content()
    history = page.context.new_cdp_session(page).send("Page.getNavigationHistory")
    assert all(key not in entry["url"] for entry in history["entries"])
    assert plugin.token("keyed", ["mail.send"], user=person)["accessToken"] == key
    page.goto("/vault")
    expect(row(page, "Connections", "Key provider: octo")).to_contain_text("“</script><img src=x onerror=alert(1)>”")
    expect(page.locator("main img")).to_have_count(0)
    row(page, "Connections", "Key provider: octo").get_by_role("link", name="Reconnect").click()
    expect(page.get_by_text("optional; empty keeps the one that it has")).to_be_visible()
