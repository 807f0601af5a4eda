"""Signing in with an OpenID provider that the operator marked for it: the double, which can lie, and glewlwyd."""

from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from playwright.sync_api import expect

from harness.answers import assert_problem
from harness.glewlwyd import Glewlwyd
from harness.instance import free_port
from harness.people import NAVIGATION, Person
from harness.waiting import until

LINK = {"owner": "toolshed", "bridge": "corp", "scope": "read"}


@pytest.fixture
def browser(instance, double):
    return Person(instance, signed_in=False)


def start(browser: Person, provider: str = "corp") -> str:
    reply = browser.post(f"/api/sign-in/{provider}/start")
    assert reply.status_code == 200, reply.text
    return reply.json()["location"]


def back(browser: Person, callback: str):
    return browser.navigate(callback, site="cross-site")


def sign_in(browser: Person, account: str = "octo"):
    """The whole way; the answer is the callback's."""
    return back(browser, browser.instance.double.decide(start(browser), account=account))


def who(browser: Person) -> dict | None:
    reply = browser.get("/api/me")
    return reply.json() if reply.status_code == 200 else None


def refused(reply, code: str, browser: Person) -> None:
    assert reply.status_code == 303 and reply.headers["Location"] == f"/error#{code}", reply.headers
    assert "__Host-toolshed=" not in reply.headers.get("Set-Cookie", "") and who(browser) is None


# The good way


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_the_same_subject_is_the_same_person(instance, double, browser, algorithm):
    double.set("generic", id_token_alg=algorithm)
    reply = sign_in(browser)
    assert reply.status_code == 303 and reply.headers["Location"] == "/sign-in#own"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    first, again = who(browser), Person(instance, signed_in=False)
    sign_in(again)
    assert first and who(again)["userId"] == first["userId"] and who(again)["sessionId"] != first["sessionId"]
    stranger = Person(instance, signed_in=False)
    sign_in(stranger, "hubot")
    assert who(stranger)["userId"] != first["userId"]
    assert double.complaints() == []


def test_the_record_says_at_which_service_somebody_signed_in(browser):
    sign_in(browser)

    def last() -> dict:
        return next(iter(browser.get("/api/activity", params={"event": "signed-in"}).json()["activity"]), {})

    until(lambda: last().get("caller") and last()["callerKind"] == "provider" and last()["provider"] == "corp", "the sign-in to be listed")


def test_nothing_is_asked_for_but_who_it_is(browser):
    asked = dict(parse_qsl(urlsplit(start(browser)).query))
    assert asked["scope"] == "openid profile" and asked["response_type"] == "code"
    assert asked["redirect_uri"] == browser.instance.origin + "/api/sign-in/corp/callback"
    assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
    assert len(asked["state"]) == 43 and len(asked["nonce"]) == 43 and len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3


def test_it_opens_no_vault_and_makes_no_connection(instance, browser):
    sign_in(browser)
    browser.user_id = who(browser)["userId"]
    assert browser.connections() == []
    browser.connect(LINK)
    twin = Person(instance, signed_in=False)
    sign_in(twin)
    assert [c["status"] for c in twin.connections()] == ["locked"]


def test_a_connection_signs_nobody_in(instance, person, double):
    """And the account that somebody connected is nobody's way to be them."""
    person.connect(LINK)
    browser = Person(instance, signed_in=False)
    sign_in(browser)
    assert who(browser)["userId"] != person.user_id


def test_an_email_selects_nobody(instance, double, browser):
    sign_in(browser)
    double.set("generic", id_token={"sub": "another", "email": "octo@example.test", "preferred_username": "octo", "name": "octo"})
    other = Person(instance, signed_in=False)
    sign_in(other)
    assert who(other)["userId"] != who(browser)["userId"]


def test_the_operator_says_whose_a_subject_is(instance, person, double):
    instance.toolshedd("identity", "add", person.user_id, "--provider", "corp", "--subject", "known-subject")
    double.set("generic", id_token={"sub": "known-subject"})
    browser = Person(instance, signed_in=False)
    sign_in(browser)
    assert who(browser)["userId"] == person.user_id


