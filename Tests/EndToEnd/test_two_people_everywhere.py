"""A second person with what the first one sees and types: link codes, offers, digests, forms, codes and states.

`test_two_people.py` walks the places where identifiers stand; here is every other route of docs/openapi.yaml. What the first
one's own secret proves belongs to whoever has it (a recovery code signs in), so such a secret is given to a signed-in second
person, who must not come by anything by it, nor learn that it is good for something.
"""

import pytest

from harness.answers import assert_problem
from harness.contract import DOCUMENT, METHODS
from harness.database import Database
from harness.flow import GITHUB, approval, callback_address, page_members
from harness.oauth import Client, command_line, pkce
from harness.people import NAVIGATION, Person, Plugin
from test_two_people import ABOUT_ONESELF, UNKNOWN, places, shape

LINK = "/api/vault/link"
# The latest first: a new code ends the one that was shown before it.
STEPS = ("accepted", "sealed", "claimed", "offer")
# Routes at which nothing of anybody else's can be named. Of those with a body each member is a name or a switch of one's own.
NAMES_NOBODY = {
    "POST /api/keys", "POST /api/plugins", "POST /api/passkeys/options", "POST /api/vault/recovery", "POST /api/vault/lock",
    "POST /api/sign-in/passkey/options", "POST /api/sign-in/{provider}/start", "POST /register", "POST /device_authorization",
    "GET /api/sign-in/methods", "GET /healthz", "GET /readyz", "GET /metrics",
}


class Ada:
    """Somebody in the middle of everything, and the words for it that only she should be able to use."""

    def __init__(self, instance):
        instance.double.reset()
        self.instance, self.person = instance, Person(instance, "Ada of the secrets")
        self.person.connect(GITHUB)
        self.key = self.person.api_key()
        self.offers = {step: self._offer(step) for step in STEPS}
        self.code = self.person.post("/api/vault/recovery", {}).json()["code"]
        self.locked = Plugin(instance).link("github", ["gist"], user=self.person)["requestId"]
        self.form = page_members(self.person.asked(GITHUB | {"scope": "gist"}).json(), GITHUB | {"scope": "gist"})
        self.approval = approval(self.person, GITHUB | {"scope": "gist"}).split("approval=")[1]
        self.callback = callback_address(self.person, GITHUB | {"scope": "notifications"}).removeprefix(instance.origin)
        self.client = Client(instance, token_endpoint_auth_method="client_secret_post").log_in(self.person)
        self.query = self.client.query(pkce()[1])
        shown = self.client.asked(self.person, self.query).json()
        self.decision = {"decision": "approve", "digest": shown["digest"], "formToken": shown["formToken"], "query": self.query}
        self.authorization, self.verifier = self.client.code(self.person)
        device = command_line(instance)
        self.device = device.begin_device().json()
        shown = self.person.post("/api/device", {"userCode": self.device["user_code"]}).json()
        self.device_form = {"decision": "approve", "userCode": self.device["user_code"], "digest": shown["digest"],
                            "formToken": shown["formToken"]}
        self.clients = [entry["id"] for entry in self.person.get("/api/clients").json()["clients"]]

    def _offer(self, reached: str) -> dict:
        """An offer that has come as far as this, with what its browsers know of it."""
        elsewhere = self.person.elsewhere()
        said = self.person.post(LINK, {"step": "offer"}).json() | {"digest": "x"}
        if reached != "offer":
            assert elsewhere.post(LINK, {"step": "claim", "code": said["code"]}).status_code == 200
        if reached in ("sealed", "accepted"):
            assert self.person.post(LINK, {"step": "seal", "id": said["id"]}).status_code == 200
            [offer] = [offer for offer in elsewhere.get(LINK).json()["offers"] if offer["id"] == said["id"]]
            said["digest"] = offer["digest"]
        if reached == "accepted":
            accepted = elsewhere.post(LINK, {"step": "accept", "id": said["id"], "digest": said["digest"]})
            assert accepted.status_code == 200, accepted.text
        return said


@pytest.fixture(scope="module")
def ada(instance):
    return Ada(instance)


@pytest.fixture
def eve(instance):
    """New for each route: tries are counted."""
    return Person(instance, "Eve")


def told_apart(caller, method: str, path: str, hers, invented) -> None:
    """The answer to what is hers is the answer to what is nobody's, and nothing of hers changes."""
    with Database(caller.instance).unchanged("connection", "slot", "plugin", "approval", "vault", "person"):
        said = [caller.call(method, path if "{" not in path else path.replace("{}", body or ""),
                            None if "{" in path else body) for body in (hers, invented)]
        assert shape(said[0]) == shape(said[1]), (said[0].text, said[1].text)
        assert said[0].status_code >= 400 or said[0].json() in ({"next": "retry"}, {"opens": "nothing"}), said[0].text


