#!/usr/bin/env python3
"""Prints foreign.json: boxes sealed by `cryptography` and `pyhpke` for the Swift tests to open."""

import base64
import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "EndToEnd"))

import decryptor as d
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyhpke import KEMKey


def bytes_for(name: str, count: int = 32) -> bytes:
    return hashlib.shake_256(b"toolshed foreign vectors " + name.encode()).digest(count)


def seal(key: bytes, plaintext: bytes, data: bytes, nonce: bytes, key_id: int = 0) -> bytes:
    head = bytes([d.FORMAT, d.GCM]) + key_id.to_bytes(2, "big")
    return head + nonce + AESGCM(key).encrypt(nonce, plaintext, head + data)


def token_text(kind: str, slot: bytes, secret: bytes) -> str:
    body = kind + base64.urlsafe_b64encode(slot + secret).decode()
    checksum, digits = d.binascii.crc32(body.encode()), ""
    for _ in range(6):
        checksum, digit = divmod(checksum, 62)
        digits = d.BASE62[digit] + digits
    return body + digits


def main() -> None:
    configured = ",".join(f"{n}:{base64.b64encode(bytes_for(f'key {n}')).decode()}" for n in (2, 1))
    keys = d.encryption_keys(configured)
    data = d.fields("toolshed/v1/foreign")
    row, salt, vault, key = bytes_for("row", 16), bytes_for("salt"), bytes_for("vault", 16), bytes_for("vault key")
    text = token_text("tsc_", row, bytes_for("secret"))
    inner = seal(d.parse_token(text).derived_key(salt, vault), key, data, bytes_for("nonce", 12))
    row_key = d.expand(keys[1].outer, d.fields("toolshed/v1/outer/row", "slots", row))
    outer = seal(row_key, inner, d.fields("toolshed/v1/outer", "slots", row, "vault"), bytes_for("outer", 12), 1)
    head = bytes([d.FORMAT, d.HPKE, 0, 2])
    recipient = KEMKey.from_pyca_cryptography_key(X25519PublicKey.from_public_bytes(keys[2].service_public))
    encapsulated, context = d._SUITE.create_sender_context(recipient, info=data)
    hpke = head + encapsulated + context.seal(key, aad=head + data)
    tag = (2).to_bytes(2, "big") + d.tag(keys[2].tags, data)
    binary = {"row": row, "salt": salt, "vault": vault, "key": key, "inner": inner, "outer": outer, "hpke": hpke, "tag": tag}
    print(json.dumps({"encryptionKeys": configured, "token": text} | {n: v.hex() for n, v in binary.items()}, indent=1))


main()