def test_by_default_nobody_becomes_a_person(fresh):
    instance = fresh()
    file = instance.dir / "etc/providers.d/doubles.yaml"
    text = file.read_text()
    file.write_text(text.replace("{ new_people: anyone }", "{}"))
    instance.start()
    browser = Person(instance, signed_in=False)
    refused(sign_in(browser), "not-a-person-here", browser)
    file.write_text(text.replace("anyone }", "[listed] }"))
    assert instance.reload().returncode == 0
    refused(sign_in(browser), "not-a-person-here", browser)
    instance.double.set("generic", id_token={"sub": "listed"})
    sign_in(browser)
    assert who(browser)


def test_only_marked_providers_sign_anybody_in(browser):
    for provider in ("github", "nowhere", "notion", "acme~corp"):
        assert_problem(browser.post(f"/api/sign-in/{provider}/start"), 404, "unknown-provider")
    assert browser.get("/api/sign-in/methods").json()["providers"] == [{"provider": "corp", "name": "Corp sign-on"}]


# An ID token that is not to be believed


@pytest.mark.parametrize("settings", [
    {"id_token": {"iss": "https://evil.example"}}, {"id_token": {"iss": None}}, {"id_token": {"aud": "another-client"}},
    {"id_token": {"aud": ["generic-client", "another"]}}, {"id_token": {"aud": ["generic-client"], "azp": "another"}},
    {"id_token": {"aud": None}}, {"id_token": {"exp": 1}}, {"id_token": {"exp": None}}, {"id_token": {"exp": "soon"}},
    {"id_token": {"iat": 4_000_000_000}}, {"id_token": {"iat": None}}, {"id_token": {"nbf": 4_000_000_000}},
    {"id_token": {"nonce": "another"}}, {"id_token": {"nonce": None}}, {"id_token": {"sub": None}}, {"id_token": {"sub": ""}},
    {"id_token": {"sub": "x" * 256}}, {"id_token": {"sub": 7}}, {"id_token": {"sub": "a\u202eb"}},
    {"id_token_alg": "none"}, {"id_token_alg": "HS256"}, {"id_token_alg": "stranger"}, {"id_token_spoilt": True},
    {"id_token_header": {"alg": "RS256", "kid": None}}, {"id_token_header": {"kid": "unknown"}},
    {"id_token_header": {"crit": ["exp"]}}, {"jwks": {"keys": []}}], ids=str)
def test_a_token_that_is_wrong_signs_nobody_in(double, browser, settings):
    double.set("generic", **settings)
    refused(sign_in(browser), "sign-in-refused", browser)


def test_several_audiences_are_fine_where_it_was_made_for_us(double, browser):
    double.set("generic", id_token={"aud": ["another", "generic-client"], "azp": "generic-client"}, id_token_header={"kid": None})
    sign_in(browser)
    assert who(browser)


def test_a_token_answer_without_one_signs_nobody_in(double, browser):
    location = start(browser).replace("openid+profile", "profile").replace("openid%20profile", "profile")
    refused(back(browser, double.decide(location, account="octo")), "sign-in-refused", browser)


def test_no_at_the_provider_and_no_provider_end_well(double, browser):
    double.set("generic", callback_error="access_denied")
    location = requests.get(start(browser), allow_redirects=False, timeout=30).headers["Location"]
    refused(back(browser, location), "denied", browser)
    double.set("generic", callback_error=None)
    callback = double.decide(start(browser), account="octo")
    double.fault("generic", "token", "503")
    refused(back(browser, callback), "sign-in-refused", browser)


# It belongs to the browser that began it


def test_a_callback_in_another_browser_signs_nobody_in(instance, double, browser):
    """Login CSRF: a link that would sign the victim in as the attacker."""
    stolen = double.decide(start(browser), account="octo")
    victim = Person(instance, signed_in=False)
    victim.http.cookies.set("other", "1")
    refused(back(victim, stolen), "wrong-browser", victim)
    refused(back(browser, stolen), "already-used", browser)


def test_a_callback_works_once_and_for_ten_minutes(instance, double, browser):
    callback = double.decide(start(browser), account="octo")
    back(browser, callback)
    before = who(browser)
    assert back(browser, callback).headers["Location"] == "/error#already-used" and who(browser) == before
    browser.post("/api/sign-out")
    callback = double.decide(start(browser), account="octo")
    instance.sql("UPDATE sign_in SET expires_at_ms = expires_at_ms - 600000")
    refused(back(browser, callback), "expired", browser)


