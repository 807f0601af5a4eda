"""What the person can read of what happened; and the record that proves it."""

import csv
import io
import json
import re
import shutil
import subprocess

import pytest
from playwright.sync_api import expect

from harness.answers import assert_problem
from harness.browsing import lend_session
from harness.contract import DOCUMENT
from harness.flow import GITHUB, fastest
from harness.instance import ROOT
from harness.oauth import Client, command_line
from harness.people import SAME_ORIGIN, Bearer, Person, Plugin
from harness.waiting import until


def happened(person: Person, **choice) -> list[dict]:
    reply = person.get("/api/activity", params=choice)
    assert reply.status_code == 200, reply.text
    return reply.json()["activity"]


@pytest.fixture
def used(instance, person):
    """A person with two connections, whose plugin and key have used them."""
    plugin, key = Plugin(instance), person.api_key("Nightly report")
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    person.connect({"owner": "toolshed", "bridge": "linear", "scope": "read"})
    plugin.token("github", ["repo"], user=person, reason="=HYPERLINK(\"https://evil.example\")", tool="+issues.list")
    key.token("linear", reason="weekly, \"quoted\" – 数字")
    until(lambda: len(happened(person, event="vended")) == 2, "both uses to be listed")
    return person, plugin, key


def test_a_choice_shows_exactly_what_fits_it(used):
    person, plugin, key = used
    by_plugin = happened(person, caller=plugin.id, event="vended")
    assert [(r["provider"], r["account"], r["caller"], r["tool"]) for r in by_plugin] == [
        ("github", "octo", plugin.name, "+issues.list")]
    assert by_plugin[0]["callerKind"] == "plugin"
    [mine] = happened(person, caller=key.id, event="vended")
    assert mine["reason"] == "weekly, \"quoted\" – 数字" and mine["callerKind"] == "api-key"
    assert {r["event"] for r in happened(person, provider="linear")} >= {"connected", "vended"}
    assert {r["connection"] for r in happened(person, connection=mine["connection"])} == {mine["connection"]}
    assert happened(person, until="2020-01-01T00:00:00Z") == []
    assert happened(person, **{"from": "2020-01-01T00:00:00Z"}) == happened(person)


@pytest.mark.parametrize("name, value", [
    ("provider", "Git Hub"), ("connection", "c_1"), ("caller", "everybody"), ("event", "eaten"), ("from", "yesterday"),
    ("until", "2026-13-01T00:00:00Z"), ("after", "x"), ("limit", "0")])
@pytest.mark.parametrize("path", ["/api/activity", "/api/activity/export"])
def test_a_wrong_choice_names_what_is_wrong(person, path, name, value):
    reply = person.get(path, params={"format": "csv", name: value})
    assert reply.status_code == 400 and reply.json()["errors"][0]["member"] == name


def test_what_an_application_did_is_found_by_its_id(instance, double):
    person = Person(instance)
    client = Client(instance).log_in(person)
    grant = person.get("/api/clients").json()["clients"][0]["id"]
    until(lambda: happened(person, caller=grant), "the yes to be listed")
    assert [line["event"] for line in happened(person, caller=grant)] == ["client-approved"]
    assert happened(person, caller=grant)[0]["caller"] == client.name
    assert happened(Person(instance), caller=grant) == []


def test_an_export_has_everything_once_and_nothing_that_a_spreadsheet_would_run(used):
    person = used[0]
    everything = happened(person)
    assert person.get("/api/activity/export").json()["errors"][0]["member"] == "format"
    parts, address = [], "/api/activity/export?format=csv&limit=3"
    while address:
        reply = person.get(address)
        assert reply.status_code == 200 and reply.headers["Content-Type"].startswith("text/csv")
        assert reply.headers["Content-Disposition"] == 'attachment; filename="toolshed-activity.csv"'
        parts += csv.DictReader(io.StringIO(reply.content.decode(), newline=""))
        link = re.fullmatch('<(/[^>]+)>; rel="next"', reply.headers.get("Link", ""))
        address = link and link[1]
    # An id is random, and may begin with what a spreadsheet would take for a formula.
    assert [part["id"].removeprefix("'") for part in parts] == [record["id"] for record in everything]
    assert not [value for part in parts for value in part.values() if value and value[0] in "=+-@\t\r"]
    [hostile] = [part for part in parts if "HYPERLINK" in part["reason"]]
    assert hostile["reason"] == "'=HYPERLINK(\"https://evil.example\")" and hostile["tool"] == "'+issues.list"
    assert hostile["account"] == "octo"
    exported = person.get("/api/activity/export?format=json")
    assert exported.json()["activity"] == everything and "Link" not in exported.headers


