"""Keys that sign, and the list in which each new one is vouched for by the one before it.

    {"format": "fairlead.ledger-keys.v1", "keys": [
      {"key_id": …, "public_key": "<64 hex digits>", "since": "2026-01-31T00:00:00Z", "previous": null,
       "vouched": null},
      {"key_id": …, "public_key": …, "since": …, "previous": "<key id>", "vouched": "<signature of the previous key>"}]}

Whoever trusts one key of the list trusts those that follow from it, and none other.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fairlead_ledger.canonical import NotCanonical, canonical, parse

KEYS_FORMAT = "fairlead.ledger-keys.v1"
KEY_BYTES, SIGNATURE_BYTES = 32, 64
_HEX = frozenset("0123456789abcdef")
_VOUCHING = "fairlead.ledger-key.v1"


class KeysInvalid(ValueError):
    """It is no list of keys."""


@dataclass(frozen=True)
class ListedKey:
    key_id: str
    public_key: str
    since: str
    previous: str | None = None
    vouched: str | None = None


class Signer:
    """One private key. Its id follows from its public half, so nobody can give another key the same name."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_key = private.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public_key)

    def __repr__(self) -> str:
        return f"Signer({self.key_id})"

    def sign(self, statement: Mapping[str, Any]) -> str:
        return self._private.sign(canonical(statement)).hex()


def key_id_of(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:16]


def listed(signer: Signer, since: str, previous: Signer | None) -> ListedKey:
    key = ListedKey(
        signer.key_id, signer.public_key.hex(), since, previous=None if previous is None else previous.key_id
    )
    if previous is None:
        return key
    return ListedKey(**{**asdict(key), "vouched": previous.sign(_statement(key))})


def keys_document(keys: Iterable[ListedKey]) -> dict[str, Any]:
    return {"format": KEYS_FORMAT, "keys": [asdict(key) for key in keys]}


def read_keys(text: bytes) -> list[ListedKey]:
    """Raises KeysInvalid."""
    try:
        document = parse(text).value
        if document["format"] != KEYS_FORMAT:
            raise KeysInvalid(f"its format is not {KEYS_FORMAT}")
        keys = [ListedKey(**key) for key in document["keys"]]
        for key in keys:
            if not is_hex(key.public_key, KEY_BYTES) or key_id_of(bytes.fromhex(key.public_key)) != key.key_id:
                raise KeysInvalid(f"{key.key_id} is not the id of its key")
    except (NotCanonical, TypeError, KeyError, AttributeError) as misfit:
        raise KeysInvalid("it is no list of keys") from misfit
    return keys


def public_key_of(text: str) -> bytes:
    """From 64 hex digits. Raises KeysInvalid."""
    try:
        found = bytes.fromhex(text.strip())
    except ValueError:
        found = b""
    if len(found) != 32:
        raise KeysInvalid("a key is 64 hex digits")
    return found


class Trust:
    """Public keys that somebody has decided to believe, and those that these have vouched for."""

    def __init__(self, anchors: Iterable[bytes], listed_keys: Iterable[ListedKey] = ()) -> None:
        self._keys = {key_id_of(key): key for key in anchors}
        waiting, is_growing = list(listed_keys), True
        while is_growing:
            news = [key for key in waiting if key.key_id not in self._keys and self._is_vouched_for(key)]
            self._keys.update({key.key_id: bytes.fromhex(key.public_key) for key in news})
            is_growing = bool(news)

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._keys

    @property
    def key_ids(self) -> list[str]:
        return list(self._keys)

    def holds(self, key_id: str, statement: Mapping[str, Any], signature: str) -> bool:
        """Whether this key, which is one of these, has signed it."""
        key = self._keys.get(key_id)
        return key is not None and is_signed(key, statement, signature)

    def _is_vouched_for(self, key: ListedKey) -> bool:
        if key.previous is None or key.vouched is None or key_id_of(bytes.fromhex(key.public_key)) != key.key_id:
            return False
        return self.holds(key.previous, _statement(key), key.vouched)


def is_hex(text: str, size_bytes: int) -> bool:
    """In the one form that we write: a file in which anything else stands was changed."""
    return len(text) == 2 * size_bytes and set(text) <= _HEX


def is_signed(public_key: bytes, statement: Mapping[str, Any], signature: str) -> bool:
    if not is_hex(signature, SIGNATURE_BYTES):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(bytes.fromhex(signature), canonical(statement))
    except (InvalidSignature, ValueError):
        return False
    return True


def _statement(key: ListedKey) -> dict[str, Any]:
    return {
        "format": _VOUCHING,
        "key_id": key.key_id,
        "previous": key.previous,
        "public_key": key.public_key,
        "since": key.since,
    }