def test_another_providers_callback_is_refused(instance, double, browser):
    callback = double.decide(start(browser), account="octo")
    reply = back(browser, callback.replace("/corp/", "/demo/"))
    assert reply.status_code == 303 and reply.headers["Location"].startswith("/error#") and who(browser) is None


def test_a_browser_with_a_session_keeps_it(person, browser, double):
    assert_problem(person.post("/api/sign-in/corp/start"), 403, "not-permitted")
    # Begun before somebody signed in here.
    callback = double.decide(start(browser), account="octo")
    browser.sign_in()
    before = who(browser)
    assert back(browser, callback).headers["Location"] == "/error#signed-in-already" and who(browser) == before


def test_only_our_own_page_begins_it_and_only_a_page_ends_it(browser, double):
    """W-LOGIN-1, W-CSRF-1, W-CSRF-3"""
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "https://evil.example"}, {}):
        assert_problem(browser.post("/api/sign-in/corp/start", headers=headers), 403, "cross-site")
    assert browser.get("/api/sign-in/corp/start").status_code == 405
    callback = double.decide(start(browser), account="octo")
    for destination in ("iframe", "image", "script", "empty"):
        reply = browser.http.get(callback, headers=NAVIGATION | {"Sec-Fetch-Dest": destination}, allow_redirects=False, timeout=30)
        assert reply.status_code == 403
    assert back(browser, callback).headers["Location"] == "/sign-in#own"


def test_without_cookies_it_comes_back_once(instance, double, browser):
    """W-COOK-3"""
    callback = double.decide(start(browser), account="octo")
    bare = instance.get(callback.removeprefix(instance.origin), headers=NAVIGATION)
    assert bare.status_code == 200 and bare.headers["Refresh"].endswith("&b=1")
    again = instance.get(callback.removeprefix(instance.origin) + "&b=1", headers=NAVIGATION)
    assert again.headers["Location"] == "/error#cookies-blocked"
    reply = back(browser, callback + "&b=1")
    assert reply.headers["Location"] == "/sign-in#own"
    assert "Max-Age=0" in reply.headers["Set-Cookie"], "the transaction cookie ends (W-COOK-2)"


@pytest.mark.parametrize("query", ["", "state=x", "code=1&state=", "state=" + "A" * 43, "state=%00&code=x", "state=a&state=b&code=c"])
def test_rubbish_ends_at_a_page(browser, query):
    browser.http.cookies.set("other", "1")
    reply = browser.navigate("/api/sign-in/corp/callback?" + query)
    assert reply.status_code == 303 and reply.headers["Location"].startswith("/error#")


@pytest.mark.parametrize("text, said", [
    ("sign_in: { new_people: 7 }", "new_people"), ("sign_in: { people: anyone }", "people"), ("sign_in: yes", "sign_in")])
def test_a_wrong_mark_stops_the_start_with_its_name(fresh, text, said):
    instance = fresh()
    file = instance.dir / "etc/providers.d/doubles.yaml"
    file.write_text(file.read_text().replace("sign_in: { new_people: anyone }", text))
    checked = instance.toolshedd("check", ok=False)
    assert checked.returncode == 78 and said in checked.stderr + checked.stdout


# With a provider that others wrote, and in a browser


def test_glewlwyd_signs_dora_in(fresh):
    instance = fresh(double=False)
    provider = Glewlwyd(instance.dir / "glewlwyd", free_port(), instance.origin + "/api/auth/glewlwyd/callback")
    try:
        instance.provide("glewlwyd", provider.yaml())
        instance.start()
        people = []
        for _ in range(2):
            browser = Person(instance, signed_in=False)
            reply = back(browser, provider.decide(start(browser, "glewlwyd")))
            assert reply.headers["Location"] == "/sign-in#own"
            people.append(who(browser)["userId"])
        assert people[0] == people[1]
    finally:
        provider.stop()


def test_the_page_offers_it_and_says_that_the_vault_is_new(profiles, double, look):
    page = profiles().new_page()
    page.goto("/sign-in")
    expect(page.get_by_role("button", name="Sign in with Corp sign-on")).to_be_visible()
    look(page, "sign-in-openid", every=True)
    page.get_by_role("button", name="Sign in with Corp sign-on").click()
    page.get_by_role("button", name="Allow as octo").click()
    expect(page.get_by_text("This browser has a vault of its own now")).to_be_visible()
    assert page.url.endswith("/sign-in")
    page.get_by_role("link", name="Continue").click()
    page.wait_for_url("**/vault")
