"""The way back from a provider: every check before anything is exchanged, and every oddity of a provider after it.

Whatever comes, the browser goes on to a page without a query, and nothing that was stored before is touched.
"""

import itertools
import re
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import parse_qs, urlencode, urlsplit

import decryptor
import pytest
import requests

from harness.answers import assert_headers, assert_problem
from harness.database import Database
from harness.flow import CORP, GITHUB, at_once, callback_address, depart, error, newest_outcome, result, timed
from harness.instance import ROOT
from harness.people import NAVIGATION, Person, Plugin
from harness.waiting import until

LINKS = {"github": GITHUB, "corp": CORP, "google": GITHUB | {"bridge": "google", "scope": "calendar"},
         "slack": GITHUB | {"bridge": "slack", "scope": "chat:write"},
         "linear": GITHUB | {"bridge": "linear", "scope": "read"}}
FAMILY = {"corp": "generic"}
KNOWN_ERRORS = set(re.findall(r'<section id="([a-z-]+)"', (ROOT / "nginx/site/error.html").read_text()))
CAUSES = (ROOT / "nginx/site/done.js").read_text().partition("const causes = {")[2].partition("};")[0]
KNOWN_MESSAGES = set(re.findall(r'^ +"?([a-z-]+)"?:', CAUSES, re.MULTILINE))


@pytest.fixture(scope="module")
def rows(instance):
    return Database(instance)


@pytest.fixture(scope="module")
def alice(instance):
    return Person(instance, "Alice of the callbacks")


@pytest.fixture(autouse=True)
def clean(alice, double):
    yield
    for connection in alice.connections():
        assert alice.delete(f"/api/connections/{connection['id']}").status_code == 200


def arrive(person: Person, address: str) -> requests.Response:
    reply = person.navigate(address, site="cross-site")
    assert_headers(reply)
    if reply.status_code == 303:
        page, _, fragment = reply.headers["Location"].partition("#")
        assert page in ("/done", "/error") and reply.headers["Referrer-Policy"] == "no-referrer" and reply.text == ""
        assert page == "/done" or fragment in KNOWN_ERRORS
    return reply


def failed(person: Person, address: str) -> str:
    """The code of an outcome that is known to the page, with nothing stored."""
    outcome = result(person, arrive(person, address))
    assert outcome["status"] == "failed" and outcome["message"] in KNOWN_MESSAGES, outcome
    assert outcome["account"] is None and person.connections() == []
    return outcome["message"]


# Before the exchange (standards.md 1.5)

def test_a_callback_without_cookies_bounces_once_and_costs_nothing(alice, double, rows):
    """W-COOK-3: a browser that holds cookies back for a moment still arrives; one without any is told so."""
    address = callback_address(alice)
    path = address.removeprefix(alice.instance.origin)
    with rows.unchanged("authorization", "outcome"):
        bounced = alice.instance.get(path, headers=NAVIGATION)
        assert bounced.status_code == 200 and bounced.headers["Refresh"] == f"0; url={path}&b=1"
        assert bounced.headers["Cache-Control"] == "no-store" and bounced.headers["Referrer-Policy"] == "no-referrer"
        code = parse_qs(urlsplit(address).query)["code"][0]
        assert code not in bounced.text
        assert_headers(bounced)
        assert error(alice.instance.get(f"{path}&b=1", headers=NAVIGATION)) == "cookies-blocked"
    assert double.count("github", "exchange") == 0
    assert result(alice, arrive(alice, f"{address}&b=1"))["status"] == "connected"


def test_an_error_wins_over_a_code_that_comes_with_it(alice, double):
    address = callback_address(alice)
    assert failed(alice, f"{address}&error=server_error") == "provider-unavailable"
    assert double.count("github", "exchange") == 0


