"""Headless Chromium that trusts one instance's authority and resolves nothing but localhost."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from .instance import Instance

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1"]


class Chromium:
    """A browser process with a home of its own. `context()` is a profile: its own cookies, its own person."""

    def __init__(self, instance: Instance):
        self.instance = instance
        self.home = Path(tempfile.mkdtemp(prefix="toolshed-home-"))
        database = self.home / ".pki/nssdb"
        database.mkdir(parents=True)
        for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "test", "-i", instance.ca]):
            subprocess.run(["certutil", "-d", f"sql:{database}", *arguments], check=True, capture_output=True)
        self._playwright = sync_playwright().start()
        self.browser: Browser = self._playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=ARGUMENTS, env=os.environ | {"HOME": str(self.home)})

    def context(self, **more):
        return self.browser.new_context(base_url=self.instance.origin, **more)

    def end(self) -> None:
        self.browser.close()
        self._playwright.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def sign_in(context, person) -> None:
    """The person's own invitation, through the page. Leaves no page open."""
    page = context.new_page()
    page.goto(person.invitation["url"])
    page.get_by_role("button", name="Accept invitation").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)
    page.close()
