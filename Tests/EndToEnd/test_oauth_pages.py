"""Letting an application in, as a person does it: real Chromium, and a client that listens where it says."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import expect

from harness.browsing import lend_session, sign_in
from harness.clicking import button, decide, heading
from harness.oauth import Client, command_line, granted, pkce
from harness.people import Person

GITHUB = {"owner": "toolshed", "bridge": "github", "scope": "repo"}


@pytest.fixture
def person(instance):
    return Person(instance, "Ada Lovelace")


@pytest.fixture
def listener():
    """A program on this computer that waits for its code; what it heard."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/favicon.ico":
                heard.append((self.path, dict(self.headers)))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Client</title><link rel=icon href='data:,'><p>You can close this window.")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.heard = heard
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def elsewhere(page) -> list[str]:
    """Addresses of app.example that the browser is sent to."""
    seen = []

    def answer(route):
        seen.append(route.request.url)
        route.fulfill(content_type="text/html", body="<!doctype html><title>App</title><p>Welcome back.")

    page.route("https://app.example/**", answer)
    return seen


def test_a_program_on_this_computer_gets_its_code_on_whichever_port(page, person, instance, listener, look):
    person.connect(GITHUB)
    client = Client(instance, redirect="http://127.0.0.1:1/callback", client_name="Notebook")
    client.redirect = f"http://127.0.0.1:{listener.server_port}/callback"
    verifier, challenge = pkce()
    page.goto(f"/authorize?{client.query(challenge)}")
    expect(heading(page)).to_have_text("Let Notebook in?")
    main = page.get_by_role("main")
    for text in ("unverified", "it chose this name itself", "127.0.0.1", "this computer", "Ada Lovelace",
                 "Any program on this computer can pretend", "It can use this connection at once", "GitHub", "octo", "repo",
                 "Use your connections through this server"):
        expect(main).to_contain_text(text)
    expect(button(page, "Approve")).to_be_enabled()
    look(page, "authorize", every=True)
    decide(page)
    expect(page.get_by_text("You can close this window.")).to_be_visible()
    (path, headers), = listener.heard
    back = {name: values for name, values in parse_qs(urlsplit(path).query).items()}
    assert back["state"] == ["a/b%c d~"] and back["iss"] == [instance.origin] and len(back["code"]) == 1
    assert "Referer" not in headers
    assert granted(client.exchange(back["code"][0], verifier))["refresh_token"]


def test_the_command_line_is_known(page, person, instance, listener, look):
    client = command_line(instance)
    client.redirect = f"http://127.0.0.1:{listener.server_port}/callback"
    verifier, challenge = pkce()
    page.goto(f"/authorize?{client.query(challenge, scope=None, resource=None)}")
    expect(heading(page)).to_have_text("Let Toolshed command line in?")
    expect(page.get_by_text("part of Toolshed")).to_be_visible()
    expect(page.get_by_text("unverified")).to_be_hidden()
    expect(page.get_by_text("Nothing is connected yet")).to_be_visible()
    look(page, "authorize-command-line")
    decide(page)
    expect(page.get_by_text("You can close this window.")).to_be_visible()
    code = parse_qs(urlsplit(listener.heard[0][0]).query)["code"][0]
    assert granted(client.exchange(code, verifier))["access_token"].startswith("tsc_")


