"""The attacks on a connect link (standards.md 3.5), one test each: in none of them anything is stored for anybody."""

from urllib.parse import urlencode

import pytest

from harness.answers import assert_headers, assert_problem
from harness.database import Database, state_hash
from harness.flow import GITHUB, approval, at_once, callback_address, depart, error, page_members, result
from harness.people import NAVIGATION, Person, link_members
from harness.waiting import until

SENSITIVE = ("connection", "approval", "authorization", "request", "outcome", "decline")


@pytest.fixture(scope="module")
def rows(instance):
    return Database(instance)


@pytest.fixture(scope="module")
def alice(instance):
    return Person(instance, "Alice of the attacks")


@pytest.fixture(scope="module")
def bob(instance):
    return Person(instance, "Bob of the attacks")


@pytest.fixture
def key(alice):
    """A caller of Alice's with no open request yet."""
    return alice.api_key()


def test_a_link_for_alice_says_nothing_to_bob_and_takes_nothing_from_him(alice, bob, key, rows):
    """C-URL-4, C-CON-4."""
    need = key.link("github", ["repo"], reason="a private reason")
    link = need["authorizationUrl"]
    with rows.unchanged(*SENSITIVE):
        refused = bob.asked(link)
        assert_problem(refused, 403, "owner-mismatch")
        for said in (alice.name, alice.user_id, "a private reason", need["matchCode"]):
            assert said not in refused.text
        own = bob.asked(GITHUB).json()
        posted = bob.post("/api/connect", page_members(own, link))
        assert_problem(posted, 403, "owner-mismatch")
    status = key.get(f"/api/requests/{need['requestId']}").json()
    assert status["status"] == "pending" and status["opened"] and status["mismatch"]
    assert alice.asked(link).status_code == 200, "it still works for the person it was made for"


def test_a_link_that_another_opens_again_and_again_is_on_record_once(instance, key):
    """Nobody fills another person's record, nor the log that vending waits for."""
    carol, dan = Person(instance), Person(instance)
    link = carol.api_key().link("github", ["repo"])["authorizationUrl"]
    strangers = [dan, Person(instance)]
    for _ in range(5):
        for stranger in strangers:
            assert_problem(stranger.asked(link), 403, "owner-mismatch")
    second = carol.api_key().link("github", ["repo"])["authorizationUrl"]
    assert_problem(dan.asked(second), 403, "owner-mismatch")
    carol.api_key("made last")

    def told() -> list[str]:
        return [line["event"] for line in carol.get("/api/activity").json()["activity"]]

    until(lambda: told().count("mismatch") == 3 and told().count("key-made") == 3, "one line for each stranger and link")

@pytest.mark.parametrize("change, status, error_code", [
    ({"owner": "acme"}, 404, "unknown-provider"),
    ({"owner": "bob"}, 404, "unknown-provider"),
    ({"bridge": "slack"}, 400, "invalid-request"),
    ({"bridge": "nowhere"}, 404, "unknown-provider"),
    ({"scope": "repo admin:org"}, 400, "invalid-request"),
    ({"scope": "read:user"}, 400, "invalid-request"),
    ({"scope": ""}, 400, "invalid-request"),
    ({"request": "r_" + "A" * 22}, 404, "not-found"),
])
def test_an_edited_link_is_refused_when_it_is_read_and_when_it_is_posted(alice, key, rows, change, status, error_code):
    """C-CON-2, C-CON-5: owner, bridge, scope and request must be those of the request. Scopes that are posted are what
    was left ticked of those that were shown, so others were not shown."""
    link = key.link("github", ["repo"])["authorizationUrl"]
    edited = link_members(link) | change
    with rows.unchanged(*SENSITIVE):
        assert_problem(alice.asked(edited), status, error_code)
        shown = alice.asked(link).json()
        body = page_members(shown, edited) | {"scopes": edited["scope"].split()}
        if "scope" in change:
            status, error_code = 409, "changed"
        assert_problem(alice.post("/api/connect", body), status, error_code)


