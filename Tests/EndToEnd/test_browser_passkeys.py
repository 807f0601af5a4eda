"""Passkeys in a browser, with Chromium's own virtual authenticators."""

import re

import pytest
from playwright.sync_api import Page, expect

from harness.clicking import heading
from harness.people import Person, mistyped

LINK = {"owner": "toolshed", "bridge": "github", "scope": "repo"}
OPTIONS = {"protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True,
           "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True}


class Device:
    """What a window's passkeys are on."""

    def __init__(self, page: Page, prf: bool = True, lists: bool = False):
        if not lists:  # or the page would be signed in before anybody could press a button
            page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = () => Promise.resolve(false)")
        self.client = page.context.new_cdp_session(page)
        self.client.send("WebAuthn.enable")
        self.id = self.client.send("WebAuthn.addVirtualAuthenticator", {"options": OPTIONS | {"hasPrf": prf}})["authenticatorId"]

    @property
    def credentials(self) -> list[dict]:
        return self.client.send("WebAuthn.getCredentials", {"authenticatorId": self.id})["credentials"]

    def verified(self, is_verified: bool) -> None:
        self.client.send("WebAuthn.setUserVerified", {"authenticatorId": self.id, "isUserVerified": is_verified})


def part(page: Page, name: str):
    return page.get_by_role("region", name=name, exact=True)


def add(page: Page, name: str) -> None:
    page.get_by_label("Name of a new passkey").fill(name)
    page.get_by_role("button", name="Add a passkey").click()
    expect(part(page, "Passkeys").get_by_role("heading", name=name)).to_be_visible()


def sign_out(page: Page, *, last: bool = False) -> None:
    """The last one who opens the vault is asked twice."""
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("group", name=re.compile(".")).get_by_role("button", name="Sign out", exact=True).click()
    if last:
        page.get_by_role("button", name="Sign out and lose them").click()
    page.wait_for_url("**/sign-in")


def old(person: Person, seconds: int = 601) -> None:
    """As if all of the person's sign-ins were so long ago."""
    slots = [each["id"] for each in person.get("/api/sessions").json()["sessions"]]
    assert slots
    person.instance.sql("UPDATE slot SET signed_in_at_ms = signed_in_at_ms - ? WHERE kind = 'session' AND person = "
                        "(SELECT person FROM slot WHERE id = ?)", seconds * 1000, identifier(slots[0]))


def identifier(text: str) -> bytes:
    import base64
    return base64.urlsafe_b64decode(text[2:] + "==")


def test_a_passkey_that_derives_a_secret_opens_the_vault_again(page, person, look):
    device = Device(page)
    person.connect(LINK)
    page.goto("/vault")
    expect(part(page, "Passkeys")).to_contain_text("There are none")
    fragile = part(page, "Recovery").get_by_text("Only signed-in browsers open this vault")
    expect(fragile).to_be_visible()
    add(page, "This laptop")
    expect(fragile).to_be_hidden()
    expect(page.get_by_role("status")).to_contain_text("opens this vault")
    expect(part(page, "Passkeys")).to_contain_text("opens the vault")
    (credential,) = device.credentials
    assert credential["isResidentCredential"]
    look(page, "vault-passkeys", every=True)
    sign_out(page)
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    look(page, "sign-in", every=True)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/vault")
    expect(part(page, "Connections").get_by_role("heading", name="GitHub: octo")).to_be_visible()
    expect(part(page, "Activity")).to_contain_text("Passkey added")
    # Removed, it does nothing.
    row = part(page, "Passkeys").get_by_role("listitem")
    row.get_by_role("button", name="Remove").click()
    row.get_by_role("group").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status")).to_contain_text("is removed")
    expect(fragile).to_be_visible()
    sign_out(page, last=True)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("not registered")
    expect(heading(page)).to_have_text("Sign in")


def test_one_that_derives_nothing_says_that_the_vault_is_another(page, person, look):
    Device(page, prf=False)
    person.connect(LINK)
    page.goto("/vault")
    add(page, "Plain key")
    expect(page.get_by_role("status")).to_contain_text("cannot open this vault")
    expect(part(page, "Passkeys")).to_contain_text("signs in only")
    sign_out(page, last=True)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("This browser has a vault of its own now")).to_be_visible()
    expect(heading(page)).to_have_text("Signed in")
    look(page, "sign-in-own-vault", every=True)
    page.get_by_role("link", name="Continue").click()
    page.wait_for_url("**/vault")
    expect(part(page, "Connections")).to_contain_text("locked")


