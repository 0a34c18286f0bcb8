"""What the vault holds for a connection, and what of it is lent. None of it is ever shown."""

from datetime import timedelta

import msgspec
from fairlead_sdk.auth import AuthKind
from fairlead_sdk.outbound import Credential
from msgspec import Struct

from fairlead.domain.connections.grants import Grant
from fairlead.domain.instant import Instant

MAX_LOAN = timedelta(hours=1)
MARGIN = timedelta(seconds=60)  # before its end a credential is renewed: clocks differ, and calls take time
MARGIN_PART = 5  # of a credential's life, where that is shorter than the margin would allow


class KeptKey(Struct, frozen=True, kw_only=True, tag="api_key"):
    key: str

    def __repr__(self) -> str:
        return "KeptKey(…)"


class KeptPassword(Struct, frozen=True, kw_only=True, tag="basic"):
    username: str
    password: str

    def __repr__(self) -> str:
        return "KeptPassword(…)"


class Subject(Struct, frozen=True, kw_only=True):
    """Somebody else's token that is exchanged for one of our own."""

    token: str
    kind: str

    def __repr__(self) -> str:
        return "Subject(…)"


class KeptGrant(Struct, frozen=True, kw_only=True, tag="grant", omit_defaults=True):
    """`given_at` is when this access token came, `requested` what was asked for."""

    grant: Grant
    given_at: Instant
    requested: tuple[str, ...]
    subject: Subject | None = None

    def __repr__(self) -> str:
        return "KeptGrant(…)"


Kept = KeptKey | KeptPassword | KeptGrant

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Kept).decode


def fits(kept: Kept, auth: AuthKind) -> bool:
    """Whether this is what a connection of that kind of authentication keeps."""
    kinds = {AuthKind.API_KEY: KeptKey, AuthKind.BASIC: KeptPassword, AuthKind.OAUTH2: KeptGrant}
    return auth in kinds and isinstance(kept, kinds[auth])


def credential_of(kept: Kept) -> Credential:
    match kept:
        case KeptKey(key=key):
            return Credential(secret=key)
        case KeptPassword(username=username, password=password):
            return Credential(secret=password, username=username)
        case KeptGrant(grant=grant):
            return Credential(secret=grant.access_token)


def ends_at(kept: Kept, now: Instant) -> Instant:
    """When a loan that begins now is over at the latest."""
    expires_at = kept.grant.expires_at if isinstance(kept, KeptGrant) else None
    return min(expires_at, now + MAX_LOAN) if expires_at is not None else now + MAX_LOAN


def is_spent(kept: Kept, now: Instant) -> bool:
    """Whether the counterpart would refuse it already."""
    return isinstance(kept, KeptGrant) and kept.grant.expires_at is not None and kept.grant.expires_at <= now


def wants_renewal(kept: Kept, now: Instant) -> bool:
    """Whether it ends soon."""
    if not isinstance(kept, KeptGrant) or kept.grant.expires_at is None:
        return False
    life = max(kept.grant.expires_at - kept.given_at, timedelta(0))
    return now >= kept.grant.expires_at - min(MARGIN, life / MARGIN_PART)