def test_an_owner_in_the_link_is_never_where_a_credential_goes(alice, bob):
    """C-CON-5: an attacker's link makes the victim connect the victim's own vault, or nothing."""
    for owner in (bob.user_id, alice.user_id, "u_"):
        assert bob.asked(GITHUB | {"owner": owner}).status_code == 400


def test_a_request_of_another_person_in_ones_own_link_is_refused(alice, bob, key, rows):
    need = key.link("github", ["repo"])
    with rows.unchanged(*SENSITIVE):
        assert_problem(bob.asked(GITHUB | {"request": need["requestId"]}), 403, "owner-mismatch")


def test_a_link_opened_by_nobody_leads_to_sign_in_and_stays_alices(instance, bob, key, rows):
    """C-CON-3."""
    need = key.link("github", ["repo"])
    nobody = Person(instance, signed_in=False)
    with rows.unchanged(*SENSITIVE):
        refused = nobody.asked(need["authorizationUrl"])
        assert assert_problem(refused, 401, "invalid-token")["signInUrl"] == "/sign-in"
        nobody.sign_in()
        assert_problem(nobody.asked(need["authorizationUrl"]), 403, "owner-mismatch")
        assert_problem(bob.asked(need["authorizationUrl"]), 403, "owner-mismatch")


def test_a_browser_that_became_somebody_else_cannot_finish(instance, bob, double, rows):
    """The transaction cookie of one person's flow beside the session of another's."""
    carol = Person(instance)
    address = callback_address(carol)
    carol.http.cookies.set("__Host-toolshed", bob.http.cookies["__Host-toolshed"], domain="localhost.local", path="/",
                           secure=True)
    with rows.unchanged("connection", "approval"):
        assert error(carol.navigate(address, site="cross-site")) == "wrong-browser"
    assert double.count("github", "exchange") == 0


def test_an_expired_link_is_over_for_reading_and_for_deciding(alice, key, rows):
    need = key.link("github", ["repo"])
    shown = alice.asked(need["authorizationUrl"]).json()
    rows.expire("request", "status = 'pending' AND caller_kind = 'api-key' AND created_at_ms = "
                "(SELECT max(created_at_ms) FROM request)")
    with rows.unchanged(*SENSITIVE):
        assert_problem(alice.asked(need["authorizationUrl"]), 410, "request-expired")
        posted = alice.post("/api/connect", page_members(shown, need["authorizationUrl"]))
        assert_problem(posted, 410, "request-expired")
    again = key.link("github", ["repo"])
    assert again["requestId"] != need["requestId"]


def test_a_flow_that_took_too_long_exchanges_nothing(alice, double, rows):
    address = callback_address(alice)
    rows.expire("authorization", "state_hash = ?", state_hash(address))
    assert error(alice.navigate(address, site="cross-site")) == "expired"
    assert double.count("github", "exchange") == 0 and alice.connections() == []


def test_alices_callback_in_bobs_browser_ends_the_flow_and_connects_nobody(alice, bob, double, rows):
    """§1.5 step 6, both ways: a stolen answer, and an answer that is put upon somebody."""
    address = callback_address(alice)
    with rows.unchanged("connection", "approval"):
        assert error(bob.navigate(address, site="cross-site")) == "wrong-browser"
        late = result(alice, alice.navigate(address, site="cross-site"))
    assert late["status"] == "failed" and late["message"] == "wrong-browser"
    assert double.count("github", "exchange") == 0


def test_the_transaction_cookie_alone_is_not_enough(alice, bob, double):
    """A cookie planted by a neighbouring host: the session must be the one that approved."""
    address = callback_address(alice)
    planted = "; ".join(f"{c.name}={c.value}" for c in alice.http.cookies if c.name.startswith("__Host-tx-"))
    headers = NAVIGATION | {"Cookie": f"__Host-toolshed={bob.http.cookies['__Host-toolshed']}; {planted}"}
    path = address.removeprefix(alice.instance.origin)
    assert error(alice.instance.get(path, headers=headers)) == "wrong-browser"
    assert double.count("github", "exchange") == 0


