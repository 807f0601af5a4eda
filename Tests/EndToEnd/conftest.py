"""Fixtures. One instance serves the whole run; what breaks or restarts things asks for `fresh`."""

import os
from pathlib import Path

import pytest

from harness.browsing import Chromium, lend_session, watch
from harness.instance import Instance
from harness.looking import Camera
from harness.people import Person, Plugin

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", Path(__file__).resolve().parents[2] / ".build/screenshots"))


# The files that take longest begin, or the other lanes of a run would wait for them at its end.
LONGEST = ("test_thief.py", "test_struck.py", "test_rules.py", "test_plugins.py", "test_openapi.py", "test_clients.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def instance():
    """nginx with TLS, the daemon and the double, running, without rate limits."""
    made = Instance()
    try:
        yield made.start()
    finally:
        made.end()


@pytest.fixture
def fresh():
    """A function that makes a further instance, laid out but not started; all end with the test."""
    made: list[Instance] = []

    def make(**options) -> Instance:
        made.append(Instance(**options))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.fixture(scope="module")
def module_instance():
    """An instance of one file of tests: what it leaves behind is looked at as a whole."""
    made = Instance()
    try:
        yield made.start()
    finally:
        made.end()


@pytest.fixture
def double(instance):
    """The double of the shared instance, as at the start."""
    instance.double.reset()
    yield instance.double


@pytest.fixture
def person(instance):
    """A new signed-in person."""
    return Person(instance)


@pytest.fixture
def other(instance):
    """Somebody else."""
    return Person(instance)


@pytest.fixture
def plugin(instance):
    """A new plugin, registered by the operator."""
    return Plugin(instance)


@pytest.fixture(scope="session")
def chromium(instance):
    """The browser process; most tests want `browser`."""
    made = Chromium(instance)
    yield made
    made.end()


@pytest.fixture
def profiles(chromium):
    """A function that makes a browser profile nobody has signed in to: a playwright context with cookies of its own.
    Whatever goes wrong inside pages fails the test."""
    made, errors = [], []

    def make(**options):
        made.append(chromium.context(**options))
        watch(made[-1], errors)
        return made[-1]

    yield make
    for context in made:
        context.close()
    assert not errors, errors


@pytest.fixture
def browser(profiles):
    """One such profile."""
    return profiles()


@pytest.fixture
def page(browser, person):
    """A window of `person`'s browser."""
    lend_session(browser, person)
    return browser.new_page()


@pytest.fixture(scope="session")
def look():
    """`look(page, name)` takes pictures, kept after the run in $SCREENSHOTS, and fails on what shuts people out."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return Camera(SCREENSHOTS)
