"""Keys that sign ledgers, from a file: the newest signs; those before it stay listed, so that what they signed holds.

The file is JSON, like the public list, with `private_key` beside those that still can sign. It is read again when it
changes, so a new key may be put in while the program runs. Without its private half an old key can sign nothing more.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fairlead_ledger.keys import KEYS_FORMAT, KeysInvalid, ListedKey, Signer, keys_document, listed, read_keys

from fairlead.adapters.embedded.secrets import write_private, write_private_once
from fairlead.domain.errors import FairleadError
from fairlead.handling.ledgers import as_text

FILE_NAME = "ledger_keys"
_log = structlog.get_logger()


class LedgerKeysInvalid(FairleadError):
    """The file cannot be used. Never says what is in it."""

    code = "ledger_keys_invalid"


class LedgerKeys:
    """The keys of a file as it is now; those read last while it cannot be read."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = self._stamp()
        self._listed, self._signer = _read(file)

    def __repr__(self) -> str:
        return f"LedgerKeys({self._signer!r})"

    def signer(self) -> Signer:
        self._refresh()
        return self._signer

    def public(self) -> list[ListedKey]:
        """Oldest first; each is vouched for by the one before it."""
        self._refresh()
        return self._listed

    def _refresh(self) -> None:
        try:
            if (stamp := self._stamp()) != self._seen:
                self._listed, self._signer = _read(self._file)
                self._seen = stamp
        except (OSError, LedgerKeysInvalid) as error:
            _log.error("ledger_keys_unreadable", file=str(self._file), error=type(error).__name__)

    def _stamp(self) -> tuple[int, int, int]:
        found = self._file.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size


def ledger_keys(file: Path | None, data_dir: Path, now: datetime) -> LedgerKeys:
    """From `file`, or from the data directory, where a key is made at first use. Raises LedgerKeysInvalid."""
    kept = file or data_dir / FILE_NAME
    if file is None and not kept.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private_once(kept, _document([], {}, now))
    return LedgerKeys(kept)


def add_key(file: Path, now: datetime) -> str:
    """A fresh key, vouched for by the one that signed until now; its id. Raises LedgerKeysInvalid."""
    if not file.exists():
        write_private_once(file, _document([], {}, now))
        return _read(file)[1].key_id
    keys, _ = _read(file)
    write_private(file, _document(keys, _private(file.read_bytes()), now))
    return _read(file)[1].key_id


def retire_keys(file: Path) -> list[str]:
    """Take out the private halves of all but the newest; their ids. Raises LedgerKeysInvalid."""
    keys, signer = _read(file)
    private = _private(file.read_bytes())
    write_private(file, _encoded(keys, {signer.key_id: private[signer.key_id]}))
    return [key_id for key_id in private if key_id != signer.key_id]


def _document(keys: list[ListedKey], private: Mapping[str, str], now: datetime) -> bytes:
    """The same keys and a fresh one after them."""
    made = Ed25519PrivateKey.generate()
    signer = Signer(made)
    previous = _signer(private[keys[-1].key_id]) if keys else None
    fresh = listed(signer, as_text(now), previous)
    return _encoded([*keys, fresh], {**private, signer.key_id: made.private_bytes_raw().hex()})


def _encoded(keys: list[ListedKey], private: Mapping[str, str]) -> bytes:
    document = keys_document(keys)
    for key in document["keys"]:
        if key["key_id"] in private:
            key["private_key"] = private[key["key_id"]]
    return json.dumps(document, indent=1).encode()


def _read(file: Path) -> tuple[list[ListedKey], Signer]:
    try:
        text = file.read_bytes()
        private = _private(text)
        document: dict[str, Any] = json.loads(text)
        bare = [{name: key[name] for name in asdict(ListedKey("", "", ""))} for key in document["keys"]]
        keys = read_keys(json.dumps({"format": KEYS_FORMAT, "keys": bare}).encode())
        signer = _signer(private[keys[-1].key_id])
        if signer.key_id != keys[-1].key_id:
            raise LedgerKeysInvalid(f"the private half of {keys[-1].key_id} in {file} is another key's")
    except (ValueError, KeyError, IndexError, TypeError, KeysInvalid):
        raise LedgerKeysInvalid(f"{file} is no list of keys whose newest can sign") from None
    return keys, signer


def _private(text: bytes) -> dict[str, str]:
    return {key["key_id"]: key["private_key"] for key in json.loads(text)["keys"] if "private_key" in key}


def _signer(private_key: str) -> Signer:
    return Signer(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private_key)))
