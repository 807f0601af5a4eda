"""The lines that make up prints, done one after the other as a newcomer would."""

import json
import re
import subprocess

from harness.instance import ROOT
from harness.people import Person


def test_what_make_up_prints_leads_to_a_token(fresh):
    instance = fresh().start()
    printed = subprocess.run([ROOT / "scripts/story", instance.dir], check=True, capture_output=True, text=True).stdout
    said = dict(re.findall(r"^(invitation|ask|link): (.*)$", printed, re.M))
    assert "tsp_" not in printed, "the plugin's key is read from a file"

    ask = lambda: json.loads(subprocess.run(said["ask"], shell=True, check=True, capture_output=True, text=True).stdout)
    assert ask()["error"] == "authorization-required"

    invited = json.loads((instance.dir / "demo/person.json").read_text())
    assert said["invitation"] == invited["url"]
    newcomer = Person(instance, invitation=invited)
    newcomer.connect(said["link"])
    assert ask()["accessToken"].startswith("demo_at_")

    again = subprocess.run([ROOT / "scripts/story", instance.dir], check=True, capture_output=True, text=True).stdout
    assert "the answer is a token" in again