def test_who_is_gone_keeps_the_name_in_the_record(instance, person, double):
    person.connect({"owner": "toolshed", "bridge": "linear", "scope": "read"})
    key, elsewhere = person.api_key("Evil sorter"), person.elsewhere("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0")
    browser = next(s["name"] for s in person.get("/api/sessions").json()["sessions"] if s["id"] == elsewhere.get("/api/me").json()["sessionId"])
    code = person.post("/api/vault/recovery", {}).json() and person.get("/api/vault").json()["recovery"]["id"]
    key.token("linear")
    until(lambda: happened(person, event="vended"), "the use to be listed")
    assert person.delete(f"/api/keys/{key.id}").status_code == 204 and elsewhere.sign_out().status_code == 204
    assert person.post("/api/vault/lost", {"holder": code}).status_code == 200
    until(lambda: happened(person, event="lost") and happened(person, event="signed-out"), "the ends to be listed")
    for event in ("vended", "key-made", "key-removed"):
        assert [line["caller"] for line in happened(person, event=event, caller=key.id)] == ["Evil sorter"], event
    assert [line["caller"] for line in happened(person, event="signed-out")] == [browser]
    assert [line["caller"] for line in happened(person, event="lost")] == ["Recovery code"]
    connection = person.connections()[0]
    assert connection["lastUsedBy"] == "Evil sorter" and connection["lastUserGone"] is True
    assert {(line["caller"], line["callerGone"]) for line in happened(person) if line["caller"]} >= {("Evil sorter", True), ("Recovery code", True), (browser, True)}
    here = person.get("/api/me").json()["sessionId"]
    assert [line["callerGone"] for line in happened(person, event="signed-in", caller=here)] == [False]
    assert "Evil sorter" in person.get("/api/activity/export?format=csv").text


def former(someone) -> list[dict]:
    found, after = [], None
    while True:
        reply = someone.get("/api/activity/former", params={"limit": 2} | ({"after": after} if after else {}))
        assert reply.status_code == 200, reply.text
        found, after = found + reply.json()["former"], reply.json()["next"]
        if after is None:
            return found


def test_who_is_gone_can_be_chosen_too(instance, person, other, plugin):
    own, key, unknown = person.own_plugin("My sorter"), person.api_key("nightly"), Plugin(instance)
    for caller in (own, plugin):
        person.connect(caller.link("github", ["repo"], user=person)["authorizationUrl"])
    key.token("github", ["repo"])
    elsewhere = person.elsewhere()
    session = elsewhere.get("/api/me").json()["sessionId"]
    assert former(person) == []
    assert elsewhere.sign_out().status_code == 204 and person.delete(f"/api/keys/{key.id}").status_code == 204
    assert person.delete(f"/api/plugins/{own.id}").status_code == 200
    for each in (plugin, unknown):
        instance.toolshedd("plugin", "remove", each.id)
    until(lambda: happened(person, event="plugin-removed"), "the end to be listed")
    found = former(person)
    assert {(one["id"], one["kind"]) for one in found} == {
        (own.id, "plugin"), (key.id, "api-key"), (plugin.id, "plugin"), (session, "session")}, "one that never asked is in no record"
    assert {one["name"] for one in found} >= {"My sorter", "nightly", plugin.name}
    assert [one["endedAt"] for one in found] == sorted((one["endedAt"] for one in found), reverse=True)
    for one in found:
        lines = happened(person, caller=one["id"])
        assert lines and all(line["callerGone"] for line in lines), one
    assert former(other) == [] and plugin.get("/api/activity/former").status_code in (401, 403)
    assert_problem(person.get("/api/activity/former?after=x"), 400, "invalid-request")


def test_what_a_command_line_did_is_found_by_its_id(instance, person):
    """The list of applications names it; in the record it is by its token's id."""
    program = command_line(instance).log_in(person)
    person.connect({"owner": "toolshed", "bridge": "linear", "scope": "read"})
    assert Bearer(instance, program.tokens["access_token"], "").vend("linear").status_code == 200
    (client,) = person.get("/api/clients").json()["clients"]
    until(lambda: happened(person, event="vended"), "the use to be listed")
    assert [line["event"] for line in happened(person, caller=client["id"], event="vended")] == ["vended"]


def test_nobody_reads_another_persons(used, other, plugin):
    person, used_by, key = used
    assert not [r for r in happened(other) if r["event"] != "signed-in"]
    assert happened(other, caller=key.id) == [] and happened(other, caller=used_by.id) == []
    for path in ("/api/activity", "/api/activity/export?format=csv"):
        assert plugin.get(path).status_code == 403
        assert plugin.instance.get(path).status_code == 401


