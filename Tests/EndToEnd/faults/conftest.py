"""What is marked `long` runs by `make faults` only; the rest is a part of every run. FAULTS: `sample` (the default), `faults`
(make faults) or `full` (make faults FULL=1: every point of every sweep)."""

import os

import pytest

from harness.people import Person, Plugin

EXTENT = os.environ.get("FAULTS", "sample")


def pytest_collection_modifyitems(config, items):
    if EXTENT != "sample":
        return
    left = [item for item in items if item.get_closest_marker("long")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture
def extent() -> str:
    return EXTENT


class Company:
    """A person and a plugin that may have their token. `secrets`: what opens all that is anybody's in this instance."""

    _all: dict[int, list[str]] = {}

    def __init__(self, instance, provider: str = "corp", scope: str = "read"):
        self.instance, self.provider, self.scope = instance, provider, scope
        self.person, self.plugin = Person(instance), Plugin(instance)
        arrived = self.person.connect(self.plugin.link(provider, [scope], user=self.person)["authorizationUrl"])
        assert arrived.status_code == 303, arrived.text
        self.key = self.person.api_key()
        self.secrets = self._all.setdefault(instance.port, [])
        self.secrets += [self.person.http.cookies["__Host-toolshed"], self.plugin.key, self.key.key]

    def vend(self):
        return self.plugin.vend(self.provider, [self.scope], user=self.person)


@pytest.fixture
def company():
    return Company
