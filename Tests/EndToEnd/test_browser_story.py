"""The main job in headless Chromium, as a person meets it."""

import pytest
from playwright.sync_api import expect

from harness.browsing import sign_in
from harness.people import Person

SIZES = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 360, "height": 800}}


@pytest.fixture
def newcomer(instance):
    """Invited, not signed in yet."""
    return Person(instance, signed_in=False)


def picture(page, folder, name: str) -> None:
    for size, viewport in SIZES.items():
        for scheme in ("light", "dark"):
            page.set_viewport_size(viewport)
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)


def test_invitation_link_approve_token(instance, double, plugin, newcomer, browser, screenshots):
    asked = plugin.link("corp", ["repo"], user=newcomer, reason="List your open issues", tool="issues.list")
    page = browser.new_page()

    # The link first: it leads to the sign-in and back to itself.
    page.goto(newcomer.invitation["url"])
    assert newcomer.invitation["code"] not in page.url, "the code leaves the address bar"
    picture(page, screenshots, "sign-in")
    page.get_by_role("button", name="Accept invitation").click()
    page.wait_for_url(instance.origin + "/vault")

    page.goto(asked["authorizationUrl"])
    approve = page.get_by_role("button", name="Approve", exact=True)
    expect(approve).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    for text in (newcomer.name, plugin.name, "Corp sign-on", "List your open issues", "issues.list", asked["matchCode"], "repo"):
        expect(page.locator("main, header").get_by_text(text).first).to_be_visible()
    picture(page, screenshots, "connect")
    approve.click()

    page.wait_for_url(double.url + "/**")
    picture(page, screenshots, "provider")
    page.get_by_role("button", name="Allow as octo").click()
    page.wait_for_url(lambda url: url.startswith(instance.origin + "/") and "?" not in url)
    expect(page.locator("main").get_by_text("octo").first).to_be_visible()
    picture(page, screenshots, "done")

    token = plugin.token("corp", ["repo"], user=newcomer)
    assert token["scopes"] == ["repo"]
    page.goto("/vault")
    expect(page.get_by_text("octo").first).to_be_visible()
    picture(page, screenshots, "vault")
    assert double.complaints() == []


def test_decline(double, plugin, newcomer, browser, screenshots):
    asked = plugin.link("corp", ["repo"], user=newcomer)
    sign_in(browser, newcomer)
    page = browser.new_page()
    page.goto(asked["authorizationUrl"])
    page.get_by_role("button", name="Decline", exact=True).click()
    page.wait_for_url(lambda url: "/connect" not in url)
    picture(page, screenshots, "declined")
    reply = plugin.vend("corp", ["repo"], user=newcomer)
    assert reply.status_code == 403 and reply.json()["error"] == "scope-declined"
    assert reply.json()["declinedScopes"] == ["repo"]
    assert double.count("generic", "authorize") == 0


def test_the_wrong_person_learns_nothing(instance, double, plugin, newcomer, other, browser, screenshots):
    asked = plugin.link("corp", ["repo"], user=other, reason="Something private")
    sign_in(browser, newcomer)
    page = browser.new_page()
    page.goto(asked["authorizationUrl"])
    expect(page.get_by_role("heading", level=1)).to_contain_text("not for you")
    expect(page.get_by_role("button", name="Approve", exact=True)).to_be_hidden()
    for text in (other.name, plugin.name, "Something private", asked["matchCode"]):
        assert text not in page.content()
    picture(page, screenshots, "wrong-person")


def test_two_services_for_one_task(double, plugin, newcomer, browser):
    sign_in(browser, newcomer)
    page = browser.new_page()
    for provider, scope in (("corp", "repo"), ("linear", "read")):
        page.goto(plugin.link(provider, [scope], user=newcomer)["authorizationUrl"])
        page.get_by_role("button", name="Approve", exact=True).click()
        page.get_by_role("button", name="Allow as octo").click()
        page.wait_for_url("**/done**")
        assert plugin.token(provider, [scope], user=newcomer)["scopes"] == [scope]
