"""Every rule of Tests/rules.txt is named by a test; and the rules that no other file has to itself."""

import ast
import re

import decryptor as d
import pytest

from harness.answers import assert_problem
from harness.authenticator import Authenticator
from harness.contract import DOCUMENT
from harness.database import Database
from harness.flow import GITHUB, page_members
from harness.instance import ROOT
from harness.oauth import Client, parameters, pkce
from harness.people import NAVIGATION, Person, mistyped
from test_consent import NOT_OURS
from test_headers import concrete

RULE = re.compile(r"\b[A-Z]-[A-Z]+-\d+\b")
# They know callers by what is in the body or in Authorization, and no cookie.
WITHOUT_COOKIES = {"/api/person-keys", "/token", "/register", "/revoke", "/introspect", "/device_authorization"}
SITE = ROOT / "nginx/site"


def listed() -> list[str]:
    lines = (ROOT / "Tests/rules.txt").read_text().splitlines()
    return [line.split()[0] for line in lines if line and not line.startswith("#")]


def named_by(test: ast.FunctionDef) -> set[str]:
    """`test_w_csrf_1_…` and `test_b_dcr_2_to_6_…` name them too, the latter its first."""
    name = re.findall(r"_([a-z]_[a-z]+_\d+)", test.name)
    return set(RULE.findall(ast.get_docstring(test) or "")) | {rule.upper().replace("_", "-") for rule in name}


