"""The program in docs/VENDING.md does what the page says."""

import ssl

from harness.instance import ROOT


def program(instance) -> dict:
    text = (ROOT / "docs/VENDING.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict = {}
    exec(text.replace('cafile=".up/ca.pem"', f'cafile="{instance.ca}"'), names)
    assert isinstance(names["context"], ssl.SSLContext)
    return names


def ask(person, scope):
    return {"userId": person.user_id, "provider": "github", "scopes": [scope], "reason": "List your open issues"}


def test_the_loop_shows_a_link_and_returns_the_token(instance, double, person, plugin):
    shown = []

    def show(link, code):
        assert person.asked(link).json()["matchCode"] == code
        shown.append(person.connect(link).status_code)

    token = program(instance)["token"]
    assert token(instance.origin, plugin.key, ask(person, "repo"), show)["connection"]["account"] and shown == [303]
    assert token(instance.origin, plugin.key, ask(person, "repo"), show)["accessToken"] and shown == [303]


def test_the_loop_takes_no_for_an_answer(instance, double, person, plugin):
    shown = []
    token = program(instance)["token"]
    for _ in range(2):
        assert token(instance.origin, plugin.key, ask(person, "repo"),
                     lambda link, code: shown.append(person.decide(link, "decline"))) is None
    assert len(shown) == 1, "the second time nobody is asked"