@pytest.mark.parametrize("code, message", [
    ("access_denied", "denied"), ("server_error", "provider-unavailable"), ("temporarily_unavailable", "provider-unavailable"),
    ("unauthorized_client", "misconfigured"), ("invalid_scope", "misconfigured"), ("<script>", "provider-unavailable"),
    ("x" * 2000, "provider-unavailable")])
def test_an_error_of_the_provider_is_told_in_our_own_words(alice, double, code, message):
    address = callback_address(alice)
    query = {"error": code, "error_description": "<b>call 555</b> 4c1f\u202e", "state": parse_qs(urlsplit(address).query)["state"][0]}
    said = alice.navigate(requests.Request("GET", address.split("?")[0], params=query).prepare().url, site="cross-site")
    outcome = result(alice, said)
    assert (outcome["status"], outcome["message"]) == ("failed", message) and "555" not in str(outcome)
    assert double.count("github", "exchange") == 0


@pytest.mark.parametrize("change", ["code twice", "state twice", "iss twice", "error twice", "no state", "no code",
                                    "empty state", "state cut", "state longer", "another state", "state in another case",
                                    "not base64", "NUL", "not UTF-8", "a long code", "nothing", "only b=1"])
def test_what_is_no_proper_answer_is_an_incomplete_link_and_uses_nothing_up(alice, double, rows, change):
    address = callback_address(alice)
    base, query = address.split("?")
    state = parse_qs(query)["state"][0]
    changed = {
        "code twice": f"{query}&code=x", "state twice": f"{query}&state={state}", "iss twice": f"{query}&iss=a&iss=a",
        "error twice": f"{query}&error=a&error=a", "no state": query.replace(f"state={state}", ""),
        "no code": f"state={state}", "empty state": query.replace(state, ""), "state cut": query.replace(state, state[:-1]),
        "state longer": query.replace(state, state + "A"), "another state": query.replace(state, "A" * 43),
        "state in another case": query.replace(state, state.swapcase()), "not base64": query.replace(state, "%3C%3E"),
        "NUL": query.replace(state, f"{state}%00"), "not UTF-8": query.replace(state, "%ff%fe"),
        "a long code": f"state={state}&code={'x' * 4097}", "nothing": "", "only b=1": "&b=1",
    }[change]
    with rows.unchanged("authorization", "outcome", "connection"):
        assert error(arrive(alice, f"{base}?{changed}")) == "invalid-link"
    assert double.count("github", "exchange") == 0
    if change == "code twice":
        assert result(alice, arrive(alice, address))["status"] == "connected", "and the real answer still counts"


def test_the_transaction_cookie_must_be_there_and_be_the_one(alice, double):
    """A-STATE-5."""
    session = f"__Host-toolshed={alice.http.cookies['__Host-toolshed']}"
    for forge in (lambda name, value: "", lambda name, value: f"{name}={value.swapcase()}", lambda name, value: f"{name}=",
                  lambda name, value: f"{name}={value}; {name}={value}", lambda name, value: f"__Host-tx-00000000={value}"):
        for cookie in [c for c in alice.http.cookies if c.name.startswith("__Host-tx-")]:
            alice.http.cookies.clear(cookie.domain, cookie.path, cookie.name)
        address = callback_address(alice)
        made = [c for c in alice.http.cookies if c.name.startswith("__Host-tx-")]
        assert len(made) == 1 and made[0].secure and made[0].path == "/"
        headers = NAVIGATION | {"Cookie": f"{session}; {forge(made[0].name, made[0].value)}".rstrip("; ")}
        reply = alice.instance.get(address.removeprefix(alice.instance.origin), headers=headers)
        assert error(reply) == "wrong-browser"
    assert double.count("github", "exchange") == 0


def test_a_flow_ends_with_the_session_that_began_it(instance, double):
    person = Person(instance)
    address = callback_address(person)
    assert person.post("/api/sign-out", {}).status_code == 204
    assert error(arrive(person, address)) == "session-ended"
    assert double.count("github", "exchange") == 0