def named() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in (ROOT / "Tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for rule in named_by(node):
                    found.setdefault(rule, []).append(f"{file.name}: {node.name}")
    return found


def test_the_list_of_rules_is_whole():
    numbers: dict[str, list[int]] = {}
    for rule in listed():
        kind, _, number = rule.rpartition("-")
        numbers.setdefault(kind, []).append(int(number))
    assert len(listed()) == 21 and all(found == list(range(1, len(found) + 1)) for found in numbers.values()), numbers


@pytest.mark.parametrize("rule", listed())
def test_each_rule_is_named_by_a_test(rule):
    assert named().get(rule), f"{rule}: no test names it in its name or docstring"


def test_a_rule_that_nobody_names_would_be_noticed():
    assert "W-NOBODY-" + "1" not in named()
    planted = ast.parse('def test_w_some_7_it_holds():\n    "W-OTHER-8, and W-OTHER-9"').body[0]
    assert named_by(planted) == {"W-SOME-7", "W-OTHER-8", "W-OTHER-9"}


# W-CSRF-1, over every route there is


def operations(*methods: str) -> list:
    return [pytest.param(path, method, id=f"{method.upper()} {path}") for path, item in DOCUMENT["paths"].items()
            for method in item if method in methods]


@pytest.mark.parametrize("path, method", operations("post", "put", "patch", "delete"))
def test_w_csrf_1_no_route_that_changes_something_takes_a_cookie_from_elsewhere(instance, person, path, method):
    """By the header of the browser, where that is absent by its origin, and without either not at all."""
    headers = {"Cookie": f"__Host-toolshed={person.http.cookies['__Host-toolshed']}"}
    with Database(instance).unchanged("slot", "connection", "plugin", "person", "vault", "request", "decline"):
        for foreign in NOT_OURS:
            foreign = {name: value.replace("OURS", instance.origin) for name, value in foreign.items()}
            reply = instance.request(method.upper(), concrete(path), json={}, headers=headers | foreign)
            if path in WITHOUT_COOKIES:
                # A form is read before it is asked who sent it; a cookie makes nobody the sender.
                assert reply.status_code == (403 if path == "/api/person-keys" else 400), reply.text
                assert "Set-Cookie" not in reply.headers
            else:
                assert_problem(reply, 403, "cross-site")
    assert person.get("/api/me").status_code == 200


@pytest.mark.parametrize("path, method", operations("get"))
def test_w_csrf_1_reading_changes_nothing(instance, person, path, method):
    """State changes by POST and its kin only: an image or a link on somebody's page does nothing to who is signed in."""
    person.get("/api/me")
    with Database(instance).unchanged("slot", "connection", "plugin", "person", "vault", "approval", "request", "decline", "outcome"):
        for site in ("cross-site", "none", "same-origin"):
            for headers in ({"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"},
                            NAVIGATION | {"Sec-Fetch-Site": site}):
                reply = person.get(concrete(path), headers=headers)
                assert reply.status_code < 500 and "__Host-toolshed=" not in reply.headers.get("Set-Cookie", "")


def test_w_csrf_1_a_bearer_needs_no_origin(person):
    """No browser sends one by itself."""
    assert person.api_key().vend("github", ["repo"]).status_code == 403, "authorization-required, not cross-site"


# W-CSRF-2


def test_w_csrf_2_a_forms_token_is_of_one_session_and_one_transaction_and_works_once(person, other):
    twin = person.elsewhere()
    slack = GITHUB | {"bridge": "slack", "scope": "chat:write"}
    shown = page_members(person.asked(GITHUB).json(), GITHUB)
    with Database(person.instance).unchanged("connection", "authorization"):
        for browser in (twin, other):
            assert browser.post("/api/connect", shown).status_code == 409, "another session, of the same person or not"
        of_another = page_members(person.asked(slack).json(), slack) | {"formToken": shown["formToken"]}
        assert person.post("/api/connect", of_another).status_code == 409, "another transaction"
        for token in ("", "x", shown["formToken"][:-1], shown["formToken"][::-1]):
            refused = person.post("/api/connect", shown | {"formToken": token})
            assert_problem(refused, *((409, "changed") if token else (400, "invalid-request")))
        without = {name: value for name, value in shown.items() if name != "formToken"}
        assert_problem(person.post("/api/connect", without), 400, "invalid-request")
    fresh = page_members(person.asked(GITHUB).json(), GITHUB)
    assert person.post("/api/connect", fresh).status_code == 200
    assert person.post("/api/connect", fresh).status_code == 409


def test_w_csrf_2_a_replay_after_the_end_shows_what_came_of_it(person, plugin):
    """A second look at a finished request is no error: it says that it is done, and decides nothing."""
    need = plugin.link("github", ["repo"], user=person)
    shown = page_members(person.asked(need["authorizationUrl"]).json(), need["authorizationUrl"])
    arrived = person.connect(need["authorizationUrl"])
    outcome = "/api/outcomes/" + arrived.headers["Location"].split("#")[1]
    with Database(person.instance).unchanged("connection", "approval", "outcome"):
        assert_problem(person.post("/api/connect", shown), 409, "changed")
        for _ in range(2):
            assert person.get(outcome).json()["status"] == "connected"
    assert len(person.connections()) == 1


# W-CSRF-3


@pytest.mark.parametrize("headers, allowed", [
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}, True),
    ({"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}, True), ({}, True),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"}, False),
    ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "embed", "Sec-Fetch-Mode": "navigate"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "object", "Sec-Fetch-Mode": "navigate"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"}, False)])
@pytest.mark.parametrize("path", ["/authorize?client_id=x", "/connect?owner=toolshed&bridge=github&scope=repo",
                                  "/api/auth/github/callback?state=x&code=y"])
def test_w_csrf_3_what_a_link_may_open_is_a_page_and_nothing_inside_one(instance, path, headers, allowed):
    reply = instance.get(path, headers=headers)
    assert (reply.status_code != 403) == allowed, reply.text
    assert reply.headers["X-Frame-Options"] == "DENY"


# W-REDIR-2


@pytest.mark.parametrize("changed", [
    {"redirect_uri": "https://app.example/callback/../evil"}, {"redirect_uri": "https://app.example/callback?x=1"},
    {"redirect_uri": "https://app.example.evil.example/callback"}, {"redirect_uri": "https://app.example:444/callback"},
    {"redirect_uri": "http://app.example/callback"}, {"redirect_uri": "//app.example/callback"},
    {"redirect_uri": "javascript:alert(1)"}, {"redirect_uri": "https://user@app.example/callback"},
    {"client_id": "mc_" + "A" * 22}])
def test_w_redir_2_an_address_that_is_not_registered_is_led_to_by_nothing(person, changed):
    client = Client(person.instance)
    query = client.query(pkce()[1], **changed)
    page = person.navigate(f"/authorize?{query}", site="cross-site")
    assert page.status_code == 200 and "Location" not in page.headers and "Refresh" not in page.headers
    shown = client.asked(person, query)
    # What the page would be led by; the address that was asked for is in no answer.
    assert "location" not in (shown.json() if shown.ok else {}) and (changed.get("redirect_uri") or "app.example") not in shown.text
    refused = person.post("/api/authorize", {"decision": "approve", "digest": "x", "formToken": "x", "query": query})
    assert refused.status_code == 400 and "app.example" not in refused.text


def test_w_redir_2_before_somebody_is_signed_in_nothing_leads_to_the_application(person):
    """Whether what it asks is right or wrong; afterwards its own address gets exactly the answer."""
    client, stranger = Client(person.instance), Person(person.instance, signed_in=False)
    for changed in ({}, {"response_type": "token"}, {"scope": "\\"}):
        query = client.query(pkce()[1], **changed)
        assert "Location" not in stranger.navigate(f"/authorize?{query}").headers
        assert_problem(client.asked(stranger, query), 401, "invalid-token")
    query = client.query(pkce()[1])
    assert set(parameters(client.decide(person, query).json()["location"], client.redirect)) == {"code", "state", "iss"}


# W-PHISH-1, W-LOGIN-1


def test_w_phish_1_the_page_has_everything_that_a_person_needs_to_doubt(person):
    """Who, unverified; where it leads, in letters that cannot be mistaken; as whom, to which vault; in words."""
    person.connect(GITHUB)
    known = Client(person.instance, client_name="Claude", redirect="https://xn--pple-43d.example/callback")
    shown = known.asked(person, known.query(pkce()[1])).json()
    said = str(shown)
    assert "xn--pple-43d.example" in said and "Claude" in said and "\u0430" not in said
    assert shown["warning"] is True and shown["first"] is True, shown
    assert shown["signedInAs"] == person.name and shown["scopes"][0]["text"] and shown["connections"], shown


def test_w_login_1_after_a_sign_in_every_consent_says_as_whom(person):
    """Who was signed in by somebody else's hand can see it before saying yes."""
    assert person.asked(GITHUB).json()["signedInAs"] == person.name
    client = Client(person.instance)
    assert client.asked(person, client.query(pkce()[1])).json()["signedInAs"] == person.name


# W-CLICK-1


def test_w_click_1_no_address_of_ours_can_be_framed(instance):
    """Every page there is, and the pages of errors."""
    pages = ["/" + file.stem for file in SITE.glob("*.html") if not re.fullmatch(r"\d(xx|\d\d)|index", file.stem)]
    assert len(pages) > 7
    for path in ["/", *pages, "/nowhere", "/api/auth/github/callback"]:
        reply = instance.get(path, headers=NAVIGATION)
        assert reply.headers["X-Frame-Options"] == "DENY", path
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"], path


# Passkeys


def test_w_pk_1_the_ceremony_is_the_platforms_own_and_in_one_small_script():
    """No framework, no other origin, no other script that touches credentials; and nothing is parsed that the platform
    has parsed already: no CBOR, no COSE."""
    touching = [file.name for file in SITE.glob("*.js") if "navigator.credentials" in file.read_text()]
    assert touching == ["passkey.js"]
    script = (SITE / "passkey.js").read_text()
    assert len(script.splitlines()) <= 150
    for name in ("credentials.create", "credentials.get", "getPublicKey()", "getAuthenticatorData()", 'attestation: "none"'):
        assert name in script, name
    for file in SITE.glob("*.js"):
        for source in re.findall(r"""(?m)(?:^import\b|^export\b[^;"'({=]*\bfrom|\bimport\()[^;"'()]*["']([^"']+)["']""", file.read_text()):
            assert re.fullmatch(r"/[\w-]+\.js", source), f"{file.name}: {source}"
    for file in SITE.glob("*.html"):
        for tag in re.findall(r"<(?:script|link)\b[^>]*>", file.read_text()):
            assert "://" not in tag and ' integrity' not in tag, f"{file.name}: {tag}"


def test_w_pk_3_the_output_alone_proves_nobody(person):
    """Not without a signature, not with one of another passkey; and it is no token."""
    person.connect(GITHUB)
    device, thief = Authenticator(person.instance), Authenticator(person.instance)
    assert device.register(person).status_code == 201
    output = device.derive(person.post("/api/passkeys/options").json()["prfSalt"])
    stranger = Person(person.instance, signed_in=False)
    asked = stranger.post("/api/sign-in/passkey/options").json()
    thief.id, thief.user_handle = device.id, device.user_handle
    refused = stranger.post("/api/sign-in/passkey", thief.get(asked) | {"prf": output})
    assert_problem(refused, 400, "invalid-passkey")
    assert stranger.get("/api/me").status_code == 401
    assert person.instance.get("/api/me", headers={"Authorization": f"Bearer {output}"}).status_code == 401


def test_w_pk_5_the_output_is_taken_from_a_body_and_from_nowhere_else(person):
    device = Authenticator(person.instance)
    assert device.register(person).status_code == 201
    person.sign_out()
    browser = Person(person.instance, signed_in=False)
    answer = device.get(browser.post("/api/sign-in/passkey/options").json())
    output = answer.pop("prf")
    reply = browser.post(f"/api/sign-in/passkey?prf={output}", answer)
    assert reply.status_code == 400 or reply.json()["vault"] != "existing", reply.text
    # And no page of ours puts it into an address.
    assert not re.search(r"prf[^\n]*(location|href|URLSearchParams)", (SITE / "passkey.js").read_text())


def test_w_pk_6_a_recovery_code_is_the_way_back_without_an_authenticator(person, other):
    """256 bits and a checksum, typed; a passkey that derives nothing leaves the vault locked, the code opens it."""
    person.connect(GITHUB)
    device = Authenticator(person.instance, prf=False)
    assert device.register(person).json()["opensVault"] is False
    code = person.post("/api/vault/recovery", {}).json()["code"]
    assert len(d.parse_token(code).secret) * 8 >= 128
    assert person.post("/api/sign-out").status_code == 204
    browser = Person(person.instance, signed_in=False)
    assert device.show(browser).json()["vault"] == "new"
    assert [c["status"] for c in browser.connections()] == ["locked"]
    third = Person(person.instance, signed_in=False)
    for wrong in (code[:-1], mistyped(code), code.swapcase(), other.api_key().key):
        assert third.post("/api/sign-in/recovery", {"code": wrong}).status_code == 400, "one letter is found out"
    assert third.post("/api/sign-in/recovery", {"code": code}).status_code == 200
    assert [c["status"] for c in third.connections()] == ["active"]
    page = (SITE / "sign-in.html").read_text()
    assert re.search(r'<input[^>]*id="[^"]*recovery[^"]*"|name="code"', page), "a field to type it in"
