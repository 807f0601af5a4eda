"""The page of control: what is connected, who may use it, and taking it back; the recovery code."""

import re

import pytest
from playwright.sync_api import Page, expect

from harness.people import Bearer, Person, Plugin, mistyped
from harness.waiting import until

IPHONE = ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
          "Version/18.5 Mobile/15E148 Safari/604.1")


@pytest.fixture
def person(instance):
    return Person(instance, "Ada Lovelace")


def part(page: Page, name: str):
    return page.get_by_role("region", name=name, exact=True)


def row(page: Page, region: str, text: str):
    return part(page, region).get_by_role("listitem").filter(has=page.get_by_role("heading", name=text))


def confirm(row, first: str = "Revoke") -> None:
    """The button, the question that it asks, and yes."""
    row.get_by_role("button", name=first, exact=True).click()
    question(row).get_by_role("button", name=first, exact=True).click()


def question(place):
    """A group named by its own sentence."""
    return place.get_by_role("group", name=re.compile("."))


def test_the_vault_lists_what_is_there_and_takes_each_back(page, person, instance, double, look):
    plugin = Plugin(instance, "Release bot")
    idle = Plugin(instance, "Never asked")
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    person.connect({"owner": "toolshed", "bridge": "linear", "scope": "read"})
    code = person.post("/api/vault/recovery", {}).json()["code"]
    elsewhere = Person(instance, signed_in=False, agent=IPHONE)
    elsewhere.post("/api/sign-in/recovery", {"code": code})
    assert plugin.token("github", ["repo"], user=person, reason="List your open issues", tool="issues.list")
    # Uses come from the keeper, a moment later.
    until(lambda: person.connections()[0]["lastUsedBy"] == plugin.name, "the use to be listed")

    page.goto("/vault")
    expect(page.get_by_text(person.user_id)).to_be_visible()
    github = row(page, "Connections", "GitHub: octo")
    expect(github).to_contain_text("repo")
    expect(github).to_contain_text(f"by {plugin.name}")
    used = part(page, "Activity").get_by_role("listitem").filter(has_text="Token given to")
    for text in (plugin.name, "GitHub", "List your open issues", "issues.list"):
        expect(used).to_contain_text(text)
    look(page, "vault", every=True)
    github.get_by_text("What it allows").click()
    expect(github).to_contain_text("Full control of your public and private repositories")
    reach = row(page, "Plugins", plugin.name)
    expect(reach).to_contain_text("added by the operator of localhost")
    expect(reach).to_contain_text("GitHub: octo")
    expect(part(page, "Plugins").get_by_text(idle.name)).to_be_hidden()
    expect(part(page, "Signed-in places").get_by_text("this browser", exact=True).filter(visible=True)).to_have_count(1)
    part(page, "Connections").get_by_text("Connect an account", exact=True).click()
    expect(page.get_by_role("link", name="Connect Slack")).to_be_visible()
    expect(part(page, "Connections")).to_contain_text("has not set up: Asana")

    # A key: made, shown once, works, revoked, refused.
    page.get_by_label("Name of a new key").fill("nightly report")
    page.get_by_role("button", name="Make a key").click()
    shown = part(page, "API keys").locator(".secret")
    expect(shown).to_contain_text("tsk_")
    key = Bearer(instance, shown.text_content(), "")
    assert key.token("github", ["repo"])["connection"]["account"] == "octo"
    look(page, "vault-key")
    part(page, "API keys").get_by_role("button", name="I have stored it").click()
    expect(part(page, "API keys").locator(".secret")).to_be_hidden()
    confirm(row(page, "API keys", "nightly report"))
    expect(page.get_by_role("status")).to_contain_text("no longer works")
    assert key.vend("github", ["repo"]).status_code == 401

    # Background refresh is a decision of its own, with what it means.
    github.get_by_text("Change", exact=True).click()
    github.get_by_role("button", name="Switch background refresh on").click()
    expect(question(github)).to_contain_text("ENCRYPTION_KEY")
    assert not any(connection["backgroundRefresh"] for connection in person.connections()), "not before yes"
    look(page, "vault-question")
    github.get_by_role("button", name="Switch on", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Background refresh is on")
    expect(github.get_by_text("background refresh", exact=True)).to_be_visible()
    assert {c["provider"]: c["backgroundRefresh"] for c in person.connections()} == {"github": True, "linear": False}
    github.get_by_text("Change", exact=True).click()
    github.get_by_role("button", name="Switch background refresh off").click()
    github.get_by_role("button", name="Switch off", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Background refresh is off")
    expect(github.get_by_text("background refresh", exact=True)).to_be_hidden()

    page.get_by_role("button", name="Lock now").click()
    expect(page.get_by_role("status")).to_contain_text("Locked")

    expect(row(page, "Signed-in places", "Firefox on Linux")).to_contain_text("this browser")
    confirm(row(page, "Signed-in places", "Safari on iPhone"))
    expect(page.get_by_role("status")).to_contain_text("is signed out")
    assert elsewhere.get("/api/me").status_code == 401 and person.get("/api/me").status_code == 200

    confirm(reach)
    expect(page.get_by_role("status")).to_contain_text(f"{plugin.name} can no longer use anything of yours")
    # Not while one may still hold a token of before.
    expect(part(page, "Plugins").get_by_text("No plugin can use anything")).to_be_hidden()
    expect(part(page, "Plugins")).to_contain_text(f"{plugin.name} may still hold a token for GitHub: octo")
    assert plugin.link("github", ["repo"], user=person)["reason"] == "plugin-not-approved"

    confirm(row(page, "Connections", "Linear: "))
    expect(page.get_by_role("status")).to_contain_text("Removed here and taken back at Linear")
    assert double.count("linear", "revoke") == 1
    confirm(github)
    expect(page.get_by_role("status")).to_contain_text("GitHub does not let a server take it back")
    expect(part(page, "Plugins").get_by_text("may still hold a token")).to_be_hidden()
    look(page, "vault-revoked")
    expect(part(page, "Connections").get_by_text("Nothing is connected yet")).to_be_visible()
    assert person.connections() == [] and double.complaints() == []

    button = page.get_by_role("button", name="Sign out")
    button.click()
    question(page).get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    expect(page.get_by_role("heading", name="Sign in", level=1)).to_be_visible()
    assert person.get("/api/me").status_code == 401
    page.goto("/vault")
    expect(page.get_by_text("Sign in to see what is connected")).to_be_visible()
    look(page, "vault-signed-out")


def test_a_recovery_code_is_printed_and_opens_the_vault_in_another_browser(page, person, profiles, look):
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    page.goto("/vault")
    page.get_by_role("button", name="Make a recovery code").click()
    shown = part(page, "Recovery").locator(".secret")
    expect(shown).to_contain_text("tsr_")
    code = shown.text_content()
    look(page, "vault-recovery")
    page.emulate_media(media="print")
    expect(shown).to_be_visible()
    for rest in ("Connections", "API keys", "Activity"):
        expect(part(page, rest)).to_be_hidden()
    page.screenshot(path=look.folder / "recovery-printed.png", full_page=True)
    page.emulate_media(media="screen")
    part(page, "Recovery").get_by_role("button", name="I have stored it").click()
    expect(shown).to_have_count(0)

    elsewhere = profiles().new_page()
    elsewhere.goto("/sign-in")
    field = elsewhere.get_by_role("textbox", name="Recovery code")
    field.fill(mistyped(code))
    elsewhere.get_by_role("button", name="Use the recovery code").click()
    expect(elsewhere.get_by_role("status")).to_contain_text("This recovery code does not work")
    field.fill(" ".join(code[i:i + 4] for i in range(0, len(code), 4)))
    elsewhere.get_by_role("button", name="Use the recovery code").click()
    elsewhere.wait_for_url("**/vault")
    expect(row(elsewhere, "Connections", "GitHub: octo")).to_be_visible()
    assert elsewhere.context.cookies()[0]["value"] != page.context.cookies()[0]["value"]
