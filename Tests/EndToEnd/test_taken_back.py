"""What a person takes back while an approval of theirs is on its way: it stays taken back when the approval arrives."""

import base64
import threading

import pytest

from harness.database import Database
from harness.flow import CORP, GITHUB, approval, result
from harness.people import Person, Plugin
from harness.waiting import until


class Consent:
    """One that goes on by steps, so that something can happen between any two."""

    def __init__(self, person: Person, link, account: str = "octo", **decision):
        self.person, self.double = person, person.instance.double
        self.where, self.account = approval(person, link, **decision), account

    def depart(self) -> "Consent":
        self.where = self.double.decide(self.person.login(self.where), account=self.account)
        return self

    def hold(self) -> "Consent":
        """Our question for the token has reached the provider, who does not answer yet."""
        asked = self.double.count("github", "exchange")
        self.double.fault("github", "exchange", "hold", times=1)
        self.arrived = []
        self.thread = threading.Thread(target=lambda: self.arrived.append(self.person.navigate(self.where, site="cross-site")))
        self.thread.start()
        until(lambda: self.double.count("github", "exchange") > asked, "the exchange to be under way")
        return self

    def arrive(self) -> dict:
        self.arrived = [self.person.navigate(self.where, site="cross-site")]
        return result(self.person, self.arrived[0])

    def release(self) -> dict:
        self.double.post("release")
        self.thread.join()
        return result(self.person, self.arrived[0])

    def settle(self, decision: str) -> dict:
        address = f"/api/outcomes/{self.arrived[0].headers['Location'].split('#')[1]}"
        reply = self.person.post(address, {"decision": decision, "formToken": self.person.get(address).json()["formToken"]})
        assert reply.status_code == 200, reply.text
        return reply.json()


def through(stage: str, consent: Consent, meanwhile) -> dict:
    """The consent to its end, with something else happening at that stage of it."""
    if stage == "approved":
        meanwhile()
        return consent.depart().arrive()
    if stage == "at the provider":
        consent.depart()
        meanwhile()
        return consent.arrive()
    if stage == "the exchange under way":
        consent.depart().hold()
        meanwhile()
        return consent.release()
    assert consent.depart().arrive()["status"] == "connected-unused"
    meanwhile()
    return consent.settle("keep")


def withdraw(person: Person, plugin: Plugin):
    return person.delete(f"/api/plugins/{plugin.id}")


def lose(person: Person, plugin: Plugin):
    return person.post("/api/vault/lost", {"holder": plugin.id})


def mute_for_a_moment(person: Person, plugin: Plugin):
    assert person.call("PATCH", f"/api/plugins/{plugin.id}", {"muted": True}).status_code == 204
    return person.call("PATCH", f"/api/plugins/{plugin.id}", {"muted": False})


STAGES = ["approved", "at the provider", "the exchange under way", "waiting for Keep"]