def test_a_passkey_is_renamed(page, person, look):
    Device(page)
    page.goto("/vault")
    add(page, "This laptop")
    row = part(page, "Passkeys").get_by_role("listitem")
    row.get_by_text("Change", exact=True).click()
    look(page, "vault-passkey-rename")
    row.get_by_label("Its name").fill("<b>Work</b> laptop")
    row.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("is called “<b>Work</b> laptop” from now on")
    expect(part(page, "Passkeys").get_by_role("heading", name="<b>Work</b> laptop")).to_be_visible()
    page.reload()
    expect(part(page, "Passkeys").get_by_role("heading", name="<b>Work</b> laptop")).to_be_visible()


# The browser's own list


HELD = """
    const get = navigator.credentials.get.bind(navigator.credentials);
    window.waiting = [];
    window.broken = false;
    navigator.credentials.get = options => options.mediation !== "conditional"
        ? window.broken ? Promise.reject(new DOMException("no", "NotAllowedError")) : get(options)
        : new Promise((resolve, reject) => {
            window.waiting.push(options.signal);
            window.fail = () => reject(new DOMException("no", "NotAllowedError"));
            options.signal.addEventListener("abort", () => reject(options.signal.reason));
        });
"""


def test_a_passkey_is_chosen_in_the_browsers_own_list(page, person):
    """Chromium's virtual devices choose as soon as they are asked, without a hand."""
    Device(page, lists=True)
    page.goto("/vault")
    add(page, "This laptop")
    with page.expect_response("**/api/sign-in/passkey") as shown:
        sign_out(page)
    assert shown.value.status == 200
    page.wait_for_url("**/vault")
    expect(part(page, "Passkeys").get_by_role("heading", name="This laptop")).to_be_visible()


def test_the_list_is_never_in_the_way_of_the_button(page, person, look):
    """Neither one that waits nor one that failed."""
    Device(page, lists=True)
    page.goto("/vault")
    add(page, "This laptop")
    page.add_init_script(HELD)
    sign_out(page)
    page.wait_for_function("() => window.waiting.length === 1")
    expect(page.get_by_label("Or choose one here")).to_have_attribute("autocomplete", "username webauthn")
    look(page, "sign-in-listed", every=True)
    button = page.get_by_role("button", name="Sign in", exact=True)
    page.evaluate("() => { broken = true; }")
    button.click()
    expect(page.get_by_role("status")).to_contain_text("No passkey was used")
    assert page.evaluate("() => waiting[0].aborted")
    page.wait_for_function("() => window.waiting.length === 2")  # the list is there again
    page.evaluate("() => { broken = false; fail(); }")
    button.click()
    page.wait_for_url("**/vault")


def test_where_the_browser_lists_none_there_is_no_field(profiles):
    page = profiles().new_page()
    page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = () => Promise.resolve(false)")
    page.goto("/sign-in")
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    expect(page.get_by_label("Or choose one here")).to_be_hidden()


def test_a_device_that_verifies_nobody_changes_nothing(page, person):
    device = Device(page)
    page.goto("/vault")
    device.verified(False)
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("status")).to_contain_text("No passkey was used")
    assert device.credentials == [] and person.get("/api/passkeys").json()["passkeys"] == []