def test_w_phish_1_a_strangers_first_time_is_warned_of_on_a_page_of_its_own(page, person, instance, look):
    client = Client(instance, client_name="Claude")
    seen = elsewhere(page)
    page.goto(f"/authorize?{client.query(pkce()[1])}")
    expect(page.get_by_text("Nobody has verified who this is.")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("app.example")
    expect(button(page, "Approve")).to_be_hidden()
    look(page, "authorize-warning", every=True)
    button(page, "Go on to what it asks for").click()
    decide(page)
    expect(page.get_by_text("Welcome back.")).to_be_visible()
    assert len(seen) == 1 and "code=" in seen[0]
    page.goto(f"/authorize?{client.query(pkce()[1])}")
    expect(button(page, "Approve")).to_be_enabled()
    expect(page.get_by_text("Nobody has verified who this is.")).to_be_hidden()


def test_a_document_that_leads_elsewhere_says_so_before_anything_else(page, person, instance, look):
    client = Client(instance)
    # As if its document had been read a minute ago.
    described = "https://tools.example/client.json"
    instance.sql("UPDATE oauth_client SET id = ?, kind = 'document', fresh_until_ms = 1 << 60 WHERE id = ?", described, client.id)
    client.id = described
    seen = elsewhere(page)
    page.goto(f"/authorize?{client.query(pkce()[1])}")
    expect(page.get_by_text("Nobody has verified who this is.")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("is described at tools.example, and that is not where it goes back to.")
    expect(page.get_by_text("anyone can register")).to_be_hidden()
    look(page, "authorize-warning-document")
    button(page, "Go on to what it asks for").click()
    expect(page.get_by_text("unverified", exact=True)).to_be_visible()
    expect(page.get_by_text("it chose this name itself")).to_be_hidden()
    assert not seen


def test_b_aut_9_a_strangers_error_goes_back_by_a_click_only(page, person, instance, look):
    client = Client(instance)
    seen = elsewhere(page)
    page.goto(f"/authorize?{client.query(pkce()[1], response_type='token')}")
    back = page.get_by_role("link", name="Back to app.example")
    expect(back).to_be_visible()
    expect(page.get_by_text("asked in a way that this server does not understand")).to_be_visible()
    look(page, "authorize-refused")
    assert not seen
    back.click()
    expect(page.get_by_text("Welcome back.")).to_be_visible()
    assert "error=unsupported_response_type" in seen[0] and "code=" not in seen[0]


def test_declining_says_so_and_lets_nobody_in(page, person, instance, look):
    client = Client(instance)
    seen = elsewhere(page)
    page.goto(f"/authorize?{client.query(pkce()[1])}")
    button(page, "Go on to what it asks for").click()
    decide(page, "Decline")
    expect(heading(page)).to_have_text("Declined")
    expect(page.get_by_text("The application was not let in.")).to_be_visible()
    look(page, "authorize-declined")
    assert not seen
    page.get_by_role("link", name="Back to app.example").click()
    expect(page.get_by_text("Welcome back.")).to_be_visible()
    assert "error=access_denied" in seen[0]


def test_a_custom_scheme_gets_a_link_that_a_person_can_follow(chromium, person, instance):
    context = chromium.context()
    try:
        lend_session(context, person)
        page = context.new_page()
        client = Client(instance, redirect="cursor://anysphere.cursor-mcp/oauth/callback", client_name="Cursor")
        page.goto(f"/authorize?{client.query(pkce()[1])}")
        button(page, "Go on to what it asks for").click()
        expect(page.get_by_role("main")).to_contain_text("cursor://anysphere.cursor-mcp")
        decide(page)
        back = page.get_by_role("link", name="Back to cursor://anysphere.cursor-mcp")
        expect(back).to_be_visible()
        assert back.get_attribute("href").startswith("cursor://anysphere.cursor-mcp/oauth/callback?code=tsg_")
    finally:
        context.close()


def test_whoever_is_not_signed_in_signs_in_and_comes_back_to_the_same_question(browser, instance, listener, look):
    person = Person(instance, "Grace Hopper", signed_in=False)
    client = Client(instance, redirect=f"http://localhost:{listener.server_port}/cb")
    page = browser.new_page()
    address = f"/authorize?{client.query(pkce()[1])}"
    page.goto(address)
    expect(button(page, "Sign in")).to_be_visible()
    look(page, "authorize-sign-in")
    button(page, "Sign in").click()
    page.wait_for_url("**/sign-in")
    sign_in(browser, person)
    page.goto("/sign-in")
    page.get_by_role("link", name="Go on").or_(page.locator("#onward")).first.click()
    page.wait_for_url(lambda url: "/authorize?" in url)
    assert urlsplit(page.url).query == address.split("?", 1)[1]
    expect(button(page, "Approve")).to_be_enabled()


@pytest.mark.parametrize("changed", [{"client_id": "mc_" + "A" * 22}, {"redirect_uri": "https://evil.example/cb"}])
def test_b_aut_2_for_an_unknown_client_there_is_a_page_and_no_way_on(changed, page, instance, look):
    client = Client(instance)
    page.goto(f"/authorize?{client.query(pkce()[1], **changed)}")
    expect(heading(page)).to_have_text("Unknown application")
    expect(page.get_by_text("remove the connection in it and add it again")).to_be_visible()
    look(page, "authorize-unknown")
    assert page.get_by_role("main").get_by_role("link").count() == 0 or not page.locator("#back").is_visible()
    assert "evil" not in page.get_by_role("main").inner_text()


def test_what_a_client_calls_itself_stays_text(page, instance):
    client = Client(instance, client_name="<img src=x onerror=alert(1)> \u202eevil", redirect="http://localhost:1/cb")
    page.goto(f"/authorize?{client.query(pkce()[1])}")
    expect(page.get_by_role("main")).to_contain_text("<img src=x onerror=alert(1)> evil")
    assert page.locator("main img").count() == 0


def test_the_address_that_comes_back_is_never_one_that_could_run_here(page, instance):
    """The page's own guard, whatever a worker would say."""
    client = Client(instance)
    page.route("**/api/authorize?*", lambda route: route.fulfill(json={
        "status": "return", "location": "javascript:document.title='owned'", "client": "x", "destination": "x",
        "goesByItself": True, "error": None, "description": None}))
    page.goto(f"/authorize?{client.query(pkce()[1])}")
    expect(heading(page)).to_have_text("This address does not work")
    assert "owned" not in page.title()


def test_the_buttons_wait_until_the_page_was_looked_at(page, person, instance):
    client = Client(instance, redirect="http://localhost:1/cb")
    page.add_init_script("document.hasFocus = () => false")
    page.goto(f"/authorize?{client.query(pkce()[1])}")
    expect(heading(page)).to_contain_text("Let ")
    page.wait_for_timeout(900)
    expect(button(page, "Approve")).to_be_disabled()
    page.evaluate("document.hasFocus = () => true; dispatchEvent(new Event('focus'))")
    expect(button(page, "Approve")).to_be_enabled()


def test_w_csp_1_the_pages_policy_stands(instance):
    reply = instance.get("/authorize?" + quote("x=<b>"))
    assert "%3Cb%3E" not in reply.text and "x=<" not in reply.text
    assert reply.status_code == 200 and "form-action 'self'" in reply.headers["Content-Security-Policy"]
    assert reply.headers["X-Frame-Options"] == "DENY" and "Cross-Origin-Opener-Policy" not in reply.headers
    assert "no-store" in reply.headers["Cache-Control"]
    framed = instance.get("/authorize", headers={"Sec-Fetch-Dest": "iframe"})
    assert framed.status_code == 403


def test_a_code_is_typed_and_the_page_says_whose_computer_it_may_be(page, person, instance, look):
    person.connect(GITHUB)
    cli = command_line(instance)
    begun = cli.begin_device().json()
    page.goto("/device")
    field = page.get_by_label("Code")
    look(page, "device", every=True)
    field.fill("BCDF-GHJK")
    button(page, "Continue").click()
    expect(page.get_by_role("status")).to_contain_text("No program waits under this code.")
    field.fill(begun["user_code"].lower())
    button(page, "Continue").click()
    expect(heading(page)).to_have_text("Let Toolshed command line in?")
    main = page.get_by_role("main")
    for text in ("Someone else's computer gets everything in this vault. Continue only if you started this yourself, just now",
                 "127.0.0.1", "the address that you have, too", "Ada Lovelace", "GitHub", "octo"):
        expect(main).to_contain_text(text)
    expect(button(page, "Approve")).to_be_enabled()
    look(page, "device-ready", every=True)
    decide(page)
    expect(heading(page)).to_have_text("Let in")
    look(page, "device-approved")
    assert granted(cli.poll(begun["device_code"]))["access_token"]


def test_a_device_from_elsewhere_is_marked_and_declined(page, person, instance):
    cli = command_line(instance)
    begun = cli.begin_device().json()
    instance.sql("UPDATE device_request SET address = '203.0.113.7' WHERE status = 'pending'")
    page.goto("/device")
    page.get_by_label("Code").fill(begun["user_code"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_contain_text("203.0.113.7")
    expect(page.get_by_text("not the address that you have")).to_be_visible()
    decide(page, "Decline")
    expect(heading(page)).to_have_text("Declined")
    assert cli.poll(begun["device_code"]).json()["error"] == "access_denied"


def test_a_code_in_an_address_is_not_taken(page, person, instance):
    begun = command_line(instance).begin_device().json()
    page.goto(f"/device?user_code={begun['user_code']}#{begun['user_code']}")
    expect(page.get_by_label("Code")).to_have_value("")


def test_the_vault_lists_who_was_let_in_and_revoke_sends_them_away(page, person, instance, look):
    person.connect(GITHUB)
    client = Client(instance, client_name="Notebook", token_endpoint_auth_method="client_secret_post").log_in(person)
    cli = command_line(instance).log_in(person)
    page.goto("/vault#clients")
    part = page.locator("#clients")
    row = part.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Notebook"))
    for text in ("MCP client", "unverified", "app.example", "GitHub: octo"):
        expect(row).to_contain_text(text)
    expect(part).to_contain_text("Toolshed command line")
    expect(part).to_contain_text("May use everything in this vault.")
    look(page, "vault-clients")
    button(row, "Revoke").click()
    button(row.get_by_role("group"), "Revoke").click()
    expect(page.get_by_role("status")).to_contain_text("Notebook is no longer let in.")
    assert not client.is_live()
    assert client.refresh().json()["error"] == "invalid_grant"
    headers = {"Authorization": f"Bearer {cli.tokens['access_token']}"}
    assert instance.get("/api/me", headers=headers).status_code == 200, "the other one stays"


def test_an_agent_asks_at_its_first_use_of_what_was_connected_later(page, person, instance, look):
    client = Client(instance, client_name="Notebook").log_in(person)
    page.goto("/connect?owner=toolshed&bridge=github&scope=repo")
    box = page.get_by_label("Notebook")
    expect(box).not_to_be_checked()
    look(page, "consent-with-an-agent")
    named = person.get("/api/clients").json()["clients"]
    assert named[0]["connections"] == []
    arrived = person.connect(GITHUB, also_for=[named[0]["id"]])
    assert arrived.status_code == 303
    assert [one["provider"] for one in person.get("/api/clients").json()["clients"][0]["connections"]] == ["github"]
    page.goto("/connect?owner=toolshed&bridge=github&scope=repo")
    expect(page.get_by_label("Notebook")).to_be_disabled()
    expect(page.get_by_label("Notebook")).to_be_checked()
    assert client.tokens
