"""What an API says back to an agent: in no form does it hand on the token that was put in."""

import base64
import json
import urllib.parse

import pytest

from harness.upstream import reply as answer
from test_mcp import Agent, place  # noqa: F401  the fixture

JSON, TEXT, HTML = "application/json", "text/plain", "text/html"


@pytest.fixture(scope="module")
def agent(place):
    return Agent(place.instance, place.client(place.person()).tokens["access_token"])


def every(token: str, form: str) -> str:
    return "".join(form % ord(character) for character in token)


def shifted(token: str, before: str) -> str:
    return base64.b64encode((before + token + "!").encode()).decode()


# What is echoed, and what the reader finds: the token by the name of the form.
ECHOES = {
    "as it is": (JSON, lambda t: json.dumps({"sent": t})),
    "a member's name": (JSON, lambda t: json.dumps({f"<{t}>": 1})),
    "deep inside": (JSON, lambda t: json.dumps([{"a": [{"b": f"Bearer {t}."}]}])),
    "escaped in JSON": (JSON, lambda t: '{"sent": "%s"}' % every(t, "\\u%04x")),
    "one letter escaped": (JSON, lambda t: '{"sent": "%s"}' % t.replace(t[5], "\\u%04X" % ord(t[5]))),
    "JSON within JSON": (JSON, lambda t: json.dumps({"raw": json.dumps({"sent": t}).replace(t, every(t, "\\u%04x"))})),
    "JSON that is not read": (TEXT, lambda t: '{"sent": "%s"}' % every(t, "\\u%04x")),
    "percent, every letter": (TEXT, lambda t: every(t, "%%%02X")),
    "percent, as a URL has it": (JSON, lambda t: json.dumps({"next": "https://x.example/?token=" + urllib.parse.quote(t, safe="").replace("_", "%5f")})),
    "HTML, decimal": (HTML, lambda t: "<p>" + every(t, "&#%d;")),
    "HTML, hexadecimal": (HTML, lambda t: "<p>" + every(t, "&#x%X;")),
    "base64": (JSON, lambda t: json.dumps({"sent": shifted(t, "")})),
    "base64, one further": (JSON, lambda t: json.dumps({"sent": shifted(t, "x")})),
    "base64, two further": (JSON, lambda t: json.dumps({"sent": shifted(t, "Bearer: ")})),
    "base64url": (JSON, lambda t: json.dumps({"sent": base64.urlsafe_b64encode(f"{t}\xff".encode("latin-1")).decode()})),
    "hexadecimal": (TEXT, lambda t: t.encode().hex()),
    "hexadecimal, capitals": (TEXT, lambda t: t.encode().hex().upper()),
}


@pytest.mark.parametrize("form", ECHOES)
def test_an_api_that_repeats_the_token_in_another_form_does_not_get_it_past_us(place, agent, form):
    kind, echo = ECHOES[form]
    sent = []

    def repeat(connection, call):
        sent.append(call.header("authorization").removeprefix("Bearer "))
        answer(connection, f"{echo(sent[0])}".encode(), headers=(("Content-Type", kind),))

    place.upstream.answers["/again"] = repeat
    said = agent.done("call_api", provider="upstream", method="GET", path="/again")
    [token] = sent
    shown = json.dumps(said)
    assert "(token)" in shown, "something was taken out"
    # Read once more in every way that a reader could, nothing of it is there: not even its middle.
    middle = token[4:-4]
    readings = {shown, json.dumps(said.get("body")), urllib.parse.unquote(shown), shown.encode().decode("unicode_escape")}
    for reading in readings:
        for digits in (middle, shifted(middle, "")[:-4], middle.encode().hex(), middle.encode().hex().upper()):
            assert digits not in reading
    assert not any(found in shown for found in (shifted(token, before)[4:-8] for before in ("", "x", "Bearer: ")))


def test_what_only_looks_like_an_escape_stays_as_it_is(place, agent):
    text = "100%, %zz \\u12 \\ &#; &#x110000; %" + "a" * 40 + "\\"

    def say(connection, call):
        answer(connection, json.dumps({"text": text, "%5f": [1, None, True, 1.5]}).encode())

    place.upstream.answers["/odd"] = say
    assert agent.done("call_api", provider="upstream", method="GET", path="/odd")["body"] == {"text": text, "%5f": [1, None, True, 1.5]}