def test_the_same_device_is_not_asked_twice(page, person):
    Device(page)
    page.goto("/vault")
    add(page, "Once")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("status")).to_contain_text("has a passkey of yours already")
    expect(part(page, "Passkeys").get_by_role("listitem")).to_have_count(1)


def test_a_stale_sign_in_is_confirmed_in_place_and_the_action_goes_on(page, person, look):
    """W-SESS-2, W-SESS-1: the dialog, a new session id, and the key that was asked for."""
    Device(page)
    person.connect(LINK)
    page.goto("/vault")
    add(page, "This laptop")
    before = page.context.cookies()[0]["value"]
    twin = Person(person.instance, person.name, signed_in=False, invitation=person.invitation)
    twin.http.cookies.set("__Host-toolshed", before)
    old(twin)
    page.get_by_label("Name of a new key").fill("nightly report")
    page.get_by_role("button", name="Make a key").click()
    dialog = page.get_by_role("dialog", name="Confirm that it is you")
    expect(dialog).to_be_visible()
    look(page, "confirm", every=True)
    dialog.get_by_role("button", name="Use your passkey").click()
    expect(dialog).to_be_hidden()
    expect(part(page, "API keys").locator(".secret")).to_contain_text("tsk_")
    assert page.context.cookies()[0]["value"] != before
    assert twin.get("/api/me").status_code == 401


def test_the_recovery_code_confirms_too_and_no_does_nothing(page, person, look):
    code = person.post("/api/vault/recovery", {}).json()["code"]
    page.goto("/vault")
    old(person)
    page.get_by_label("Name of a new key").fill("nightly report")
    page.get_by_role("button", name="Make a key").click()
    dialog = page.get_by_role("dialog", name="Confirm that it is you")
    expect(dialog.get_by_role("button", name="Use your passkey")).to_have_count(0)
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_contain_text("Confirm that it is still you")
    assert person.get("/api/keys").json()["keys"] == []
    page.get_by_role("button", name="Make a key").click()
    field = dialog.get_by_role("textbox", name="Recovery code")
    field.fill(mistyped(code))
    dialog.get_by_role("button", name="Use the recovery code").click()
    expect(dialog.get_by_role("alert")).to_contain_text("does not work")
    look(page, "confirm-recovery")
    field.fill(" ".join(code[i:i + 4] for i in range(0, len(code), 4)))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(part(page, "API keys").locator(".secret")).to_contain_text("tsk_")


def test_who_has_nothing_to_show_yet_adds_the_first_passkey(page, person, look):
    """Somebody who only ever had an invitation."""
    Device(page)
    page.goto("/vault")
    old(person)
    page.get_by_label("Name of a new key").fill("nightly report")
    page.get_by_role("button", name="Make a key").click()
    dialog = page.get_by_role("dialog", name="Confirm that it is you")
    look(page, "confirm-first")
    dialog.get_by_role("button", name="Add a passkey").click()
    expect(part(page, "API keys").locator(".secret")).to_contain_text("tsk_")
    page.reload()
    expect(part(page, "Passkeys").get_by_role("listitem")).to_have_count(1)


def test_the_user_whom_nginx_names_is_offered_by_name(profiles, instance, look):
    context = profiles(extra_http_headers={"X-Test-User": "grace"})
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_role("button", name="Sign in as grace").click()
    expect(page.get_by_text("You are signed in as grace").filter(visible=True)).to_have_count(1)
    expect(page.get_by_text("This browser has a vault of its own now")).to_be_visible()
    page.get_by_role("link", name="Continue").click()
    page.wait_for_url("**/vault")


@pytest.mark.parametrize("path", ["/sign-in", "/vault"])
def test_the_pages_may_use_passkeys_and_nothing_in_a_frame_may(instance, path):
    """5.1: the permission is given to our own pages."""
    policy = instance.get(path).headers["Permissions-Policy"]
    assert "publickey-credentials-get=(self)" in policy and "publickey-credentials-create=(self)" in policy
