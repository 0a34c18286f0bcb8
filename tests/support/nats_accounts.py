"""Who may connect to a nats-server by signed documents: an operator, accounts, users, and their credentials files."""

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import nkeys

_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_ALL_SUBJECTS: dict[str, Any] = {"pub": {}, "sub": {}}
_UNLIMITED = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1) | {"wildcards": True}
_JETSTREAM = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
_CREDENTIALS = """\
-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""
_CONFIG = """\
operator: {operator}
resolver: MEMORY
system_account: {system}
resolver_preload: {{
  {system}: {system_jwt}
  {ours}: {ours_jwt}
}}
"""


class Operator:
    """An installation with an account of ours beside the system's. `config` is what its servers are told."""

    def __init__(self) -> None:
        self._key = _key(nkeys.PREFIX_BYTE_OPERATOR)
        system, self._account = _key(nkeys.PREFIX_BYTE_ACCOUNT), _key(nkeys.PREFIX_BYTE_ACCOUNT)
        self.config = _CONFIG.format(
            operator=_signed(self._key, self._key, "operator", {}),
            system=_public(system),
            system_jwt=_signed(self._key, system, "account", {"limits": _UNLIMITED}),
            ours=_public(self._account),
            ours_jwt=_signed(self._key, self._account, "account", {"limits": _UNLIMITED | _JETSTREAM}),
        )

    def credentials(self, file: Path) -> Path:
        """Of a new user of our account."""
        user = _key(nkeys.PREFIX_BYTE_USER)
        claims = {**_ALL_SUBJECTS, "subs": -1, "data": -1, "payload": -1}
        jwt = _signed(self._account, user, "user", claims)
        file.write_text(_CREDENTIALS.format(jwt=jwt, seed=user.seed.decode()))
        return file


def _key(prefix: int) -> Any:
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def _public(key: Any) -> str:
    return str(key.public_key.decode())


def _signed(issuer: Any, subject: Any, kind: str, nats: dict[str, Any]) -> str:
    claims: dict[str, Any] = {
        "iat": int(time.time()),
        "iss": _public(issuer),
        "name": kind,
        "sub": _public(subject),
        "nats": {**nats, "type": kind, "version": 2},
    }
    claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).decode().rstrip("=")
    text = f"{_encoded(json.dumps(_HEADER).encode())}.{_encoded(json.dumps(claims).encode())}"
    return f"{text}.{_encoded(issuer.sign(text.encode()))}"


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")
