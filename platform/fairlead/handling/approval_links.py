"""Links by which one person answers one approval without signing in: made for a mail, and read when they come back.

A link says whose it is, for which approval, under which digest and until when, marked with the installation's key, so
that nobody makes one up or widens one. What is stored of it is its hash, on the approval: there it is known whether it
was given out, is used, or has ended.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from hashlib import blake2b

import msgspec
from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec import Struct

from fairlead.domain.approvals import LinkRefused
from fairlead.domain.ids import ApprovalId
from fairlead.domain.instant import Instant
from fairlead.handling.capabilities import MarkKey

PREFIX = "fla_"
MAX_LINK = 1_000
_PERSON = b"fairlead-link-1"  # what the key marks here, it marks nowhere else
_MARK_BYTES = 32
_encode = msgspec.json.Encoder().encode


class LinkSays(Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """`notice` is the one that it was sent with: each mail has a link of its own."""

    key_id: str
    tenant_id: TenantId
    approval_id: ApprovalId
    principal_id: PrincipalId
    on_behalf_of: PrincipalId | None
    notice: str
    digest: str
    until: Instant


_decode = msgspec.json.Decoder(LinkSays).decode


class ApprovalLinks:
    """The first of `keys` marks; all of them are believed."""

    def __init__(self, keys: Sequence[MarkKey]) -> None:
        self._current = keys[0]
        self._bodies = {key.key_id: key.body for key in keys}

    @property
    def key_id(self) -> str:
        return self._current.key_id

    def text_of(self, says: LinkSays) -> str:
        """The same for the same: a mail that is sent again has the same link."""
        body = _encode(says)
        return f"{PREFIX}{_text(body)}.{_text(_mark(body, self._bodies[says.key_id]))}"

    def read(self, text: str) -> LinkSays:
        """Whether it is ours, and nothing more. Raises LinkRefused."""
        if len(text) > MAX_LINK or not text.startswith(PREFIX):
            raise LinkRefused
        body, mark = (_bytes(part) for part in text.removeprefix(PREFIX).partition(".")[::2])
        try:
            says = _decode(body)
        except msgspec.DecodeError:
            raise LinkRefused from None
        key = self._bodies.get(says.key_id)
        if key is None or not hmac.compare_digest(_mark(body, key), mark):
            raise LinkRefused
        return says


def hash_of(link: str) -> str:
    """Whoever has only this has no link: what it is of cannot be guessed."""
    return hashlib.sha256(link.encode()).hexdigest()


def _mark(body: bytes, key: bytes) -> bytes:
    return blake2b(body, key=key, digest_size=_MARK_BYTES, person=_PERSON).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Exactly one text for the same bytes, so that a link has one hash. Raises LinkRefused."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise LinkRefused from None
    if _text(data) != text:
        raise LinkRefused
    return data
