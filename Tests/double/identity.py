"""ID tokens (RFC 7515, 7517, 7519), signed well or badly. `cryptography` is asked for only when one is: the demo needs none."""

import base64
import functools
import hashlib
import hmac
import json


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def number(value: int, size: int | None = None) -> str:
    return text(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@functools.cache
def keys() -> dict:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    return {"ES256": ec.generate_private_key(ec.SECP256R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate(),
            "RS256": rsa.generate_private_key(65537, 2048), "stranger": ec.generate_private_key(ec.SECP256R1())}


@functools.cache
def key_set() -> dict:
    from cryptography.hazmat.primitives import serialization
    ec, okp, rsa = (keys()[name].public_key() for name in ("ES256", "EdDSA", "RS256"))
    point, modulus = ec.public_numbers(), rsa.public_numbers()
    raw = okp.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "ES256", "use": "sig", "x": number(point.x, 32), "y": number(point.y, 32)},
        {"kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "alg": "EdDSA", "x": text(raw)},
        {"kty": "RSA", "kid": "RS256", "alg": "RS256", "use": "sig", "n": number(modulus.n), "e": number(modulus.e)},
        {"kty": "EC", "crv": "P-521", "kid": "other", "x": "AA", "y": "AA"}, {"kty": "oct", "kid": "secret", "k": "AA"}]}


def sign(claims: dict, algorithm: str, header: dict, spoilt: bool) -> str:
    """`stranger`: ES256 with a key that is not published."""
    named = "ES256" if algorithm == "stranger" else algorithm
    head = {"alg": named, "typ": "JWT", "kid": named} | header
    signed = ".".join(text(json.dumps(part).encode()) for part in
                      ({name: value for name, value in head.items() if value is not None}, claims))
    signature = bytearray(signature_of(signed.encode(), algorithm))
    if spoilt:
        signature[-1] ^= 1
    return f"{signed}.{text(bytes(signature))}"


def signature_of(message: bytes, algorithm: str) -> bytes:
    if algorithm == "none":
        return b""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
    if algorithm == "HS256":
        public = keys()["RS256"].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hmac.new(public, message, hashlib.sha256).digest()
    if algorithm == "RS256":
        return keys()["RS256"].sign(message, padding.PKCS1v15(), hashes.SHA256())
    if algorithm == "EdDSA":
        return keys()["EdDSA"].sign(message)
    r, s = utils.decode_dss_signature(keys()[algorithm].sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