def test_tens_of_thousands_of_records_are_no_hindrance(fresh):
    instance = fresh().start()
    person = Person(instance)
    key = person.api_key()
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    key.token("github", reason="one of many")
    until(lambda: happened(person, event="vended"), "the use to be listed")
    instance.sql("""
        WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
        INSERT INTO activity (id, person, at_ms, event, provider, connection, caller, caller_kind, scopes, claim)
        SELECT randomblob(16), person, at_ms + i * 1000, 'refreshed', provider, connection, caller, caller_kind, scopes, claim
        FROM n, activity WHERE event = 'vended'""")
    for choice in ({}, {"limit": 500}, {"provider": "linear"}, {"event": "vended"}, {"caller": key.id}):
        assert fastest(lambda: person.get("/api/activity", params=choice), 0.2) < 0.2, choice
    newest = happened(person, event="refreshed", limit=5)
    assert [r["reason"] for r in newest] == ["one of many"] * 5
    # What is rare is found by going on.
    after, found = None, []
    while True:
        page = person.get("/api/activity", params={"event": "vended"} | ({"after": after} if after else {})).json()
        found += page["activity"]
        if (after := page["next"]) is None:
            break
    assert len(found) == 1


def test_what_strangers_try_is_in_the_second_log_only_and_bounded(fresh):
    instance = fresh().start()
    person = Person(instance)
    audit = instance.dir / "state/audit"

    def size() -> int:
        return sum(file.stat().st_size for file in audit.iterdir())

    before = size()
    token = person.api_key().key
    until(lambda: size() > before, "the key's record")
    before = size()
    wrong = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
    for number in range(150):
        assert instance.get("/api/me", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401

    def invitation_is_logged() -> bool:
        instance.post("/api/sign-in/invitation", json={"code": "tsi_" + "A" * 70}, headers=SAME_ORIGIN)
        return "invalid-invitation at /api/sign-in" in instance.log()

    # Those above have used up what may be said at once.
    until(invitation_is_logged, "the second log")
    lines = [line for line in instance.log().splitlines() if "refused: invalid-token at /api/me" in line]
    # 50 at once and 5 a second, of each worker: never all of them.
    assert 20 <= len(lines) < 150
    assert wrong not in instance.log() and size() == before


# The record


def verify(instance, *arguments, ok: bool = True) -> dict:
    done = instance.toolshedd("audit", "verify", "--json", *arguments, ok=ok)
    return json.loads(done.stdout)


def test_the_record_verifies_while_it_is_written_and_after_a_kill(fresh):
    instance = fresh().start()
    person = Person(instance)
    key = person.api_key()
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    for _ in range(20):
        key.token("github")
    log = str(instance.dir / "log/toolshedd.log")
    report = verify(instance, "--checkpoints", log)
    assert report["ok"] and {f["end"] for f in report["files"]} == {"open"}
    for pid in instance.children("work"):
        instance.kill(pid)
    instance.await_ready()
    key.token("github")
    report = verify(instance, "--checkpoints", log)
    assert report["ok"] and {f["end"] for f in report["files"]} == {"open", "abrupt"}
    instance.stop()
    report = verify(instance, "--checkpoints", log)
    assert report["ok"] and {f["end"] for f in report["files"]} == {"closed", "abrupt"}
    assert sum(f["records"] for f in report["files"]) >= 21


def test_tampering_is_named_and_exits_with_1(fresh, tmp_path):
    instance = fresh().start()
    person = Person(instance)
    key = person.api_key()
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    for _ in range(20):
        key.token("github")
    instance.stop()
    log, audit = instance.dir / "log/toolshedd.log", instance.dir / "state/audit"
    victim = max(audit.iterdir(), key=lambda file: file.stat().st_size)
    lines = victim.read_bytes().splitlines(keepends=True)
    assert len(lines) > 6
    changed = lines[3].replace(b'"event":"', b'"event":"x')
    for content, fault, record in [
            (lines[:3] + [changed] + lines[4:], "changed", 3), (lines[:3] + lines[4:], "missing", 3),
            (lines[:5], "truncated", 5), (None, "file-missing", 0)]:
        copy = tmp_path / fault
        shutil.copytree(audit, copy)
        if content is None:
            (copy / victim.name).unlink()
        else:
            (copy / victim.name).write_bytes(b"".join(content))
        done = instance.toolshedd("audit", "verify", "--json", "--folder", str(copy), "--checkpoints", str(log), ok=False)
        assert done.returncode == 1
        [found] = [f for f in json.loads(done.stdout)["files"] if "fault" in f]
        assert (found["file"], found["fault"], found["record"]) == (victim.name, fault, record)
        said = instance.toolshedd("audit", "verify", "--folder", str(copy), "--checkpoints", str(log), ok=False).stdout
        assert f"{victim.name}: {fault}: " in said


def test_what_people_read_is_held_against_the_files_and_can_be_put_right(fresh):
    instance = fresh().start()
    person = Person(instance)
    key = person.api_key()
    person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
    for _ in range(5):
        key.token("github")

    def read() -> list[dict]:
        return person.get("/api/activity").json()["activity"]
    until(lambda: sum(line["event"] == "vended" for line in read()) == 5, "the vends to be listed")
    truth = read()
    assert verify(instance)["ok"]
    for damage, fault in [
            ("DELETE FROM activity WHERE event = 'vended'", "not-listed"),
            ("UPDATE activity SET caller = NULL WHERE event = 'vended'", "listed-otherwise"),
            ("UPDATE activity SET at_ms = at_ms - 60000 WHERE event = 'connected'", "not-listed"),
            ("INSERT INTO activity SELECT person, at_ms - 120000, randomblob(16), event, provider, connection, caller, caller_kind, "
             "scopes, claim FROM activity WHERE event = 'connected'", "unrecorded")]:
        instance.sql(damage)
        done = instance.toolshedd("audit", "verify", "--json", ok=False)
        report = json.loads(done.stdout)
        assert done.returncode == 1 and not report["ok"], fault
        assert fault in [file.get("fault") for file in report["files"]]
        assert f": {fault}: " in instance.toolshedd("audit", "verify", ok=False).stdout
        folder = str(instance.dir / "state/audit")
        assert verify(instance, "--folder", folder)["ok"], "the files themselves are whole"
        assert verify(instance, ok=False)["ok"] is False
        put = instance.json("audit", "refold")
        assert put["put"] + put["removed"] > 0
        assert read() == truth and verify(instance)["ok"]
    victim = max((instance.dir / "state/audit").iterdir(), key=lambda file: file.stat().st_size)
    instance.stop()
    victim.write_bytes(victim.read_bytes().replace(b'"event":"vended"', b'"event":"refused"', 1))
    refused = instance.toolshedd("audit", "refold", ok=False)
    assert refused.returncode == 64 and "Nothing was changed" in refused.stderr


def test_with_the_operators_key_only_its_holder_verifies(fresh, tmp_path):
    instance = fresh()
    secret = tmp_path / "audit.secret"
    said = instance.toolshedd("audit", "key", str(secret)).stdout
    assert secret.stat().st_mode & 0o777 == 0o600 and secret.read_text().strip() not in said
    assert instance.toolshedd("audit", "key", str(secret), ok=False).returncode == 64
    (instance.dir / "etc/toolshed.yaml").write_text(f"version: 1\n{said}")
    instance.start()
    Person(instance)
    instance.stop()
    assert instance.toolshedd("audit", "verify", ok=False).returncode == 2
    assert verify(instance, "--key", str(secret), "--checkpoints", str(instance.dir / "log/toolshedd.log"))["ok"]
    heads = [file.read_text().splitlines()[0] for file in (instance.dir / "state/audit").iterdir()]
    assert all("sealedKey" in head and '"key"' not in head for head in heads)


def test_a_full_disk_leaves_the_reserve_and_then_stops_vending_until_there_is_room(fresh):
    instance = fresh()
    state = instance.dir / "state"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", state], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        (instance.dir / "etc/toolshed.yaml").write_text("version: 1\naudit_reserve_mb: 1\nworkers: 2\n")
        instance.start()
        person = Person(instance)
        key = person.api_key()
        person.connect({"owner": "toolshed", "bridge": "github", "scope": "repo"})
        key.token("github")
        fill = state / "fill"
        with fill.open("wb") as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
                    file.flush()
            except OSError:
                pass
        first = key.vend("github", reason="r" * 256)
        assert first.status_code == 200, first.text
        body = {"timeout": 30}
        for number in range(20_000):
            reply = key.vend("github", reason="r" * 256, tool="t" * 64)
            if reply.status_code != 200:
                break
        assert reply.status_code == 503 and reply.json()["error"] == "audit-unavailable" and reply.headers["Retry-After"]
        assert number > 500
        fill.unlink()
        until(lambda: key.vend("github").status_code == 200, "vending after there is room again")
        instance.stop()
        assert verify(instance, "--checkpoints", str(instance.dir / "log/toolshedd.log"))["ok"]
    finally:
        instance.stop()
        subprocess.run(["umount", "-l", state])


def events(person) -> list[tuple[str, str | None]]:
    return [(e["event"], e["caller"]) for e in person.get("/api/activity?limit=100").json()["activity"]]


def test_everybody_who_was_let_in_is_on_record_with_the_consent(person, plugin, double):
    own = person.own_plugin("Also for me")
    link = plugin.link("github", ["repo"], user=person)["authorizationUrl"]
    person.connect(link, also_for=[own.id])
    assert own.token("github", ["repo"], user=person)
    allowed = {("plugin-approved", plugin.name), ("plugin-approved", "Also for me")}
    until(lambda: allowed <= set(events(person)), "both plugins on record")


def test_an_application_that_is_let_in_with_a_consent_is_on_record(person, instance, double):
    client = Client(instance).log_in(person)
    grant = person.get("/api/clients").json()["clients"][0]["id"]
    person.connect(GITHUB, also_for=[grant])
    assert len(person.get("/api/clients").json()["clients"][0]["connections"]) == 1
    until(lambda: ("client-allowed", client.name) in events(person), "the application on record")


def test_keep_is_on_record_and_who_was_let_in_by_it(person, plugin, double):
    person.connect(GITHUB)
    arrived = person.connect(plugin.link("github", ["gist"], user=person)["authorizationUrl"], account="mallory")
    outcome = f"/api/outcomes/{arrived.headers['Location'].split('#')[1]}"
    assert not {"kept", "plugin-approved"} & {event for event, _ in events(person)}
    form = person.get(outcome).json()["formToken"]
    assert person.post(outcome, {"decision": "keep", "formToken": form}).json()["status"] == "kept"
    until(lambda: {("kept", None), ("plugin-approved", plugin.name)} <= set(events(person)), "Keep to be on record")


# The page


def test_everything_that_is_recorded_has_words():
    source = (ROOT / "nginx/site/words.js").read_text().split("const happened = {")[1].split("\n};")[0]
    spoken = set(re.findall(r'(?:^|[,{])\s*"?([a-z][a-z-]*)"?: "', source, re.M))
    assert set(DOCUMENT["components"]["schemas"]["Event"]["enum"]) <= spoken


def part(page):
    return page.get_by_role("region", name="Activity", exact=True)


def test_the_page_filters_and_exports(page, used, instance, look):
    person, plugin, key = used
    page.context.clear_cookies()
    lend_session(page.context, person)
    page.goto("/vault#activity")
    rows = part(page).get_by_role("listitem")
    expect(rows.filter(has_text="Token given to")).to_have_count(2)
    part(page).get_by_text("Filter and export").click()
    who = part(page).get_by_label("Who")
    expect(who.get_by_role("option", name=plugin.name)).to_be_attached()
    who.select_option(label=plugin.name)
    part(page).get_by_label("What happened").select_option(label="Token given to")
    part(page).get_by_role("button", name="Show these").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("octo")
    look(page, "vault-activity", every=True)
    with page.expect_download() as saved:
        part(page).get_by_role("button", name="Export as CSV").click()
    text = saved.value.path().read_text()
    assert len(text.splitlines()) == 2 and plugin.name in text
    with page.expect_download() as saved:
        part(page).get_by_role("button", name="Export as JSON").click()
    [record] = json.loads(saved.value.path().read_text())["activity"]
    assert record["caller"] == plugin.name and saved.value.suggested_filename.endswith(".json")
    # Somebody who is gone can be chosen, and is said to be gone.
    person.delete(f"/api/keys/{key.id}")
    until(lambda: happened(person, event="key-removed", caller=key.id), "the end to be listed")
    page.reload()
    gone = rows.filter(has_text="Key made")
    expect(gone).to_contain_text(re.compile(r"Key made .+ \(removed\)"))
    part(page).get_by_text("Filter and export").click()
    expect(who.get_by_role("option", name=re.compile(r"\(removed "))).to_be_attached()
    who.select_option(value=key.id)
    part(page).get_by_role("button", name="Show these").click()
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="Key or signed-in place revoked: ")).to_contain_text("(removed)")
    look(page, "vault-activity-gone")
    part(page).get_by_label("To the day").fill("2020-01-01")
    part(page).get_by_role("button", name="Show these").click()
    expect(part(page).get_by_text("Nothing in your record fits this choice.")).to_be_visible()
    part(page).get_by_role("button", name="Show everything").click()
    expect(rows.filter(has_text="Token given to")).to_have_count(2)
