"""The decryptor opens what the Swift code sealed (Fixtures/vectors/envelope.json), and refuses what it should refuse.

A thief test with a decryptor that opens nothing would always pass; this is what keeps it honest.
"""

import json
from pathlib import Path

import decryptor as d
import pytest

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "Fixtures/vectors/envelope.json").read_text())


def unhexed(group: str) -> dict:
    """Every value of a group that is hexadecimal, as bytes."""
    plain = {"text", "kind", "slot", "encryptionKeys"}
    return {name: value if name in plain else bytes.fromhex(value) for name, value in VECTORS[group].items()}


@pytest.mark.parametrize("group", ["token", "tokenWithoutVault"])
def test_a_token_is_parsed_and_gives_its_derived_key(group):
    vector = unhexed(group)
    token = d.parse_token(vector["text"])
    assert (token.kind, token.slot) == (vector["kind"], vector["slotBytes"])
    assert d.identifier(vector["slot"]) == vector["slotBytes"]
    assert token.fingerprint == vector["fingerprint"]
    assert token.derived_key(vector["salt"], vector["vault"] or None) == vector["derived"]
    assert token.derived_key(vector["salt"], bytes(16)) != vector["derived"]


def test_a_mistyped_token_is_refused():
    text = VECTORS["token"]["text"]
    for wrong in (text[:-1], text + "0", "xxx_" + text[4:], "tsk_" + text[4:], text[:40] + "AA" + text[42:]):
        with pytest.raises(d.Malformed):
            d.parse_token(wrong)


def test_symmetric_boxes_open():
    vector = unhexed("boxes")
    assert d.open_box(vector["wrapped"], vector["key"], vector["data"]) == vector["inner"]
    assert d.open_box(vector["sealed"], vector["key"], vector["data"]) == '{"access_token":"…"}'.encode()
    assert d.open_box(vector["sealedEmpty"], vector["key"], vector["data"]) == b""


def test_associated_data_is_built_alike():
    vector, slot = unhexed("boxes"), d.identifier(VECTORS["token"]["slot"])
    assert d.fields("toolshed/v1/vector", slot, "größe", 1 << 40, b"") == vector["data"]
    assert d.fields("toolshed/v1/vector-info") == vector["info"]


def test_derived_keys_tags_and_pairs_agree():
    vector = unhexed("boxes")
    assert d.derive(vector["key"], "toolshed/v1/vector-tags", b"\1\2\3") == vector["derived"]
    assert d.tag(vector["derived"], vector["data"]) == vector["tag"]
    assert d.open_box(vector["wrappedPair"], vector["key"], vector["data"]) == vector["private"]
    assert d.public_key(vector["private"]) == vector["public"]
    assert d.holder_key(vector["private"]) == vector["holder"]


def test_hpke_boxes_open():
    vector = unhexed("boxes")
    assert d.header(vector["hpke"]).key_id == 513
    assert d.open_hpke(vector["hpke"], vector["private"], vector["info"], vector["data"]) == vector["inner"]
    for info, data in ((vector["data"], vector["data"]), (vector["info"], vector["info"])):
        with pytest.raises(d.DoesNotOpen):
            d.open_hpke(vector["hpke"], vector["private"], info, data)


def test_subkeys_of_encryption_key_agree():
    vector = unhexed("configured")
    keys = d.encryption_keys(vector["encryptionKeys"])
    assert list(keys) == [2, 1]
    for box in (vector["outer"], vector["outerOld"]):
        assert d.open_outer(box, keys, "slots", vector["row"], "vault") == vector["inner"]
    assert keys[2].service_public == vector["servicePublic"]
    assert d.outer_tag(keys, vector["tag"], vector["data"])
    assert d.open_hpke(vector["hpke"], keys[2].service, vector["data"], vector["data"]) == vector["key"]


def test_a_worker_is_given_no_service_private_key():
    vector = unhexed("configured")
    keys = d.encryption_keys(vector["encryptionKeys"])
    order = [keys[2], keys[1]]
    worker = b"\1w\2" + b"\0\2\0\1" + b"".join(k.outer for k in order) + b"".join(k.tags for k in order)
    assert vector["workerBundle"] == worker + keys[2].service_public
    keeper = b"\1k" + vector["workerBundle"][2:] + b"".join(k.service for k in order)
    assert vector["keeperBundle"] == keeper


@pytest.mark.parametrize("table,flip_row,column", [("plugins", 0, "vault"), ("slots", 1, "vault"), ("slots", 0, "private")])
def test_a_swapped_outer_seal_does_not_open(table, flip_row, column):
    vector = unhexed("configured")
    keys = d.encryption_keys(vector["encryptionKeys"])
    row = bytes([vector["row"][0] ^ flip_row]) + vector["row"][1:]
    with pytest.raises(d.DoesNotOpen):
        d.open_outer(vector["outer"], keys, table, row, column)
    with pytest.raises(d.DoesNotOpen):
        d.open_outer(vector["outer"], {1: keys[1]}, "slots", vector["row"], "vault")


def test_no_byte_of_a_box_can_be_changed():
    vector = unhexed("boxes")
    for index in range(len(vector["wrapped"])):
        box = bytearray(vector["wrapped"])
        box[index] ^= 1
        with pytest.raises((d.DoesNotOpen, d.Malformed)):
            d.open_box(bytes(box), vector["key"], vector["data"])
    for index in range(len(vector["hpke"])):
        box = bytearray(vector["hpke"])
        box[index] ^= 1
        with pytest.raises((d.DoesNotOpen, d.Malformed)):
            d.open_hpke(bytes(box), vector["private"], vector["info"], vector["data"])