@pytest.mark.parametrize("path, code", [("slack", "wrong-issuer"), ("corp", "wrong-issuer"), ("nowhere", "invalid-link"),
                                        ("acme~github", "invalid-link")])
def test_an_answer_at_another_providers_address_is_thrown_away(alice, double, path, code):
    """Mix-up defence: one redirect URI per provider, and the stored one must be it."""
    address = callback_address(alice).replace("/github/", f"/{path}/")
    reply = arrive(alice, address)
    assert code == (result(alice, reply)["message"] if "/done" in reply.headers["Location"] else error(reply))
    assert all(double.count(family, "exchange") == 0 for family in ("github", "slack", "generic"))


def test_a_provider_that_names_itself_must_be_the_one(instance, alice, double):
    """RFC 9207: the metadata advertises `iss`, so an answer without it is as bad as one with another."""
    metadata_of_workers(instance, alice)  # which have not seen corp's yet
    double.set("generic", iss="right")
    try:
        for sent in ("https://evil.example", None, "ISSUER/", "", "issuer", "ISSUER"):
            address = callback_address(alice, CORP)
            issuer = parse_qs(urlsplit(address).query)["iss"][0]
            base, query = address.split("?")
            pairs = [pair for pair in query.split("&") if not pair.startswith("iss=")]
            if sent is not None:
                value = sent.replace("ISSUER", issuer) if "ISSUER" in sent else sent.replace("issuer", issuer.upper())
                pairs.append(urlencode({"iss": value}))
            address = f"{base}?{'&'.join(pairs)}"
            if sent == "ISSUER":
                assert result(alice, arrive(alice, address))["status"] == "connected"
            else:
                assert failed(alice, address) == "wrong-issuer" and double.count("generic", "exchange") == 0, sent
    finally:
        double.reset()
        metadata_of_workers(instance, alice)


def metadata_of_workers(instance, alice) -> None:
    """New workers, which ask for metadata anew; nginx leaves too, and with it the connections kept to it."""
    assert instance.reload().returncode == 0
    alice.http.close()


@pytest.mark.parametrize("provider", LINKS)
def test_pkce_where_the_provider_takes_it_and_none_where_it_does_not(alice, double, provider):
    """A-PKCE: S256, a verifier of its own for every flow, shown to the token endpoint only."""
    family = FAMILY.get(provider, provider)
    uses = provider in ("google", "linear", "corp")
    if uses:
        double.set(family, pkce="required")
    address = depart(alice, LINKS[provider])
    query = parse_qs(urlsplit(address).query)
    assert ("code_challenge" in query) == uses
    assert result(alice, arrive(alice, double.decide(address)))["status"] == "connected"
    form = dict(double.requests(family, "exchange")[-1]["form"])
    assert ("code_verifier" in form) == uses and double.complaints() == []
    if uses:
        digest = sha256(form["code_verifier"].encode()).digest()
        assert query["code_challenge"] == [urlsafe_b64encode(digest).rstrip(b"=").decode()]
        assert query["code_challenge_method"] == ["S256"] and len(form["code_verifier"]) >= 43


def test_a_code_of_another_flow_fails_at_the_verifier(alice, double):
    """Code injection: the attacker's code in the victim's answer."""
    mine, other = callback_address(alice, CORP), callback_address(alice, CORP, account="mallory")
    own, injected = (parse_qs(urlsplit(url).query)["code"][0] for url in (mine, other))
    assert failed(alice, mine.replace(own, injected)) == "expired"


def test_only_get_is_answered(alice):
    """§1.5 step 1: a form_post carries no cookies anyway."""
    address = callback_address(alice).removeprefix(alice.instance.origin)
    for method in ("POST", "PUT", "DELETE"):
        refused = alice.call(method, address, headers=NAVIGATION | {"Sec-Fetch-Site": "cross-site"})
        assert_problem(refused, 405, "method-not-allowed")
        assert refused.headers["Allow"] == "GET, HEAD"


