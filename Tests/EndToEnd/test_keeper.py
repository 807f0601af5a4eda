"""The keeper through the whole service: lost answers, providers that are down, its own end, another ENCRYPTION_KEY."""

from concurrent.futures import ThreadPoolExecutor

from harness.people import Person, Plugin
from harness.waiting import until

ENDED = 0  # the provider says: dead on arrival


def connect(person, plugin, double, provider="corp", scope="read", **settings):
    """A connection whose token has ended already."""
    double.set("generic" if provider == "corp" else provider, expires_in=ENDED, **settings)
    arrived = person.connect(plugin.link(provider, [scope], user=person)["authorizationUrl"])
    assert arrived.status_code == 303, arrived.text


def status(person) -> str:
    return person.connections()[0]["status"]


def test_a_provider_that_is_down_kills_nothing(person, plugin, double):
    connect(person, plugin, double)
    double.set("generic", expires_in=3600)
    double.fault("generic", "refresh", "503")
    reply = plugin.vend("corp", ["read"], user=person)
    assert reply.status_code == 503 and int(reply.headers["Retry-After"]) >= 1, reply.text
    assert status(person) == "active"
    double.post("fault", clear=True)
    until(lambda: plugin.vend("corp", ["read"], user=person).status_code == 200, "the provider to be asked again")


def test_a_lost_answer_is_no_loss_where_refresh_tokens_stay(person, plugin, double):
    connect(person, plugin, double, provider="google", scope="calendar")
    double.set("google", expires_in=3600)
    double.fault("google", "refresh", "drop", when="after", times=1)
    until(lambda: plugin.vend("google", ["calendar"], user=person).status_code == 200, "the second try")
    assert double.count("google", "refresh") == 2


def test_a_keeper_that_is_killed_in_the_middle_is_replaced_and_loses_nothing(fresh):
    instance = fresh().start()
    person, plugin, double = Person(instance), Plugin(instance), instance.double
    connect(person, plugin, double, provider="google", scope="calendar")
    double.set("google", expires_in=3600)
    double.fault("google", "refresh", "hold")
    with ThreadPoolExecutor(1) as one:
        asked = one.submit(plugin.vend, "google", ["calendar"], user=person)
        double.get("wait", family="google", endpoint="refresh", count=1, timeout=10)
        before = instance.children("keep")
        for pid in before:
            instance.kill(pid)
        double.post("fault", clear=True)
        double.post("release")
        assert asked.result().status_code in (200, 503)
    until(lambda: set(instance.children("keep")) - set(before), "another keeper")
    until(lambda: plugin.vend("google", ["calendar"], user=person).status_code == 200, "a token")
    assert status(person) == "active"