INVENTED = {"id": "l_" + UNKNOWN, "code": "00000000", "digest": "x"}


@pytest.mark.parametrize("step", ["claim", "seal", "accept", "cancel"])
@pytest.mark.parametrize("reached", STEPS)
def test_an_offer_of_hers_is_as_good_as_invented_however_far_it_has_come(ada, eve, reached, step):
    """By its id with its own digest, and by its code; from a browser, and from the key of somebody else."""
    members = {"claim": ("code",), "seal": ("id",), "accept": ("id", "digest"), "cancel": ("id",)}[step]
    offer = ada.offers[reached]
    hers, invented = ({"step": step} | {member: source[member] for member in members} for source in (offer, INVENTED))
    if step == "accept":
        invented["digest"] = offer["digest"]
    told_apart(eve, "POST", LINK, hers, invented)
    told_apart(eve.api_key(), "POST", LINK, hers, invented)


def test_an_offer_of_hers_is_in_no_list_and_her_tries_are_not_used_up_by_others(ada, eve):
    for _ in range(6):
        assert eve.post(LINK, {"step": "claim", "code": ada.offers["offer"]["code"]}).status_code == 404
    assert eve.get(LINK).json()["offers"] == []
    elsewhere = ada.person.elsewhere()
    assert elsewhere.post(LINK, {"step": "claim", "code": ada.offers["offer"]["code"]}).status_code == 200


def test_her_recovery_code_and_her_request_link_nothing_of_another_person(ada, eve):
    told_apart(eve, "POST", LINK, {"step": "recovery", "code": ada.code}, {"step": "recovery", "code": "tsr_" + "A" * 70})
    told_apart(eve, "POST", LINK, {"step": "unlock", "request": ada.locked}, {"step": "unlock", "request": "r_" + UNKNOWN})
    told_apart(eve, "GET", LINK + "?request={}", ada.locked, "r_" + UNKNOWN)
    told_apart(eve, "POST", "/api/vault/recovery/check", {"code": ada.code}, {"code": "tsr_" + "A" * 70})


def test_nothing_of_hers_is_lost_by_another_persons_word(ada, eve):
    holders = [ada.key.id, ada.person.get("/api/me").json()["sessionId"], *ada.clients]
    for holder in holders:
        told_apart(eve, "POST", "/api/vault/lost", {"holder": holder}, {"holder": holder[:2] + UNKNOWN})


def test_what_a_loss_of_hers_led_to_is_put_away_by_her_alone(eve):
    her = Person(eve.instance)
    her.connect(GITHUB)
    lost = her.api_key()
    assert her.post("/api/vault/lost", {"holder": lost.id}).status_code == 200
    told_apart(eve, "DELETE", "/api/vault/lost?holder={}", lost.id, lost.id[:2] + UNKNOWN)
    assert [loss["holder"] for loss in her.get("/api/vault/lost").json()["losses"]] == [lost.id]


def test_her_tokens_are_reported_by_her_alone(ada, eve):
    connection = ada.person.connections()[0]["id"]
    for caller in (eve, eve.api_key(), Plugin(eve.instance)):
        told_apart(caller, "POST", "/api/tokens/report", {"connection": connection, "tokenHash": "A" * 43, "status": 401},
                   {"connection": "c_" + UNKNOWN, "tokenHash": "A" * 43, "status": 401})


def test_a_plugin_of_anothers_gets_no_key_of_hers(ada, eve):
    own = eve.own_plugin()
    with Database(eve.instance).unchanged("slot", "plugin", "approval"):
        said = [own.post("/api/person-keys", {"userId": user}) for user in (ada.person.user_id, "u_" + UNKNOWN, "u_")]
        assert len({shape(reply) for reply in said}) == 1 and said[0].status_code == 403, said[0].text


def test_her_forms_decide_nothing_in_another_browser(ada, eve):
    """The digest and the token of the very page that she has open; and the approval that she clicked for."""
    told_apart(eve, "POST", "/api/connect", ada.form, ada.form | {"formToken": "A" * 43, "digest": "A" * 43})
    told_apart(eve, "POST", "/api/authorize", ada.decision, ada.decision | {"formToken": "A" * 43, "digest": "A" * 43})
    told_apart(eve, "POST", "/api/device/decision", ada.device_form, ada.device_form | {"formToken": "A" * 43, "digest": "A" * 43})
    where = [eve.navigate(f"/api/auth/github/login?scope=gist&approval={approval}", site="same-origin").headers["Location"]
             for approval in (ada.approval, "A" * 43)]
    assert where[0] == where[1] and "/connect?" in where[0]


def test_who_types_her_devices_code_before_her_yes_sees_the_device_and_nothing_of_her(ada, eve):
    """Until somebody says yes it is nobody's; that is what the page warns of."""
    shown = eve.post("/api/device", {"userCode": ada.device["user_code"]})
    assert shown.status_code == 200 and shown.json()["signedInAs"] == eve.name and shown.json()["connections"] == []
    assert ada.person.name not in shown.text
    assert ada.person.post("/api/device/decision", ada.device_form).status_code == 204


