"""Makes Tests/Fixtures/vectors/webauthn.json: ceremonies built with Yubico's fido2 and soft-webauthn, and judged by fido2's
own server before they are written. Not needed to run any test.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install soft-webauthn==0.1.4 && /tmp/v/bin/python Tests/Fixtures/vectors/webauthn.py
"""

import base64
import json
import os
from pathlib import Path

import fido2.features
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2 import cbor
from fido2.cose import ES256, RS256, EdDSA
from fido2.server import Fido2Server
from fido2.utils import sha256, websafe_encode
from fido2.webauthn import (AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData,
                            PublicKeyCredentialRpEntity, UserVerificationRequirement)
from soft_webauthn import SoftWebauthnDevice

fido2.features.webauthn_json_mapping.enabled = True

ORIGIN, RP = "https://vault.example", "vault.example"
FLAG = AuthenticatorData.FLAG
KINDS = {
    "ES256": (ES256, lambda: ec.generate_private_key(ec.SECP256R1()), lambda key, message: key.sign(message, ec.ECDSA(hashes.SHA256()))),
    "EdDSA": (EdDSA, ed25519.Ed25519PrivateKey.generate, lambda key, message: key.sign(message)),
    "RS256": (RS256, lambda: rsa.generate_private_key(65537, 2048),
              lambda key, message: key.sign(message, padding.PKCS1v15(), hashes.SHA256())),
}


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")


def spki(key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def client(kind, challenge: bytes) -> CollectedClientData:
    return CollectedClientData.create(type=kind, challenge=challenge, origin=ORIGIN)


def ceremony(name: str) -> dict:
    cose, make, sign = KINDS[name]
    key, identifier = make(), os.urandom(32)
    server = Fido2Server(PublicKeyCredentialRpEntity(name="x", id=RP))
    attested = AttestedCredentialData.create(b"\0" * 16, identifier, cose.from_cryptography_key(key.public_key()))
    options, state = server.register_begin({"id": b"u", "name": "u"}, user_verification=UserVerificationRequirement.REQUIRED)
    registered = client(CollectedClientData.TYPE.CREATE, options.public_key.challenge)
    created = AuthenticatorData.create(sha256(RP.encode()), FLAG.UP | FLAG.UV | FLAG.AT, 1, attested)
    server.register_complete(state, {
        "id": websafe_encode(identifier), "rawId": websafe_encode(identifier), "type": "public-key",
        "response": {"clientDataJSON": websafe_encode(registered),
                     "attestationObject": websafe_encode(AttestationObject.create("none", created, {}))}})
    options, state = server.authenticate_begin([attested], user_verification=UserVerificationRequirement.REQUIRED)
    asked = client(CollectedClientData.TYPE.GET, options.public_key.challenge)
    data = AuthenticatorData.create(sha256(RP.encode()), FLAG.UP | FLAG.UV, 2)
    signature = sign(key, data + asked.hash)
    server.authenticate_complete(state, [attested], {
        "id": websafe_encode(identifier), "rawId": websafe_encode(identifier), "type": "public-key",
        "response": {"clientDataJSON": websafe_encode(asked), "authenticatorData": websafe_encode(data),
                     "signature": websafe_encode(signature)}})
    return {"algorithm": int(cose.ALGORITHM), "id": text(identifier), "spki": text(spki(key)),
            "create": {"challenge": text(registered.challenge), "clientData": text(registered), "authenticatorData": text(created)},
            "get": {"challenge": text(asked.challenge), "clientData": text(asked), "authenticatorData": text(data),
                    "signature": text(signature)}}


def soft() -> dict:
    """soft-webauthn's device verifies nobody: good in everything but that."""
    device, challenge = SoftWebauthnDevice(), os.urandom(32)
    made = device.create({"publicKey": {"challenge": challenge, "rp": {"id": RP}, "user": {"id": b"u"},
                                        "pubKeyCredParams": [{"alg": -7, "type": "public-key"}]}}, ORIGIN)
    shown = device.get({"publicKey": {"challenge": challenge, "rpId": RP}}, ORIGIN)["response"]
    return {"algorithm": -7, "id": text(device.credential_id), "spki": text(spki(device.private_key)),
            "create": {"challenge": text(challenge), "clientData": text(made["response"]["clientDataJSON"]),
                       "authenticatorData": text(cbor.decode(made["response"]["attestationObject"])["authData"])},
            "get": {"challenge": text(challenge), "clientData": text(shown["clientDataJSON"]),
                    "authenticatorData": text(shown["authenticatorData"]), "signature": text(shown["signature"])}}


vectors = {"origin": ORIGIN, "rpId": RP, "verified": {name: ceremony(name) for name in KINDS}, "unverified": soft()}
(Path(__file__).parent / "webauthn.json").write_text(json.dumps(vectors, indent=1) + "\n")