def test_no_page_of_a_flow_can_be_framed(alice, double, rows):
    """W-CLICK-1, §5.2: by header where browsers look, by refusal where they say what they do."""
    start, address = approval(alice), callback_address(alice)
    page = alice.navigate("/connect?" + urlencode(GITHUB))
    assert page.status_code == 200
    for path in (page, alice.navigate("/done"), alice.navigate("/vault")):
        assert path.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in path.headers["Content-Security-Policy"]
    with rows.unchanged("authorization", "outcome", "connection"):
        for target in ("/connect?" + urlencode(GITHUB), start, address.removeprefix(alice.instance.origin)):
            framed = alice.get(target, headers={"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"})
            assert framed.status_code == 403
            assert_headers(framed)
    assert result(alice, alice.navigate(address, site="cross-site"))["status"] == "connected"
    alice.delete(f"/api/connections/{alice.connections()[0]['id']}")


def test_a_bot_that_fetches_links_makes_no_state(instance, key, rows):
    """C-CON-1, A-SEED-3: previews and prefetches, with and without what browsers say of themselves."""
    need = key.link("github", ["repo"])
    path = need["authorizationUrl"].removeprefix(instance.origin)
    query = path.split("?")[1]
    before = rows.run("SELECT count(*) FROM once")
    with rows.unchanged(*SENSITIVE):
        for target in (path, f"/api/connect?{query}", "/api/auth/github/login?scope=repo",
                       f"/api/auth/github/login?userId=u_AAAAAAAAAAAAAAAAAAAAAA",
                       "/api/auth/github/callback?code=x&state=" + "A" * 43):
            for headers in ({}, {"Sec-Purpose": "prefetch", "Sec-Fetch-Dest": "document"}, {"User-Agent": "Slackbot 1.0"}):
                assert instance.get(target, headers=headers).status_code < 500
    assert rows.run("SELECT count(*) FROM once") == before
    assert key.get(f"/api/requests/{need['requestId']}").json()["opened"] is False


def test_a_state_is_used_once(alice, double):
    """A-STATE-6: the second delivery shows how the first one ended."""
    address = callback_address(alice)
    first = alice.navigate(address, site="cross-site")
    again = alice.navigate(address, site="cross-site")
    assert again.headers["Location"] == first.headers["Location"]
    assert result(alice, again)["status"] == "connected"
    assert double.count("github", "exchange") == 1
    alice.delete(f"/api/connections/{alice.connections()[0]['id']}")
    assert alice.navigate(address, site="cross-site").headers["Location"] == first.headers["Location"]
    assert double.count("github", "exchange") == 1 and alice.connections() == []


def test_a_state_that_arrives_many_times_at_once_is_exchanged_once(alice, double):
    """A-STATE-6 under a race, across threads and workers, while the first is still with the provider."""
    address = callback_address(alice)
    double.fault("github", "exchange", "delay", seconds=1)
    cookie = "; ".join(f"{c.name}={c.value}" for c in alice.http.cookies)
    path = address.removeprefix(alice.instance.origin)
    deliver = lambda: alice.instance.get(path, headers=NAVIGATION | {"Cookie": cookie})  # noqa: E731
    replies = at_once(*[deliver] * 8)
    places = {reply.headers["Location"] for reply in replies}
    assert all(reply.status_code == 303 for reply in replies)
    assert len([place for place in places if place.startswith("/done#")]) == 1
    assert places <= {"/error#already-used"} | {place for place in places if place.startswith("/done#")}
    assert double.count("github", "exchange") == 1 and len(alice.connections()) == 1
    alice.delete(f"/api/connections/{alice.connections()[0]['id']}")


def test_two_clicks_on_one_link_are_harmless(alice, key, double):
    """C-CON-9: each has a state and a cookie of its own, whichever comes back first."""
    link = key.link("github", ["repo"])["authorizationUrl"]
    first, second = depart(alice, link), depart(alice, link)
    assert result(alice, alice.navigate(double.decide(second), site="cross-site"))["status"] == "connected"
    assert result(alice, alice.navigate(double.decide(first), site="cross-site"))["status"] == "connected"
    assert len(alice.connections()) == 1, "the same account is the same connection"
    assert key.token("github", ["repo"])["accessToken"]
    alice.delete(f"/api/connections/{alice.connections()[0]['id']}")