def test_her_applications_tokens_are_nothing_to_anothers_application(ada, eve):
    other = Client(eve.instance, token_endpoint_auth_method="client_secret_post").log_in(eve)
    invented = [text[:-20] + "A" * 20 for text in (ada.authorization, ada.client.tokens["refresh_token"], ada.client.tokens["access_token"])]
    for hers, nobodys in ((ada.authorization, invented[0]),):
        said = [other.exchange(code, ada.verifier, redirect_uri=ada.client.redirect) for code in (hers, nobodys)]
        assert said[0].status_code == 400 and said[0].json()["error"] == said[1].json()["error"] == "invalid_grant"
    said = [other.refresh(token) for token in (ada.client.tokens["refresh_token"], invented[1])]
    assert said[0].status_code == 400 and said[0].json()["error"] == said[1].json()["error"] == "invalid_grant"
    for token in (ada.client.tokens["access_token"], ada.client.tokens["refresh_token"]):
        assert other.post("/introspect", {"token": token}).json() == other.post("/introspect", {"token": invented[2]}).json() == {"active": False}
        other.revoke(token)
        assert ada.client.is_live(token), "somebody else's application ends nothing"


def test_her_way_back_from_a_provider_ends_in_another_browser_with_nothing(ada, eve):
    reply = eve.navigate(ada.callback, site="cross-site")
    again = eve.navigate(ada.callback.replace("state=", "state=A"), site="cross-site")
    assert reply.status_code == again.status_code == 303, reply.text
    assert reply.headers["Location"].startswith("/error#") and eve.connections() == []


def test_her_other_secrets_sign_nobody_in_who_is_signed_in_already(ada, eve, instance):
    """Whoever has them may be her; whoever is somebody else is refused, and stays who they are."""
    for path, body in (("/api/sign-in/recovery", {"code": ada.code}), ("/api/sign-in/invitation", {"code": ada.person.invitation["code"]})):
        assert_problem(eve.post(path, body), 403, "not-permitted")
        assert eve.get("/api/me").json()["userId"] == eve.user_id
    assert eve.post("/api/sign-in/passkey", {}).status_code == 400
    assert instance.get("/api/sign-in/corp/callback?state=x&code=y", headers=NAVIGATION).status_code == 200


def test_at_the_end_everything_of_hers_is_as_it_was(ada):
    assert {c["status"] for c in ada.person.connections()} == {"active"}
    assert ada.key.token("github", ["repo"]) and ada.client.is_live()
    sealed = [offer["id"] for offer in ada.person.get(LINK).json()["offers"]]
    assert ada.offers["sealed"]["id"] in sealed, "it can still be accepted"


# What is above, and what walks the identifiers, is all there is

VISITED = {
    "POST /api/vault/link", "GET /api/vault/link", "POST /api/vault/recovery/check", "POST /api/vault/lost",
    "DELETE /api/vault/lost",
    "POST /api/tokens/report", "POST /api/connect", "POST /api/authorize", "GET /api/authorize", "POST /api/device",
    "POST /api/device/decision", "GET /api/auth/{provider}/login", "GET /api/auth/{provider}/callback", "POST /token",
    "POST /introspect", "POST /revoke", "POST /api/sign-in/recovery", "POST /api/sign-in/invitation", "POST /api/sign-in/passkey",
    "GET /api/sign-in/{provider}/callback",
    # test_passkeys.py: test_a_credential_is_registered_once, test_a_challenge_belongs_to_its_session_and_purpose
    "POST /api/passkeys",
    "POST /api/person-keys",
    # test_confirm.py: test_only_the_session_that_left_comes_back, test_somebody_else_at_the_provider_confirms_nothing
    "POST /api/sign-in/{provider}/confirm",
    # test_trusted_user.py: whom nginx vouches for is who it is.
    "POST /api/sign-in/header",
}


def test_every_route_of_the_document_is_visited_with_what_is_hers():
    everything = {f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item if method in METHODS}
    by_identifier = {f"{method.upper()} {path}" for path, method, _, _ in places()}
    # test_no_list_or_page_of_the_second_person_names_anything_of_the_first
    lists = {f"GET {path}" for path, item in DOCUMENT["paths"].items() if "get" in item and "{" not in path}
    about_oneself = {f"POST {path}" for path in ABOUT_ONESELF}
    left = everything - by_identifier - lists - about_oneself - VISITED - NAMES_NOBODY
    assert not left, f"no test tries these with what belongs to somebody else: {sorted(left)}"
    assert (VISITED | NAMES_NOBODY) <= everything, sorted((VISITED | NAMES_NOBODY) - everything)
