"""Makes API keys and recognises them: the randomness and the pepper around `fairlead_tenants.keys`."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from fairlead_tenants.access import EnvironmentKind
from fairlead_tenants.ids import TenantId
from fairlead_tenants.keys import (
    LETTERS_AND_DIGITS,
    MIN_PEPPER_BYTES,
    SECRET_LENGTH,
    ParsedKey,
    key_hash,
    key_text,
    parse_key,
)


@dataclass(frozen=True, slots=True)
class NewKey:
    """`text` is shown to its owner once and kept nowhere; it stays out of the repr and so out of logs."""

    text: str = field(repr=False)
    hash: str
    last_four: str


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A well-formed key that somebody sent. Whether it exists and still counts is the tenant's to say."""

    parsed: ParsedKey
    hash: str


class ApiKeys:
    def __init__(self, pepper: bytes) -> None:
        """Raises ValueError for a pepper under 256 bits. Another pepper makes every issued key unknown."""
        if len(pepper) < MIN_PEPPER_BYTES:
            raise ValueError(f"the API key pepper needs at least {MIN_PEPPER_BYTES} bytes")
        self._pepper = pepper

    def new(self, environment_kind: EnvironmentKind, tenant_id: TenantId) -> NewKey:
        secret = "".join(secrets.choice(LETTERS_AND_DIGITS) for _ in range(SECRET_LENGTH))
        text = key_text(environment_kind, tenant_id, secret)
        return NewKey(text=text, hash=key_hash(text, self._pepper), last_four=text[-4:])

    def digest(self, data: bytes) -> bytes:
        """Keyed: from what is stored of a request nobody can guess a password that was in it."""
        return hmac.digest(self._pepper, data, hashlib.sha256)

    def recognise(self, text: str) -> PresentedKey | None:
        """None for text that no key of ours can be; nothing has been looked up."""
        parsed = parse_key(text)
        return None if parsed is None else PresentedKey(parsed, key_hash(text, self._pepper))
