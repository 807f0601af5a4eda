"""Pictures of a page as people see it, and a check of it as people hear it."""

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SIZES = {"narrow": {"width": 360, "height": 780}, "wide": {"width": 1280, "height": 900}}
SCHEMES = ("light", "dark")
JUDGED = {("narrow", "dark"), ("wide", "light")}
AXE = Axe()


class Camera:
    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, page: Page, name: str, every: bool = False) -> None:
        """Pictures narrow and wide, dark and light (`every`: all four). No side scrolling, and nothing that axe-core
        objects to."""
        before = page.viewport_size
        # A dialog darkens what is behind it as far as the window reaches.
        whole = page.locator("dialog[open]").count() == 0
        for size, viewport in SIZES.items():
            page.set_viewport_size(viewport)
            for scheme in SCHEMES:
                judged = (size, scheme) in JUDGED
                if judged or every:
                    page.emulate_media(color_scheme=scheme)
                    page.screenshot(path=self.folder / f"{name}-{size}-{scheme}.png", full_page=whole, animations="disabled")
                if judged:
                    judge(page, name)
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than {size}"
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(before)


def judge(page: Page, name: str) -> None:
    found = AXE.run(page).response["violations"]
    assert not found, f"{name}: " + "; ".join(
        f"{rule['id']}: {rule['help']}: {[node['target'] for node in rule['nodes']]}" for rule in found)
