"""Headless Chromium that trusts one instance's authority and resolves nothing but localhost."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from .instance import Instance

PATIENCE = 20  # seconds; what is awaited comes much sooner, except on a machine that is busy with other things
expect.set_options(timeout=PATIENCE * 1000)
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1"]


@functools.cache
def driver():
    """One for all browsers: playwright refuses a second one beside it."""
    started = sync_playwright().start()
    atexit.register(started.stop)
    return started


class Chromium:
    """A browser process with a home of its own. `context()` is a profile: its own cookies, its own person."""

    def __init__(self, instance: Instance):
        self.instance = instance
        self.home = Path(tempfile.mkdtemp(prefix="toolshed-home-"))
        database = self.home / ".pki/nssdb"
        database.mkdir(parents=True)
        for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "test", "-i", instance.ca]):
            subprocess.run(["certutil", "-d", f"sql:{database}", *arguments], check=True, capture_output=True)
        self.browser: Browser = driver().chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=ARGUMENTS, env=os.environ | {"HOME": str(self.home)})

    def context(self, **more):
        context = self.browser.new_context(base_url=self.instance.origin, locale="en-US", **more)
        context.set_default_timeout(PATIENCE * 1000)
        return context

    def end(self) -> None:
        self.browser.close()
        shutil.rmtree(self.home, ignore_errors=True)


def sign_in(context, person) -> None:
    """The person's own invitation, through the page. Leaves no page open."""
    page = context.new_page()
    page.goto(person.invitation["url"])
    page.get_by_role("button", name="Accept invitation").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)
    page.close()


def lend_session(context, person) -> None:
    """Gives the profile the cookie of a person who is signed in already: the same session, over HTTP and in the browser."""
    context.add_cookies([{"name": "__Host-toolshed", "value": person.http.cookies["__Host-toolshed"],
                          "url": person.instance.origin, "secure": True, "httpOnly": True, "sameSite": "Lax"}])


def watch(context, errors: list[str]) -> None:
    """Notes what goes wrong inside pages: exceptions, refusals by a content policy, anything else on the console.
    A status that the page's script asked for and handles is none of that."""

    def note(message) -> None:
        handled = message.text.startswith("Failed to load resource: the server responded with a status of 4")
        if message.type in ("error", "warning") and not handled:
            errors.append(f"{message.type}: {message.text}")

    context.on("console", note)
    context.on("weberror", lambda error: errors.append(str(error.error)))
