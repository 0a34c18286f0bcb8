"""The text of an API key: `flk_<live|test>_<tenant>_<secret>_<checksum>`.

The tenant is part of the text because row security must know it before the database is asked anything. The checksum
turns a mistyped or truncated key away without any look-up and lets secret scanners tell a real key from a look-alike.
"""

import hmac
import zlib
from typing import cast

from msgspec import Struct

from fairlead_tenants.access import EnvironmentKind
from fairlead_tenants.ids import BASE32, ID_BODY_LENGTH, TenantId, base32

LETTERS_AND_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_LENGTH = 43  # 256 bits
CHECKSUM_LENGTH = 7
KEY_LENGTH = len("flk_live_") + ID_BODY_LENGTH + 1 + SECRET_LENGTH + 1 + CHECKSUM_LENGTH
MIN_PEPPER_BYTES = 32


class ParsedKey(Struct, frozen=True):
    """What may be known of a key before it is looked up, and logged: the secret is not in here."""

    tenant_id: TenantId
    environment_kind: EnvironmentKind
    last_four: str


def key_text(environment_kind: EnvironmentKind, tenant_id: TenantId, secret: str) -> str:
    assert not secret.strip(LETTERS_AND_DIGITS), "a secret of our own making"
    unchecked = f"flk_{environment_kind}_{tenant_id.removeprefix('tnt_')}_{secret}"
    text = f"{unchecked}_{_checksum(unchecked)}"
    assert len(text) == KEY_LENGTH, "tenant id and secret are of our own making"
    return text


def parse_key(text: str) -> ParsedKey | None:
    """None for anything that is not exactly a key. Says nothing about whether the key exists."""
    if len(text) != KEY_LENGTH or not text.isascii():
        return None
    parts = text.split("_")
    if len(parts) != 5 or parts[0] != "flk" or parts[1] not in ("live", "test"):
        return None
    _, environment_kind, tenant, secret, checksum = parts
    if len(tenant) != ID_BODY_LENGTH or tenant.strip(BASE32) or secret.strip(LETTERS_AND_DIGITS):
        return None
    if checksum != _checksum(text.rpartition("_")[0]):
        return None
    return ParsedKey(TenantId(f"tnt_{tenant}"), cast(EnvironmentKind, environment_kind), text[-4:])


def key_hash(text: str, pepper: bytes) -> str:
    """HMAC-SHA-256 in hex: what is stored and looked up.

    A fast hash is right here: the secret has 256 random bits, nobody guesses it. The pepper keeps a stolen copy of
    the log useless for recognising keys, and makes the timing of a look-up by hash tell an outsider nothing.
    """
    assert len(pepper) >= MIN_PEPPER_BYTES, "the pepper has 256 bits or more"
    return hmac.digest(pepper, text.encode(), "sha256").hex()


def _checksum(unchecked: str) -> str:
    return base32(zlib.crc32(unchecked.encode()), CHECKSUM_LENGTH)
