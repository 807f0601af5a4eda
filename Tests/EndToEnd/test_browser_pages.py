"""The pages around the main job: links that lead nowhere, errors, the front page."""

import re

import pytest
from playwright.sync_api import expect

from harness.clicking import heading
from harness.instance import ROOT

SITE, SHOWN = ROOT / "nginx/site", ROOT / "docs/screenshots"


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


@pytest.mark.parametrize("name", ["400", "403", "429", "5xx"])
def test_a_page_that_nginx_gives_by_itself(name, browser, look):
    """The file as it stands; that it is given, and with which headers, is in test_headers.py."""
    page = browser.new_page()
    page.route("**/as-an-error", lambda route: route.fulfill(path=SITE / f"{name}.html", content_type="text/html; charset=utf-8"))
    page.goto("/as-an-error")
    expect(heading(page)).to_be_visible()
    look(page, f"error-{name}")


def test_the_documents_show_each_page_narrow_and_wide_dark_and_light():
    """And no picture is there that nobody shows, or that weighs too much."""
    shown = set(re.findall(r"screenshots/([a-z0-9-]+\.png)", (ROOT / "docs/PAGES.md").read_text()))
    there = {file.name: file.stat().st_size for file in SHOWN.glob("*.png")}
    assert shown == set(there), shown ^ set(there)
    elsewhere = {name for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
                 for name in re.findall(r"screenshots/([a-z0-9-]+\.png)", file.read_text())}
    assert elsewhere <= shown, elsewhere - shown
    names = {re.sub(r"-(narrow-dark|wide-light)\.png$", "", name) for name in shown}
    assert shown == {f"{name}-{kind}.png" for name in names for kind in ("narrow-dark", "wide-light")}
    pages = {file.stem for file in SITE.glob("*.html")}
    pictured = {"connect": "consent"} | {code: f"error-{code}" for code in pages if re.fullmatch(r"\d(xx|\d\d)", code)}
    not_shown = [page for page in pages if not any(f"{name}-".startswith(pictured.get(page, page) + "-") for name in names)]
    assert not not_shown, not_shown
    assert not {name: size for name, size in there.items() if size > 150_000} and sum(there.values()) < 6_000_000
