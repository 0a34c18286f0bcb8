"""Signed packages of connectors for tests."""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fairlead_sdk.contract import Manifest
from fairlead_sdk.description import described, plain

from fairlead.domain.connectors.package import packed
from tests.support.connectors import manifest

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
AUTHOR = KEY.public_key().public_bytes_raw().hex()
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


def package_of(said: Manifest, files: Mapping[str, bytes] | None = None, key: Ed25519PrivateKey = KEY) -> bytes:
    return packed(f"{said.name}_connector", plain(described(said)), files or _files(said.name), key)


def bills(version: str = "1.0.0", key: Ed25519PrivateKey = KEY, name: str = "bills", **fields: Any) -> bytes:
    return package_of(manifest(version=version, name=name, **fields), key=key)


def _files(name: str) -> dict[str, bytes]:
    return {f"{name}_connector/__init__.py": b"# tools", f"{name}_connector/data/rates.json": b"{}"}
