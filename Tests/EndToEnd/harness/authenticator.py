"""An authenticator and the browser before it, in software: makes passkeys and answers challenges (WebAuthn level 3)."""

import base64
import hashlib
import hmac
import json
import os
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from .people import Person

ES256, EDDSA, RS256 = -7, -8, -257
PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def raw(said: str) -> bytes:
    return base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))


class Authenticator:
    """One passkey on one device. `prf`: it derives secrets. Every part of an answer can be replaced to be wrong."""

    def __init__(self, instance, algorithm: int = ES256, prf: bool = True, counts: bool = True):
        self.origin, self.rp_id = instance.origin, "localhost"
        self.algorithm, self.counts, self.counter = algorithm, counts, 0
        self.id, self.secret, self.user_handle = os.urandom(32), os.urandom(32) if prf else None, None
        self.key = {ES256: lambda: ec.generate_private_key(ec.SECP256R1()), EDDSA: ed25519.Ed25519PrivateKey.generate,
                    RS256: lambda: rsa.generate_private_key(65537, 2048)}[algorithm]()

    # Its parts

    def client_data(self, kind: str, to: str, **changed) -> bytes:
        said = {"type": kind, "challenge": to, "origin": self.origin, "crossOrigin": False} | changed
        return json.dumps({name: value for name, value in said.items() if value is not None}).encode()

    def data(self, flags: int, rp_id: str | None = None, attested: bytes = b"") -> bytes:
        self.counter += self.counts
        return hashlib.sha256((rp_id or self.rp_id).encode()).digest() + struct.pack(">BI", flags, self.counter) + attested

    def sign(self, message: bytes) -> bytes:
        if self.algorithm == ES256:
            return self.key.sign(message, ec.ECDSA(hashes.SHA256()))
        if self.algorithm == RS256:
            return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(message)

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def derive(self, salt: str) -> str | None:
        """The browser hashes what a page gives (WebAuthn 10.1.4), the authenticator computes (CTAP 2.1 hmac-secret)."""
        if self.secret is None:
            return None
        return text(hmac.new(self.secret, hashlib.sha256(b"WebAuthn PRF\0" + raw(salt)).digest(), "sha256").digest())

    # Ceremonies: from what the worker asked to what the page posts

    def create(self, asked: dict, name: str = "Software", flags: int = PRESENT | VERIFIED | ATTESTED, rp_id: str | None = None,
               client: dict | None = None, **changed) -> dict:
        self.user_handle = raw(asked["user"]["id"])
        attested = b"\0" * 16 + struct.pack(">H", len(self.id)) + self.id + b"\xa0"
        return {
            "name": name, "id": text(self.id),
            "clientData": text(self.client_data("webauthn.create", asked["challenge"], **(client or {}))),
            "authenticatorData": text(self.data(flags, rp_id, attested if flags & ATTESTED else b"")),
            "publicKey": text(self.spki), "algorithm": self.algorithm, "prf": self.derive(asked["prfSalt"]),
        } | changed

    def get(self, asked: dict, flags: int = PRESENT | VERIFIED, rp_id: str | None = None, client: dict | None = None,
            **changed) -> dict:
        client_data = self.client_data("webauthn.get", asked["challenge"], **(client or {}))
        data = self.data(flags, rp_id)
        return {
            "id": text(self.id), "clientData": text(client_data), "authenticatorData": text(data),
            "signature": text(self.sign(data + hashlib.sha256(client_data).digest())),
            "userHandle": text(self.user_handle or b"?"), "prf": self.derive(asked["prfSalt"]),
        } | changed

    # With a person's browser

    def register(self, person: Person, **changed):
        asked = person.post("/api/passkeys/options")
        assert asked.status_code == 200, asked.text
        return person.post("/api/passkeys", self.create(asked.json(), **changed))

    def show(self, person: Person, **changed):
        """In a browser without a session, or with one."""
        return person.post("/api/sign-in/passkey", self.get(ask(person), **changed))


def ask(person: Person) -> dict:
    asked = person.post("/api/sign-in/passkey/options")
    assert asked.status_code == 200, asked.text
    return asked.json()
