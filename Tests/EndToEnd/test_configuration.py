"""toolshedd check and providers: what holds, what is unwise, what is wrong, and never a secret."""

import json
import os
import re

import pytest

SECRET = "a-client-secret-that-nobody-prints"

CORP = f"""\
version: 1
providers:
  corp:
    issuer: https://id.corp.example
    client: {{ id: toolshed, secret: {SECRET} }}
"""


def test_check_prints_what_holds_and_no_secret(fresh):
    instance = fresh(double=False, environment={"GITHUB_CLIENT_ID": "an-id", "GITHUB_CLIENT_SECRET": SECRET})
    instance.provide("corp", CORP)
    said = instance.toolshedd("check")
    assert f'origin: "{instance.origin}"' in said.stdout
    assert f'redirect_uri: "{instance.origin}/api/auth/corp/callback"' in said.stdout
    assert "warning: github: PKCE is available and off" in said.stderr
    answer = instance.json("check")
    assert answer["ok"] and answer["configured"] == ["corp", "github"]
    providers = {each["provider"]: each for each in instance.json("providers")["providers"]}
    assert providers["github"]["configured"] and not providers["google"]["configured"]
    assert providers["github"]["defaultScopes"] == ["read:user", "repo"]
    everything = [said.stdout, said.stderr, instance.toolshedd("providers").stdout, str(answer), str(providers)]
    key = (instance.dir / "etc/environment").read_text().split("ENCRYPTION_KEY=", 1)[-1].splitlines()[0]
    for text in everything:
        assert SECRET not in text
        assert not key or key not in text


def test_what_is_permitted_and_unwise_is_said(fresh):
    instance = fresh(double=False)
    unwise = {"allow_private_addresses: true": "corp: allow_private_addresses",
              "sign_in: { new_people: anyone }": "corp: sign_in.new_people: anyone",
              "authorize: { pkce: { default: off } }": "corp: no PKCE"}
    for line, warning in unwise.items():
        instance.provide("corp", CORP + f"    {line}\n    authorize: {{ pkce: {{ default: S256 }} }}\n" if "pkce" not in line
                         else CORP + f"    {line}\n")
        assert f"warning: {warning}" in instance.toolshedd("check").stderr
        assert any(each.startswith(warning) for each in instance.json("check")["warnings"])
    instance.provide("corp", CORP + "    authorize: { pkce: { default: S256 } }\n")
    assert "corp" not in instance.toolshedd("check").stderr


def test_every_command_that_ends_answers_in_json_when_asked(fresh):
    instance = fresh(double=False)

    def leaves(command: dict, path: list[str]):
        parts = [part for part in command.get("subcommands", []) if part["commandName"] != "help"]
        return [leaf for part in parts for leaf in leaves(part, [*path, part["commandName"]])] or [(path, command)]

    tree = json.loads(instance.toolshedd("--experimental-dump-help").stdout)["command"]
    commands = {" ".join(path): {name["name"] for argument in command["arguments"] for name in argument.get("names", [])}
                for path, command in leaves(tree, [])}
    # What runs until it is stopped, and what is no operator's.
    kept = {"supervise", "work", "keep", "openapi"}
    assert {"plugin remove", "identity add", "identity remove", "audit key"} < set(commands)
    assert [name for name, options in commands.items() if "json" not in options and name not in kept] == []

    person = instance.json("invite", "Somebody")["userId"]
    name = ["--header", "somebody"]
    known = {"issuer": "header", "subject": "somebody"}
    assert instance.json("identity", "add", person, *name) == {"userId": person} | known
    assert instance.json("identity", "list", person) == [known]
    assert instance.json("identity", "remove", *name) == known
    plugin = instance.json("plugin", "add", "A bot")["pluginId"]
    assert instance.json("plugin", "remove", plugin) == {"pluginId": plugin} and instance.json("plugin", "list") == []
    secret = instance.dir / "audit.secret"
    made = instance.json("audit", "key", str(secret))
    assert set(made) == {"file", "auditKey"} and made["file"] == str(secret) and secret.exists()
    (instance.dir / "etc/toolshed.yaml").write_text(f"version: 1\naudit_key: {made['auditKey']}\n")
    assert instance.json("check")["ok"]


def test_a_wrong_file_is_refused_with_its_line(fresh):
    instance = fresh(double=False)
    instance.provide("corp", CORP.replace("issuer", "isuer"))
    file = instance.dir / "etc/providers.d/corp.yaml"
    said = instance.toolshedd("check", ok=False)
    assert said.returncode == 78
    assert f"{file}:4:5: providers.corp.isuer: unknown field" in said.stderr
    answer = instance.toolshedd("check", "--json", ok=False)
    assert '"line":4' in answer.stdout and '"field":"providers.corp.isuer"' in answer.stdout


@pytest.mark.parametrize("variable, value", [
    ("TOOLSHED_CA_FILE", "/nowhere/ca.pem"), ("TOOLSHED_CA_FILE", __file__), ("TOOLSHED_PEER_USER", "nobody-of-this-name"),
    ("TOOLSHED_STATE_DIR", "/nowhere/state")])
def test_what_the_machine_lacks_is_told_by_check_as_by_a_start(fresh, variable, value):
    instance = fresh(double=False)
    wrapper = instance.dir / "bin/toolshedd"
    # The wrapper says folders and user itself.
    text = re.sub(rf'{variable}="[^"]*"', f'{variable}="{value}"', wrapper.read_text())
    wrapper.write_text(text.replace("exec ", f'export {variable}="{value}"\nexec '))
    for command in ("check", "supervise"):
        done = instance.toolshedd(command, ok=False)
        assert done.returncode == 78 and variable in done.stderr and value in done.stderr, done.stderr


def test_a_secret_that_others_may_read_is_refused(fresh):
    instance = fresh(double=False)
    instance.provide("corp", CORP)
    os.chmod(instance.dir / "etc/providers.d/corp.yaml", 0o640)
    said = instance.toolshedd("check", ok=False)
    assert said.returncode == 78
    assert "corp.yaml:5:37: providers.corp.client.secret: holds a client secret and has mode 0640, expected 0600" in said.stderr
    assert SECRET not in said.stderr


def test_a_wrong_file_leaves_the_running_configuration(fresh):
    instance = fresh(double=False)
    instance.start()
    instance.provide("corp", CORP.replace("version: 1", "version: 7"))
    said = instance.reload()
    assert said.returncode == 1
    assert "corp.yaml:1:10: version: expected 1, found '7'" in said.stdout
    assert instance.ready()
    instance.provide("corp", CORP)
    assert instance.reload().returncode == 0


def test_check_says_what_a_start_would_say_of_the_database_and_an_empty_file_is_none(fresh):
    """A file that lost its content is no first start: everybody's vaults would seem never to have been."""
    instance = fresh(double=False)
    assert instance.toolshedd("check").returncode == 0, "there is none yet"
    database = instance.dir / "state/toolshed.sqlite"
    database.touch(mode=0o600)
    said = instance.toolshedd("check", ok=False)
    assert said.returncode == 78 and "The database is not one of Toolshed's" in said.stderr
    with pytest.raises(AssertionError, match="not ready"):
        instance.start()
    assert database.stat().st_size == 0
