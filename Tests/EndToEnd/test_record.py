"""The record keeps what was said: of connections that are gone, under keys that have changed, in vaults that were linked;
for its person, and for nobody else."""

import csv
import io

import pytest
from decryptor import identifier
from playwright.sync_api import expect

from harness.browsing import lend_session
from harness.database import Database
from harness.people import Person, Plugin
from harness.waiting import until

SAID = ("github", "mallory", "to see what is left", "issues.count")


def happened(person: Person, **choice) -> list[dict]:
    reply = person.get("/api/activity", params={"limit": 500} | choice)
    assert reply.status_code == 200, reply.text
    return reply.json()["activity"]


def said(person: Person) -> list[tuple]:
    """What is read of uses, newest first."""
    return [(line["provider"], line["account"], line["reason"], line["tool"]) for line in happened(person, event="vended")]


def use(person: Person, plugin: Plugin) -> str:
    """Connects, and uses it once with a reason, once without. The connection's id."""
    provider, account, reason, tool = SAID
    before = len(said(person))
    person.connect(plugin.link(provider, ["repo"], user=person, reason="not this one")["authorizationUrl"], account=account)
    used = plugin.token(provider, ["repo"], user=person, reason=reason, tool=tool)
    plugin.token(provider, ["repo"], user=person)
    until(lambda: len(said(person)) == before + 2, "both uses to be listed")
    return used["connection"]["id"]


def exported(person: Person, form: str) -> list[dict]:
    reply = person.get(f"/api/activity/export?format={form}")
    assert reply.status_code == 200, reply.text
    if form == "json":
        return reply.json()["activity"]
    return list(csv.DictReader(io.StringIO(reply.content.decode(), newline="")))


BOTH = [("github", "mallory", "", ""), SAID]


@pytest.fixture
def gone(instance, person):
    """A person with a connection that was used, and was then taken away."""
    plugin = Plugin(instance)
    connection = use(person, plugin)
    assert person.delete(f"/api/connections/{connection}").status_code == 200
    until(lambda: happened(person, event="removed"), "the removal to be listed")
    return person, plugin, connection


def test_what_was_said_outlives_its_connection(gone, other):
    person, plugin, connection = gone
    assert person.connections() == []
    assert said(person) == BOTH
    of_it = happened(person, connection=connection)
    assert {line["event"] for line in of_it} >= {"connected", "vended", "removed"}
    assert {line["account"] for line in of_it} == {"mallory"}, "also where nothing was said"
    for form in ("csv", "json"):
        lines = [line for line in exported(person, form) if line["event"] == "vended"]
        assert [(line["provider"], line["account"], line["reason"], line["tool"]) for line in lines] == BOTH
    assert [line for line in happened(other) if line["event"] != "signed-in"] == []
    assert plugin.get("/api/activity").status_code == 403


def test_the_page_shows_it(gone, page, look):
    person = gone[0]
    page.context.clear_cookies()
    lend_session(page.context, person)
    page.goto("/vault#activity")
    activity = page.get_by_role("region", name="Activity", exact=True)
    use = activity.get_by_role("listitem").filter(has_text=SAID[2])
    expect(use).to_have_count(1)
    expect(use).to_contain_text("mallory")
    expect(use).to_contain_text("issues.count")
    look(page, "vault-activity-of-what-is-gone")


def test_another_browser_reads_it_when_the_vaults_are_one_and_not_before(gone):
    person = gone[0]
    elsewhere = person.elsewhere()
    assert {line[1:] for line in said(elsewhere)} == {(None, "", "")}, "of another vault, when and by whom is all there is"
    offer = person.post("/api/vault/link", {"step": "offer"}).json()
    assert elsewhere.post("/api/vault/link", {"step": "claim", "code": offer["code"]}).status_code == 200
    assert person.post("/api/vault/link", {"step": "seal", "id": offer["id"]}).status_code == 200
    digest = elsewhere.get("/api/vault/link").json()["offers"][0]["digest"]
    assert elsewhere.post("/api/vault/link", {"step": "accept", "id": offer["id"], "digest": digest}).status_code == 200
    assert said(elsewhere) == said(person) == BOTH


def test_what_the_vault_that_goes_had_to_say_goes_along(gone):
    person = gone[0]
    code = person.post("/api/vault/recovery", {}).json()["code"]
    elsewhere = person.elsewhere()
    kept = Plugin(person.instance)
    use(elsewhere, kept)
    assert elsewhere.post("/api/vault/link", {"step": "recovery", "code": code}).status_code == 200
    [offer] = elsewhere.get("/api/vault/link").json()["offers"]
    accepted = elsewhere.post("/api/vault/link", {"step": "accept", "id": offer["id"], "digest": offer["digest"]})
    assert accepted.status_code == 200, accepted.text
    assert said(person) == said(elsewhere) == BOTH + BOTH


def test_after_a_loss_it_is_read_on_and_a_locked_browser_may_take_a_connection_away(instance, person):
    plugin = Plugin(instance)
    connection = use(person, plugin)
    elsewhere = person.elsewhere()
    [listed] = elsewhere.connections()
    assert listed["status"] == "locked"
    assert elsewhere.delete(f"/api/connections/{connection}").status_code == 200
    lost = person.api_key()
    assert person.post("/api/vault/lost", {"holder": lost.id}).status_code == 200
    assert person.connections() == []
    assert said(person) == BOTH


def test_a_plugin_that_was_let_in_while_nobody_was_there_says_why_all_the_same(instance, person):
    """A plugin has no vault: what it says is sealed under what lies in the credential. The key of it comes sealed to the
    vault where the vault is closed, and is wrapped at the first look."""
    plugin, lost = Plugin(instance), person.api_key()
    use(person, plugin)
    connection = person.connections()[0]["id"]
    assert person.call("PATCH", f"/api/connections/{connection}", {"backgroundRefresh": True}).status_code == 204
    assert person.delete(f"/api/plugins/{plugin.id}").status_code == 200
    again = Plugin(instance)
    person.connect(again.link("github", ["repo"], user=person)["authorizationUrl"])
    again.token("github", ["repo"], user=person, reason="by another")
    until(lambda: len(happened(person, event="vended")) == 3, "the third use to be listed")
    assert said(person) == [("github", "mallory", "by another", ""), *BOTH]
    # One for each key that the connection had; none but the present one is still written under.
    database = Database(instance)
    query = "SELECT count(*), count(ended_at_ms), sum(key_form = 'sealed') FROM log_key WHERE person = ?"
    [(keys, ended, sealed)] = database.run(query, identifier(person.user_id))
    assert keys == ended + 1 and sealed == 0 and keys >= 2
    assert person.post("/api/vault/lost", {"holder": lost.id}).status_code == 200
    assert said(person) == [("github", "mallory", "by another", ""), *BOTH]
