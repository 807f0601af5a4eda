"""The pages around the main job: links that lead nowhere, errors, the front page."""

import pytest
from playwright.sync_api import expect

from harness.clicking import heading


@pytest.mark.parametrize("query, said", {
    "owner=toolshed&bridge=nothing&scope=x": "Unknown service",
    "owner=toolshed&bridge=demo&scope=x%00": "This link does not work",
    "owner=toolshed&bridge=github&scope=repo&request=r_": "This link does not work",
}.items())
def test_a_link_that_leads_nowhere_says_what_to_do(query, said, page, look):
    page.goto(f"/connect?{query}")
    expect(heading(page)).to_have_text(said)
    look(page, "consent-" + said.lower().replace(" ", "-"))


def test_a_link_that_was_taken_back_is_over(page, person, plugin, look):
    need = plugin.link("github", ["repo"], user=person)
    plugin.call("DELETE", f"/api/requests/{need['requestId']}")
    page.goto(need["authorizationUrl"])
    expect(heading(page)).to_have_text("This request is over")
    look(page, "consent-over")


def test_every_error_code_has_words_of_its_own(browser, look):
    page = browser.new_page()
    page.goto("/error")
    codes = page.locator(".codes > section[id]").evaluate_all("sections => sections.map(section => section.id)")
    assert len(codes) > 10
    for code in [*codes, "constructor", "<b>"]:
        page.evaluate("code => { location.hash = code; }", code)
        expect(page.locator(".codes > section:visible")).to_have_count(1)
        shown = page.locator(".codes > section:visible")
        assert (shown.get_attribute("id") or "general") == (code if code in codes else "general")
        assert "stored" in shown.inner_text() or "nothing was done" in shown.inner_text()
    look(page, "error")
    page.goto("/nothing-here")
    expect(heading(page)).to_have_text("There is nothing here")
    look(page, "error-404")


def test_the_front_page(browser, look):
    page = browser.new_page()
    page.goto("/")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.get_by_text("What it does not protect").click()
    look(page, "index")
