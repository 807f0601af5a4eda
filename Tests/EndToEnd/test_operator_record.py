"""What the operator does to a plugin is on record: for the operator, and for everybody who let the plugin in."""

import json
import re

import pytest
from playwright.sync_api import expect

from harness.browsing import lend_session
from harness.people import Person, Plugin
from harness.waiting import until

ACTS = ["plugin-changed", "plugin-key-changed", "plugin-key-ended", "plugin-removed"]


def operators(instance, plugin: Plugin) -> list[str]:
    """Lines about nobody, of all audit files, by time."""
    lines = [json.loads(line) for file in (instance.dir / "state/audit").iterdir() for line in file.read_text().splitlines()]
    found = [line for line in lines if line.get("kind") == "operator" and "person" not in line and line["caller"] == plugin.id]
    return [line["event"] for line in sorted(found, key=lambda line: line["at"])]


def read(person: Person, plugin: Plugin) -> list[dict]:
    lines = person.get("/api/activity", params={"caller": plugin.id}).json()["activity"]
    return [line for line in lines if line["callerKind"] == "operator"][::-1]


def change(instance, plugin: Plugin) -> None:
    """All that an operator can do to it, its end included."""
    instance.toolshedd("plugin", "set", plugin.id, "--rate", "600")
    file = instance.dir / "run/key"
    file.write_text(plugin.key)
    instance.toolshedd("plugin", "key", plugin.id, "--key-file", str(file))
    file.unlink()
    instance.toolshedd("plugin", "key", plugin.id, "--finish")
    instance.toolshedd("plugin", "remove", plugin.id)


@pytest.fixture
def told(instance, person, other):
    """Two who let a plugin in, one who withdrew it, one who never did; and the plugin, changed and gone."""
    plugin, withdrew = Plugin(instance, "Report bot of everybody"), Person(instance)
    for someone in (person, other, withdrew):
        someone.connect(plugin.link("github", ["repo"], user=someone)["authorizationUrl"])
    assert withdrew.delete(f"/api/plugins/{plugin.id}").status_code == 200
    change(instance, plugin)
    until(lambda: all(len(read(someone, plugin)) == len(ACTS) for someone in (person, other)), "the lines to be listed")
    yield plugin, withdrew, Person(instance)


def test_everybody_who_let_the_plugin_in_reads_it_and_nobody_else(instance, person, other, told):
    plugin, withdrew, stranger = told
    for someone in (person, other):
        assert [line["event"] for line in read(someone, plugin)] == ACTS
        # Its name is there, though the plugin is not.
        everything = someone.get("/api/activity", params={"caller": plugin.id}).json()["activity"]
        assert {line["caller"] for line in everything} == {"Report bot of everybody"}
        exported = someone.get("/api/activity/export?format=csv&event=plugin-removed").text
        assert "Report bot of everybody" in exported and '"operator"' in exported
    assert read(withdrew, plugin) == read(stranger, plugin) == []
    assert operators(instance, plugin) == ["plugin-added", *ACTS]


def test_it_is_chained_and_verified_with_the_rest(instance, told, tmp_path):
    done = instance.toolshedd("audit", "verify", "--json")
    report = json.loads(done.stdout)
    assert report["ok"]
    # A command closes its file, and says how far it is to whoever keeps such things elsewhere.
    said = instance.toolshedd("plugin", "add", "Another bot of everybody").stderr
    [name] = re.findall(r"audit checkpoint (\S+\.jsonl) 3 \S{43}\n", said)
    kept = tmp_path / "checkpoints"
    kept.write_text(said)
    verified = json.loads(instance.toolshedd("audit", "verify", "--json", "--checkpoints", str(kept)).stdout)
    assert [(file["records"], file["end"]) for file in verified["files"] if file["file"] == name] == [(3, "closed")]
    file = instance.dir / "state/audit" / name
    whole = file.read_bytes()
    try:
        file.write_bytes(whole.replace(b"plugin-added", b"plugin-admit"))
        done = instance.toolshedd("audit", "verify", "--json", "--checkpoints", str(kept), ok=False)
        [found] = [file for file in json.loads(done.stdout)["files"] if "fault" in file]
        assert (found["file"], found["fault"], found["record"]) == (name, "changed", 1)
    finally:
        file.write_bytes(whole)


def test_what_cannot_be_recorded_is_not_done(fresh):
    instance = fresh().start()
    person, plugin = Person(instance), Plugin(instance)
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    instance.stop()
    audit = instance.dir / "state/audit"
    audit.rename(instance.dir / "state/elsewhere")
    audit.write_text("in the way of the folder")
    refused = instance.toolshedd("plugin", "remove", plugin.id, ok=False)
    assert refused.returncode == 64 and "nothing was changed" in refused.stderr
    assert [listed["pluginId"] for listed in instance.json("plugin", "list")] == [plugin.id]
    audit.unlink()
    (instance.dir / "state/elsewhere").rename(audit)
    files = {file.name for file in audit.iterdir()}
    # Nothing to do is nothing to record.
    assert instance.toolshedd("plugin", "remove", "p_AAAAAAAAAAAAAAAAAAAAAA", ok=False).returncode == 64
    assert {file.name for file in audit.iterdir()} == files
    assert instance.json("plugin", "remove", plugin.id) == {"pluginId": plugin.id}
    instance.start()
    until(lambda: [line["event"] for line in read(person, plugin)] == ["plugin-removed"], "the line to be listed")


def renamed(person: Person) -> list[tuple]:
    return [(line["caller"], line["callerKind"]) for line in person.get("/api/activity?event=plugin-renamed").json()["activity"]]


def test_who_gives_a_name_to_the_operators_plugin_reads_it(instance, person, other, page, look):
    """Their own plugin says from then on whose it is, and why it is called so stands in the record."""
    name = f"Payroll {person.user_id[2:8]}"
    for someone in (person, other):
        someone.own_plugin(name)
    before = person.own_plugin()
    Plugin(instance, name)
    for someone in (person, other):
        until(lambda someone=someone: renamed(someone), "the line to be listed")
        assert renamed(someone) == [(f"{name} (yours)", "operator")]
    assert before.id not in str(person.get("/api/activity?event=plugin-renamed").json()) and renamed(Person(instance)) == []
    page.context.clear_cookies()
    lend_session(page.context, person)
    page.goto("/vault#activity")
    line = page.get_by_role("region", name="Activity", exact=True).get_by_role("listitem").filter(has_text="The operator added a plugin with the name of yours")
    expect(line).to_contain_text(f"which from now on is called {name} (yours)")
    look(page, "vault-activity-renamed")


def test_the_page_says_who_it_was(person, told, page, look):
    page.context.clear_cookies()
    lend_session(page.context, person)
    page.goto("/vault#activity")
    activity = page.get_by_role("region", name="Activity", exact=True)
    for words in ("The operator removed", "The operator gave another key to", "The operator changed the limits of"):
        line = activity.get_by_role("listitem").filter(has_text=words)
        expect(line).to_have_count(1)
        expect(line).to_contain_text("Report bot of everybody")
    look(page, "vault-activity-operator")