@pytest.mark.parametrize("take_back", [withdraw, lose, mute_for_a_moment])
@pytest.mark.parametrize("stage", STAGES)
def test_a_plugin_that_was_sent_away_does_not_come_back_with_a_consent(person, plugin, double, stage, take_back):
    kept = Plugin(person.instance)
    person.connect(kept.link("github", ["repo"], user=person)["authorizationUrl"])
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    need = plugin.link("github", ["repo", "gist"], user=person)
    consent = Consent(person, need["authorizationUrl"], account="mallory" if stage == "waiting for Keep" else "octo")

    def meanwhile():
        assert take_back(person, plugin).status_code == (204 if take_back is mute_for_a_moment else 200)
    outcome = through(stage, consent, meanwhile)
    assert outcome["status"] == ("kept" if stage == "waiting for Keep" else "connected"), "nothing is lost"
    assert outcome["message"] == "withdrawn"
    # Muting alone takes nothing away that it had before.
    again = plugin.vend("github", ["gist"], user=person)
    # The account that it has is as it was where another was connected; else it has what it was not let in to.
    reason = "insufficient-scope" if take_back is mute_for_a_moment and stage == "waiting for Keep" else "plugin-not-approved"
    assert again.status_code == 403 and again.json()["reason"] == reason, again.text
    if take_back is not mute_for_a_moment:
        assert plugin.vend("github", ["repo"], user=person).status_code == 403
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "declined"
    assert any("gist" in c["scopes"] and c["status"] == "active" for c in person.connections())

    # A yes that is given afterwards is one.
    person.connect(plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"])
    assert plugin.token("github", ["gist"], user=person)


@pytest.mark.parametrize("stage", STAGES[:3])
def test_a_first_consent_does_not_let_in_who_was_sent_away_meanwhile(person, plugin, double, stage):
    consent = Consent(person, plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    outcome = through(stage, consent, lambda: withdraw(person, plugin))
    assert outcome["status"] == "connected" and outcome["message"] == "withdrawn"
    assert plugin.link("github", ["repo"], user=person)["reason"] == "not-connected"
    assert person.api_key().token("github", ["repo"]), "it is the person's"


def test_who_was_let_in_with_another_and_sent_away_is_not_let_in_and_the_other_is(person, plugin, double):
    beside = Plugin(person.instance)
    beside_link = beside.link("github", ["repo"], user=person)["authorizationUrl"]
    person.connect(beside_link)
    link = plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"]
    consent = Consent(person, link, also_for=[beside.id]).depart()
    withdraw(person, beside)
    outcome = consent.arrive()
    assert (outcome["status"], outcome["message"]) == ("connected", "other-withdrawn")
    assert plugin.token("github", ["gist"], user=person)
    assert beside.link("github", ["repo"], user=person)["reason"] == "plugin-not-approved"


def test_a_link_that_was_declined_in_another_window_lets_nobody_in(person, plugin, double):
    need = plugin.link("github", ["repo"], user=person)
    consent = Consent(person, need["authorizationUrl"]).depart()
    assert person.decide(need["authorizationUrl"], "decline").status_code == 200
    assert consent.arrive()["message"] == "withdrawn"
    assert plugin.vend("github", ["repo"], user=person).status_code == 403
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "declined"


# Everything

@pytest.mark.parametrize("stage", ["the exchange under way", "waiting for Keep"])
@pytest.mark.parametrize("kind", ["new", "growing"])
def test_after_everything_was_revoked_nothing_arrives_in_use(instance, double, stage, kind):
    person, plugin = Person(instance), Plugin(instance)
    if kind == "growing" or stage == "waiting for Keep":
        person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    link = plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"]
    consent = Consent(person, link, account="mallory" if stage == "waiting for Keep" else "octo")

    def stop():
        assert person.post("/api/vault/stop").status_code == 200
    if stage == "waiting for Keep":
        assert through(stage, consent, stop)["message"] == "stopped"
        # The person's own word after it: theirs, and nobody's with it.
        assert sorted(c["status"] for c in person.connections()) == ["active", "paused"]
    else:
        outcome = through(stage, consent, stop)
        assert outcome["message"] == "stopped"
        assert outcome["status"] == ("connected" if kind == "growing" else "connected-unused")
        connection, = person.connections()
        assert connection["status"] == "paused" if kind == "growing" else connection["unused"]
        assert "gist" in connection["scopes"], "what the provider issued is kept"
        assert person.api_key().vend("github", ["repo"]).status_code == 403
    assert plugin.vend("github", ["repo"], user=person).status_code == 403


def test_what_was_approved_before_everything_was_revoked_and_left_afterwards_arrives_unused(person, plugin, double):
    """Between the click and the provider's page: the approval is gone, and nothing is asked of the provider."""
    consent = Consent(person, plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    assert person.post("/api/vault/stop").status_code == 200
    reply = person.navigate(consent.where, site="same-origin")
    assert "/connect?" in reply.headers["Location"] and person.connections() == []


def test_a_signed_out_browser_lets_nobody_in_with_what_it_had_begun(person, plugin, double):
    person.connect(CORP)
    other = person.elsewhere()
    consent = Consent(other, plugin.link("github", ["repo"], user=person)["authorizationUrl"]).depart().hold()
    session = other.get("/api/me").json()["sessionId"]
    assert person.delete(f"/api/sessions/{session}").status_code == 204
    double.post("release")
    consent.thread.join()
    arrived = next(c for c in person.connections() if c["provider"] == "github")
    assert arrived["unused"] and plugin.vend("github", ["repo"], user=person).status_code == 403
    assert person.get(f"/api/outcomes/{consent.arrived[0].headers['Location'].split('#')[1]}").json()["message"] == "session-ended"


# One connection

@pytest.mark.parametrize("stage", STAGES[:3])
@pytest.mark.parametrize("decision", ["keep", "remove"])
def test_a_revoked_connection_does_not_come_back_by_a_consent_of_before(person, plugin, double, stage, decision):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    need = plugin.link("github", ["repo", "gist"], user=person)
    consent = Consent(person, need["authorizationUrl"])
    before, = person.connections()

    def revoke():
        assert person.delete(f"/api/connections/{before['id']}").status_code == 200
    outcome = through(stage, consent, revoke)
    assert (outcome["status"], outcome["message"]) == ("connected-unused", "revoked")
    arrived, = person.connections()
    assert arrived["unused"] and plugin.vend("github", ["repo"], user=person).status_code == 403
    key = person.api_key()
    assert key.vend("github", ["repo"]).status_code == 403

    outcome = consent.settle(decision)
    assert plugin.vend("github", ["repo"], user=person).status_code == 403, "it asks anew"
    if decision == "keep":
        assert (outcome["status"], outcome["message"]) == ("kept", "revoked") and key.token("github", ["gist"])
        person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
        assert plugin.token("github", ["repo"], user=person)
    else:
        assert outcome["status"] == "removed" and person.connections() == []


def test_revoking_one_account_leaves_a_consent_of_another_alone(person, plugin, double):
    person.connect(GITHUB)
    first, = person.connections()
    mine = Consent(person, GITHUB | {"connection": "new"}, account="mallory").depart()
    mine.arrive()
    mine.settle("keep")
    second = next(c for c in person.connections() if c["id"] != first["id"])
    need = plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"]
    growing = Consent(person, f"{need}&connection={second['id']}", account="mallory").depart()
    assert person.delete(f"/api/connections/{first['id']}").status_code == 200
    outcome = growing.arrive()
    assert (outcome["status"], outcome["message"]) == ("connected", None)
    assert plugin.token("github", ["gist"], user=person)["connection"]["id"] == second["id"]


@pytest.mark.parametrize("stage", STAGES[:3])
def test_a_paused_connection_stays_paused_when_a_consent_of_before_arrives(person, plugin, double, stage):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    consent = Consent(person, plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"])
    connection = f"/api/connections/{person.connections()[0]['id']}"
    outcome = through(stage, consent, lambda: person.call("PATCH", connection, {"paused": True}))
    assert (outcome["status"], outcome["message"]) == ("connected", "paused")
    assert person.connections()[0]["status"] == "paused" and plugin.vend("github", ["repo"], user=person).status_code == 403
    assert person.call("PATCH", connection, {"paused": False}).status_code == 204
    assert plugin.token("github", ["gist"], user=person), "what was approved is there when it is resumed"


def test_a_connection_that_was_paused_and_resumed_meanwhile_arrives_in_use(person, plugin, double):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    consent = Consent(person, plugin.link("github", ["repo", "gist"], user=person)["authorizationUrl"]).depart()
    connection = f"/api/connections/{person.connections()[0]['id']}"
    for paused in (True, False):
        assert person.call("PATCH", connection, {"paused": paused}).status_code == 204
    assert consent.arrive()["message"] is None and plugin.token("github", ["gist"], user=person)


def test_what_was_revoked_on_another_page_cannot_be_kept(person, double):
    person.connect(GITHUB)
    consent = Consent(person, GITHUB | {"connection": "new"}, account="mallory").depart()
    assert consent.arrive()["status"] == "connected-unused"
    waiting = next(c for c in person.connections() if c["unused"])
    assert person.delete(f"/api/connections/{waiting['id']}").status_code == 200
    assert consent.settle("keep")["status"] == "removed"


def test_what_was_taken_back_is_forgotten_when_nothing_can_be_on_its_way_any_more(person, plugin):
    rows = Database(person.instance)
    identifier = base64.urlsafe_b64decode(person.user_id[2:] + "==")
    withdraw(person, plugin)
    [(number, _)] = rows.run("SELECT number, at_ms FROM taken_back WHERE person = ?", identifier)
    rows.run("UPDATE taken_back SET at_ms = at_ms - 3 * 86400000 WHERE person = ?", identifier)
    until(lambda: not rows.run("SELECT 1 FROM taken_back WHERE person = ?", identifier), "the keeper to sweep it", 100)
    withdraw(person, plugin)
    assert rows.run("SELECT number > ? FROM taken_back WHERE person = ?", number, identifier) == [(1,)]
