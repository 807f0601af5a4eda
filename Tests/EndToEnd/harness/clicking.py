"""What a person does on the pages, by the names of things: buttons, headings."""

from playwright.sync_api import Page, expect


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def heading(page: Page):
    return page.get_by_role("heading", level=1)


def decide(page: Page, name: str = "Approve") -> None:
    expect(button(page, name)).to_be_enabled()
    button(page, name).click()


def allow(page: Page, account: str = "octo") -> None:
    """At the provider, and back."""
    button(page, f"Allow as {account}").click()
    finished(page)


def finished(page: Page) -> None:
    page.wait_for_url(lambda url: "/done#o_" in url)
    expect(page.get_by_text("Looking up the result")).to_be_hidden()


def connect(page: Page, link: str, account: str = "octo") -> None:
    page.goto(link)
    decide(page)
    allow(page, account)