# Oddities of providers at the token endpoint (1.6, 1.7, 1.8, 1.13)

@pytest.mark.parametrize("fault, message", [
    ({"kind": "500"}, "provider-unavailable"), ({"kind": "502"}, "provider-unavailable"),
    ({"kind": "503"}, "provider-unavailable"), ({"kind": "429", "retry_after": 30}, "provider-unavailable"),
    ({"kind": "drop"}, "provider-unavailable"), ({"kind": "drop", "when": "after"}, "provider-unavailable"),
    ({"kind": "truncated"}, "provider-unavailable"), ({"kind": "empty"}, "provider-unavailable"),
    ({"kind": "empty_400"}, "provider-unavailable"), ({"kind": "huge"}, "provider-unavailable"),
    ({"kind": "redirect"}, "misconfigured"), ({"kind": "redirect", "status": 302}, "misconfigured"),
    ({"kind": "invalid_client"}, "misconfigured"), ({"kind": "invalid_grant"}, "expired"),
    ({"kind": "invalid_grant", "status": 200}, "expired"), ({"kind": "error_200"}, "provider-unavailable"),
    ({"kind": "body", "body": "access_token"}, "provider-unavailable"),
    ({"kind": "body", "body": {"access_token": 1}}, "provider-unavailable"),
    ({"kind": "body", "body": {"access_token": ""}}, "provider-unavailable"),
    ({"kind": "body", "body": {"access_token": "x", "token_type": "mac"}}, "provider-unavailable"),
    ({"kind": "body", "body": {"access_token": ["x"], "token_type": "Bearer"}}, "provider-unavailable"),
    ({"kind": "body", "body": [{"access_token": "x"}]}, "provider-unavailable"),
    ({"kind": "body", "body": "[" * 20_000}, "provider-unavailable"),
    ({"kind": "body", "body": {"error": {"code": "x"}}}, "provider-unavailable"),
], ids=lambda value: "-".join(str(part)[:24] for part in value.values()) if isinstance(value, dict) else value)
def test_an_odd_token_answer_is_told_and_changes_nothing(alice, double, fault, message):
    double.fault("generic", "exchange", times=1, **fault)
    address = callback_address(alice, CORP)
    assert failed(alice, address) == message
    assert double.count("generic", "exchange") == 1, "a code is never sent twice"
    assert [entry["path"] for entry in double.requests() if entry["path"] == "/elsewhere"] == []
    again = arrive(alice, address)
    assert result(alice, again)["message"] == message and double.count("generic", "exchange") == 1


def test_a_failed_attempt_leaves_the_link_and_what_was_connected(person, plugin, double):
    """The request stays open for another try; an older connection keeps working with its old scopes."""
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    old = plugin.token("github", ["repo"], user=person)
    need = plugin.link("github", ["gist"], user=person)
    double.fault("github", "exchange", "502", times=1)
    assert result(person, arrive(person, callback_address(person, need["authorizationUrl"])))["status"] == "failed"
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "approved"
    same = plugin.token("github", ["repo"], user=person)
    assert (same["accessToken"], same["scopes"]) == (old["accessToken"], old["scopes"])
    person.connect(need["authorizationUrl"])
    assert "gist" in plugin.token("github", ["gist"], user=person)["scopes"]


def test_a_client_that_the_provider_refuses_ends_the_request_as_failed(person, plugin, double):
    """Another click would end the same way; the operator has to act."""
    need = plugin.link("github", ["repo"], user=person)
    double.set("github", token_error="incorrect_client_credentials")
    assert result(person, arrive(person, callback_address(person, need["authorizationUrl"])))["message"] == "misconfigured"
    state = plugin.get(f"/api/requests/{need['requestId']}").json()
    assert (state["status"], state["reason"]) == ("failed", "misconfigured")
    double.set("github", token_error=None)
    assert plugin.link("github", ["repo"], user=person)["requestId"] != need["requestId"]


