"""A person without a pointer: goes by Tab to what they want and presses keys, and sees on the way where they are."""

import re

from playwright.sync_api import Locator, Page, expect

STOPS = 250  # more than any page has
KEYS = {"Enter", "Space", "Escape", "Home", "End", "ArrowDown", "ArrowUp"}

# Of what has the focus: whether it is the target, or behind it, and whether a person sees that it is there.
WHERE = """target => {
    const at = document.activeElement;
    const box = at.getBoundingClientRect();
    const style = getComputedStyle(at);
    const points = [[.5, .5], [.1, .5], [.9, .5], [.5, .1], [.5, .9]].map(([x, y]) => [box.left + box.width * x, box.top + box.height * y]);
    const isNowhere = at === document.body;
    return {
        isThere: at === target, isNowhere,
        isBehind: !isNowhere && (target.compareDocumentPosition(at) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0,
        isMarked: isNowhere || at.matches("h1") || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0),
        isSeen: isNowhere || points.some(([x, y]) => { const hit = document.elementFromPoint(x, y); return hit !== null && (at.contains(hit) || hit.contains(at)); }),
        what: at.cloneNode(false).outerHTML,
    };
}"""


def question(place) -> Locator:
    """A group named by its own sentence."""
    return place.get_by_role("group", name=re.compile("."))


class Keyboard:
    def __init__(self, page: Page):
        self.page = page

    def go(self, target: Locator) -> None:
        """There by Tab, or by Shift and Tab where it lies behind; every stop on the way is marked and in sight."""
        expect(target).to_be_visible()
        for _ in range(STOPS):
            at = target.evaluate(WHERE)
            assert at["isMarked"], f"nobody sees that the focus is here: {at['what']}"
            assert at["isSeen"], f"the focus is out of sight: {at['what']}"
            if at["isThere"]:
                return
            self.page.keyboard.press("Shift+Tab" if at["isBehind"] else "Tab")
        raise AssertionError(f"never reached by Tab: {target}")

    def press(self, target: Locator, *keys: str) -> None:
        """Goes there and presses: keys, or text to type. Without any: Enter."""
        self.go(target)
        for key in keys or ("Enter",):
            self.page.keyboard.press(key) if key in KEYS else self.page.keyboard.type(key)

    def write(self, field: Locator, text: str, *keys: str) -> None:
        """Into a field, in place of what is in it."""
        self.go(field)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(text)
        for key in keys:
            self.page.keyboard.press(key)

    def button(self, place, name: str) -> Locator:
        return place.get_by_role("button", name=name, exact=True)

    def unfold(self, place, name: str = "Change") -> None:
        """Opens what is folded away, if it is not open."""
        summary = place.locator("summary").filter(has_text=name).first
        if not summary.locator("xpath=..").evaluate("details => details.open"):
            self.press(summary)

    def sure(self, place, name: str, yes: str | None = None, key: str = "Enter") -> None:
        """Asks, reads, thinks better of it and is where they were; asks again and says yes."""
        first = self.button(place, name)
        self.press(first, "Space")
        said = question(place)
        expect(said.locator("p").first).to_be_focused()
        self.page.keyboard.press("Escape")
        expect(said).to_have_count(0)
        expect(first).to_be_focused()
        self.press(first)
        self.press(self.button(said, yes or name), key)

    def hears(self, text: str) -> None:
        """What was done is said, and the focus is there to be read; from there Tab leads back to the part of the page that
        the person was in, not to its beginning."""
        line = self.page.get_by_role("status")
        expect(line).to_contain_text(text)
        expect(line).to_be_focused()

    def goes_on(self, region: Locator) -> None:
        self.page.keyboard.press("Tab")
        if self.page.get_by_role("status").evaluate("line => line.contains(document.activeElement)"):
            self.page.keyboard.press("Tab")  # past the line's own link
        assert region.evaluate("region => region.contains(document.activeElement)"), self.page.evaluate(
            "() => document.activeElement.outerHTML.slice(0, 300)")
