"""Opens what toolshedd stores, written from docs/KEYS.md and sharing nothing with it but the formats.

`cryptography` and `pyhpke` do the arithmetic. The thief test gives it every copy ever made and all keys that it can
come by; whatever opens here could be opened by whoever stole the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey
from pyhpke.exceptions import OpenError

FORMAT, GCM, HPKE = 1, 1, 2
HEADER, NONCE, TAG, ENC = 4, 12, 16, 32
TOKEN_PREFIXES = ("tss_", "tsk_", "tsp_", "tsc_", "tsa_", "tsf_", "tsg_", "tsd_", "tsi_", "tsr_", "tsu_")
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class DoesNotOpen(Exception):
    """Wrong key, wrong associated data, or an altered box."""


class Malformed(Exception):
    """Not of the format at all."""


def base64url(text: str) -> bytes:
    """RFC 4648 §5 without padding, canonical form only."""
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise Malformed("base64url") from error
    if base64.urlsafe_b64encode(decoded).decode().rstrip("=") != text:
        raise Malformed("base64url")
    return decoded


def base64url_text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def identifier(text: str) -> bytes:
    """`s_…` → 16 bytes."""
    decoded = base64url(text[2:])
    if text[1:2] != "_" or len(decoded) != 16:
        raise Malformed("identifier")
    return decoded


def fields(*values: str | bytes | int) -> bytes:
    """Associated data and HKDF infos: each field behind its length. Numbers are 8 bytes; identifiers are given as bytes."""
    out = b""
    for value in values:
        if isinstance(value, int):
            value = value.to_bytes(8, "big")
        elif isinstance(value, str):
            value = value.encode()
        out += len(value).to_bytes(4, "big") + value
    return out


# Keys


def extract(salt: bytes, material: bytes) -> bytes:
    """RFC 5869 §2.2."""
    return hmac.new(salt, material, hashlib.sha256).digest()


def expand(key: bytes, info: bytes, length: int = 32) -> bytes:
    return HKDFExpand(algorithm=hashes.SHA256(), length=length, info=info).derive(key)


def derive(key: bytes, label: str, context: bytes = b"") -> bytes:
    return expand(key, fields(label, context))


def tag(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


@dataclass(frozen=True)
class Subkeys:
    """What one ENCRYPTION_KEY gives."""

    outer: bytes
    tags: bytes
    service: bytes

    @property
    def service_public(self) -> bytes:
        return public_key(self.service)


def encryption_keys(text: str) -> dict[int, Subkeys]:
    """ENCRYPTION_KEY, current key first."""
    found: dict[int, Subkeys] = {}
    for entry in text.strip().split(","):
        name, _, value = entry.strip().rpartition(":")
        root = extract(b"toolshed/v1/encryption-key", base64.b64decode(value, validate=True))
        found[int(name or 1)] = Subkeys(*(derive(root, f"toolshed/v1/{use}") for use in ("outer", "tags", "service")))
    return found


def public_key(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def holder_key(private: bytes) -> bytes:
    """The symmetric key of whoever holds this private half."""
    return derive(private, "toolshed/v1/holder")


# Tokens


@dataclass(frozen=True)
class Token:
    kind: str
    slot: bytes
    secret: bytes

    @property
    def fingerprint(self) -> bytes:
        return hashlib.sha256(self.secret).digest()

    def derived_key(self, salt: bytes, vault: bytes | None) -> bytes:
        info = fields("toolshed/v1/derived", self.kind, self.slot, vault or b"")
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(self.secret)


def parse_token(text: str) -> Token:
    """prefix 4 ‖ base64url(slot 16 ‖ secret 32) 64 ‖ CRC-32 as 6 base62 digits."""
    if text[:4] not in TOKEN_PREFIXES or len(text) != 74:
        raise Malformed("token")
    checksum, digits = binascii.crc32(text[:68].encode()), ""
    for _ in range(6):
        checksum, digit = divmod(checksum, 62)
        digits = BASE62[digit] + digits
    if digits != text[68:]:
        raise Malformed("token checksum")
    body = base64url(text[4:68])
    return Token(text[:4], body[:16], body[16:])


def person_key(plugin: Token, user_id: str) -> Token:
    """What a plugin's key gives for one person."""
    info = fields("toolshed/v1/person-key", user_id)
    made = HKDF(algorithm=hashes.SHA256(), length=48, salt=None, info=info).derive(plugin.secret)
    return Token("tsu_", made[:16], made[16:])


def token_text(token: Token) -> str:
    text = token.kind + base64url_text(token.slot + token.secret)
    checksum, digits = binascii.crc32(text.encode()), ""
    for _ in range(6):
        checksum, digit = divmod(checksum, 62)
        digits = BASE62[digit] + digits
    return text + digits


# Boxes


@dataclass(frozen=True)
class Header:
    algorithm: int
    key_id: int
    raw: bytes


def header(box: bytes) -> Header:
    if len(box) < HEADER or box[0] != FORMAT or box[1] not in (GCM, HPKE):
        raise Malformed("box")
    return Header(box[1], int.from_bytes(box[2:4], "big"), box[:HEADER])


def _gcm(key: bytes, nonce: bytes, sealed: bytes, data: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, data)
    except InvalidTag as error:
        raise DoesNotOpen from error


def open_box(box: bytes, key: bytes, data: bytes, key_id: int = 0) -> bytes:
    """A symmetric box: seal/open and wrap/unwrap have the same format."""
    found = header(box)
    if found.algorithm != GCM or found.key_id != key_id or len(box) < HEADER + NONCE + TAG:
        raise Malformed("box")
    start = HEADER + NONCE
    return _gcm(key, box[HEADER:start], box[start:], found.raw + data)


def open_outer(box: bytes, keys: dict[int, Subkeys], table: str, row: bytes, column: str) -> bytes:
    """The layer of ENCRYPTION_KEY around a stored box."""
    key_id = header(box).key_id
    if key_id not in keys:
        raise DoesNotOpen
    row_key = expand(keys[key_id].outer, fields("toolshed/v1/outer/row", table, row))
    return open_box(box, row_key, fields("toolshed/v1/outer", table, row, column), key_id)


_SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)


def open_hpke(box: bytes, private: bytes, info: bytes, data: bytes) -> bytes:
    found = header(box)
    if found.algorithm != HPKE or len(box) < HEADER + ENC + TAG:
        raise Malformed("box")
    key = KEMKey.from_pyca_cryptography_key(X25519PrivateKey.from_private_bytes(private))
    try:
        context = _SUITE.create_recipient_context(box[HEADER : HEADER + ENC], key, info=info)
        return context.open(box[HEADER + ENC :], aad=found.raw + data)
    except OpenError as error:
        raise DoesNotOpen from error


def outer_tag(keys: dict[int, Subkeys], stored: bytes, data: bytes) -> bool:
    """Whether a stored tag (key id 2 ‖ HMAC 32) is of one of these keys."""
    key_id = int.from_bytes(stored[:2], "big")
    return key_id in keys and hmac.compare_digest(stored[2:], tag(keys[key_id].tags, data))