def test_a_slow_provider_is_given_up_and_slows_nobody_else(person, plugin, double):
    """No request thread waits for the network: vends go on while callbacks hang in a drip of bytes and in silence."""
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    ask = lambda: plugin.vend("github", ["repo"], user=person)  # noqa: E731
    for _ in range(5):
        ask()
    quiet = sorted(timed(ask)[1] for _ in range(40))
    double.fault("generic", "exchange", "slow_loris", times=1, interval=0.4)
    double.fault("slack", "exchange", "hold")
    addresses = [callback_address(person, LINKS[name]) for name in ("corp", "slack", "slack", "slack")]
    cookie = {"Cookie": "; ".join(f"{c.name}={c.value}" for c in person.http.cookies)}
    arrivals = [lambda address=address: timed(lambda: person.instance.get(
        address.removeprefix(person.instance.origin), headers=NAVIGATION | cookie)) for address in addresses]
    vends: list = []

    def vend_meanwhile():
        end = time.monotonic() + 4
        while time.monotonic() < end:
            vends.append(timed(ask))

    *arrived, _ = at_once(*arrivals, vend_meanwhile)
    double.post("release")
    for reply, seconds in arrived:
        assert seconds < 15, f"{seconds:.1f} s"
        assert result(person, reply)["message"] == "provider-unavailable"
    assert {reply.status_code for reply, _ in vends} == {200}
    during = sorted(seconds for _, seconds in vends)
    # A thread that waited for the network would keep a vend for seconds.
    assert len(during) > 10 and during[len(during) // 2] < max(5 * quiet[len(quiet) // 2], 0.5)


# Whose account it is, and what it may

@pytest.mark.parametrize("fault", [{"kind": "500"}, {"kind": "502"}, {"kind": "drop"}, {"kind": "truncated"}, {"kind": "huge"},
                                   {"kind": "redirect"}, {"kind": "body", "body": {"sub": {}}}, {"kind": "body", "body": "x"},
                                   {"kind": "body", "body": "", "status": 401}],
                         ids=lambda fault: "-".join(str(part)[:16] for part in fault.values()))
def test_a_refused_identity_loses_no_credential(alice, double, fault):
    """The code is spent: throwing the tokens away would cost the person another consent for nothing."""
    double.fault("generic", "userinfo", **fault)
    outcome = result(alice, arrive(alice, callback_address(alice, CORP)))
    assert outcome["status"] == "connected" and not outcome["account"]
    key = alice.api_key()
    assert key.token("corp", ["read"])["accessToken"]


def test_an_account_that_does_not_say_who_it_is_for_seconds_is_still_stored(alice, double):
    """Exchange and identity both slow: together longer than one request may wait."""
    double.fault("generic", "exchange", "delay", seconds=5, times=1)
    double.fault("generic", "userinfo", "hold")
    reply, seconds = timed(lambda: arrive(alice, callback_address(alice, CORP)))
    double.post("release")
    assert seconds < 10 and result(alice, reply)["status"] == "connected"


def test_an_accounts_name_is_text_without_tricks(alice, double):
    double.fault("generic", "userinfo", "body", body={"sub": "7", "preferred_username": "ev\u202eil\x00\n<script>" + "x" * 5000})
    outcome = result(alice, arrive(alice, callback_address(alice, CORP)))
    assert outcome["account"].startswith("evil<script>x") and len(outcome["account"]) <= 200


def test_fewer_scopes_than_approved_are_told_and_a_vend_does_not_loop(person, plugin, double):
    need = plugin.link("github", ["repo", "gist"], user=person)
    outcome = result(person, arrive(person, callback_address(person, need["authorizationUrl"], scopes=["repo"])))
    assert outcome["status"] == "connected" and [line["scope"] for line in outcome["missingScopes"]] == ["gist"]
    assert plugin.token("github", ["repo"], user=person)["scopes"] == ["repo"]
    for _ in range(3):
        refused = assert_problem(plugin.vend("github", ["repo", "gist"], user=person), 403, "scope-declined")
        assert refused["declinedScopes"] == ["gist"]
    assert double.count("github", "exchange") == 1


def test_more_scopes_than_approved_are_for_nobody_until_the_person_has_seen_them(person, plugin, double):
    need = plugin.link("github", ["repo"], user=person)
    double.set("github", extra_scopes=["admin:org"])
    person.connect(need["authorizationUrl"])
    refused = plugin.link("github", ["repo"], user=person)
    assert refused["reason"] == "plugin-not-approved" and refused["missingScopes"] == ["admin:org"]
    keys = Database(person.instance).run(
        "SELECT count(*) FROM approval WHERE connection_key IS NOT NULL AND plugin = (SELECT id FROM plugin WHERE name = ?)",
        plugin.name)
    assert keys == [(0,)], "and it holds no key"
    assert "admin:org" in [line["scope"] for line in person.asked(refused["authorizationUrl"]).json()["alsoIncludes"]]
    person.connect(refused["authorizationUrl"])
    assert plugin.token("github", ["repo"], user=person)["accessToken"]


def test_another_account_is_nobodys_until_keep_and_goes_with_remove(person, plugin, double):
    """The account was switched at the provider between two consents."""
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    before = plugin.token("github", ["repo"], user=person)
    need = plugin.link("github", ["gist"], user=person)
    outcome = result(person, arrive(person, callback_address(person, need["authorizationUrl"], account="mallory")))
    assert outcome["status"] == "connected-unused" and "mallory" in outcome["account"].lower()
    assert plugin.get(f"/api/requests/{need['requestId']}").json()["status"] == "approved"
    assert plugin.link("github", ["gist"], user=person)["reason"] == "insufficient-scope"
    assert plugin.token("github", ["repo"], user=person)["accessToken"] == before["accessToken"]
    key = person.api_key()
    assert key.link("github", ["gist"])["reason"] == "insufficient-scope"
    unused = next(c for c in person.connections() if c["unused"])
    assert key.vend("github", ["gist"], account=unused["id"]).status_code == 403
    assert plugin.vend("github", ["gist"], user=person, account=unused["id"]).json()["reason"] == "not-connected"

    outcome_id = newest_outcome(person, outcome["status"])
    stranger = Person(person.instance)
    assert stranger.get(outcome_id).status_code == 404
    removed = person.post(outcome_id, {"decision": "remove", "formToken": outcome["formToken"]})
    assert removed.json()["status"] == "removed", removed.text
    assert [c["id"] for c in person.connections()] == [before["connection"]["id"]]
    assert_problem(person.post(outcome_id, {"decision": "keep", "formToken": outcome["formToken"]}), 409, "changed")
    token = person.get(outcome_id).json()["formToken"]
    assert person.post(outcome_id, {"decision": "keep", "formToken": token}).json()["status"] == "removed"
    assert len(person.connections()) == 1


@pytest.mark.parametrize("first, later", [*itertools.permutations(["calendar", "drive.readonly", "gmail.modify"], 2),
                                          ("openid", "gmail.modify"), ("calendar", "openid"), ("openid", "email")])
def test_a_second_scope_is_of_the_same_account_whichever_source_names_it(person, plugin, double, first, later):
    person.connect(plugin.link("google", [first], user=person)["authorizationUrl"])
    [before] = person.connections()
    outcome = result(person, person.connect(plugin.link("google", [later], user=person)["authorizationUrl"]))
    assert outcome["status"] == "connected"
    assert [(c["id"], c["account"]) for c in person.connections()] == [(before["id"], "octo@example.com")]
    assert plugin.token("google", [first, later], user=person)["connection"]["id"] == before["id"]


def test_a_source_that_fails_once_makes_no_other_account_of_it(person, double):
    both = {"owner": "toolshed", "bridge": "google", "scope": "gmail.modify drive.readonly"}
    person.connect(both)
    double.fault("google", "userinfo", "500", times=1)
    assert result(person, person.connect(both | {"scope": "gmail.modify drive.readonly calendar"}))["status"] == "connected"
    assert len(person.connections()) == 1


def test_another_account_at_google_is_another_by_every_source(person, plugin, double):
    person.connect(plugin.link("google", ["calendar"], user=person)["authorizationUrl"])
    need = plugin.link("google", ["drive.readonly", "gmail.modify"], user=person)
    before = double.count("google", "userinfo")
    outcome = result(person, arrive(person, callback_address(person, need["authorizationUrl"], account="mallory")))
    assert (outcome["status"], outcome["account"]) == ("connected-unused", "mallory@example.com")
    assert double.count("google", "userinfo") - before == 3, "gmail, drive and calendar were asked"


@pytest.mark.parametrize("where", ["here", "in another browser"])
def test_a_later_consent_without_a_refresh_token_keeps_the_one_that_is_there(person, double, where):
    """Google sends one only where the person was shown its consent page."""
    key = person.api_key()
    double.set("generic", expires_in=600)
    person.connect(key.link("corp", ["read"])["authorizationUrl"])
    double.set("generic", refresh="none", expires_in=2)
    browser = person if where == "here" else person.elsewhere()
    outcome = result(browser, browser.connect(key.link("corp", ["repo"])["authorizationUrl"]))
    assert outcome["status"] == ("connected" if where == "here" else "connected-unused")
    assert key.get("/api/me").status_code == 200, "whoever opens the vault brings the two together"
    double.set("generic", refresh="static", expires_in=3600)
    until(lambda: key.token("corp", ["read"]) and double.count("generic", "refresh") == 1, "a refresh by the first one")
    assert [(c["status"], c["scopes"]) for c in person.connections() if not c["unused"]] == [("active", ["read"])], \
        "it goes on with what that refresh token is good for"


def test_another_accounts_refresh_token_is_not_taken_over(person, double):
    double.set("generic", expires_in=600)
    person.connect(CORP)
    double.set("generic", refresh="none")
    outcome = result(person, arrive(person, callback_address(person, CORP | {"scope": "read repo"}, account="mallory")))
    assert outcome["status"] == "connected-unused"
    unused = next(c for c in person.connections() if c["unused"])
    assert Database(person.instance).run(
        "SELECT refreshable FROM connection WHERE id = ?", decryptor.identifier(unused["id"])) == [(0,)]


def test_a_named_account_must_be_the_one_that_comes_back(person):
    """The caller asked for octo's; whoever is signed in at the provider is mallory."""
    key = person.api_key()
    need = key.link("github", ["repo"], account="octo")
    outcome = result(person, arrive(person, callback_address(person, need["authorizationUrl"], account="mallory")))
    assert outcome["status"] == "connected-unused"
    assert key.get(f"/api/requests/{need['requestId']}").json()["status"] == "approved"
    assert key.vend("github", ["repo"]).json()["reason"] == "not-connected"


def test_two_persons_with_one_account_share_nothing(person, other, plugin):
    person.connect(plugin.link("github", ["repo"], user=person)["authorizationUrl"])
    assert plugin.link("github", ["repo"], user=other)["reason"] == "not-connected"
    other.connect(plugin.link("github", ["repo"], user=other)["authorizationUrl"])
    tokens = {plugin.token("github", ["repo"], user=who)["accessToken"] for who in (person, other)}
    assert len(tokens) == 2
    other.delete(f"/api/connections/{other.connections()[0]['id']}")
    assert plugin.token("github", ["repo"], user=person)["accessToken"] in tokens
    assert Plugin(person.instance).link("github", ["repo"], user=person)["reason"] == "not-connected"
