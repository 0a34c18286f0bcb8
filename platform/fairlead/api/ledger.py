"""The ledger from outside: signed heads, proofs that lead to them, and the keys that sign."""

from datetime import datetime, timezone
from typing import Annotated, Any, Literal

import msgspec
from fairlead_ledger.heads import Head
from fairlead_ledger.keys import keys_document
from fairlead_tenants.access import Permission, Principal, may
from fairlead_tenants.ids import TenantId
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from fairlead.api.export_formats import SignedHead
from fairlead.api.guards import requires
from fairlead.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, after, page
from fairlead.api.parts import ApiParts
from fairlead.api.timeline_events import place_of
from fairlead.domain.errors import Denied, Invalid, Problem
from fairlead.domain.instant import Instant
from fairlead.handling import ledgers
from fairlead.handling.ledgers import NoSuchLeaf

LIST = "ledger_heads"
_LATEST = datetime.max.replace(tzinfo=timezone.utc)  # noqa: UP017  # as type checkers know it on every version
_LARGEST = 2**62
Size = Annotated[int | None, QueryParameter(ge=0, le=_LARGEST, description="Of the tree; the newest without.")]


class Inclusion(Struct, frozen=True, kw_only=True):
    """RFC 6962: the leaf, the hashes beside its path from the leaf up, and the head that they lead to."""

    index: Annotated[int, Meta(description="Of the leaf in the tenant's tree, from 0.")]
    leaf: Annotated[dict[str, Any], Meta(description="Its canonical JSON (RFC 8785) is what is hashed.")]
    path: list[str]
    head: SignedHead


class Consistency(Struct, frozen=True, kw_only=True):
    """RFC 6962: that the tree of the larger size begins with the smaller one."""

    from_size: int
    to_size: int
    path: list[str]
    head: Annotated[SignedHead, Meta(description="Of the larger size.")]


class LedgerKey(Struct, frozen=True, kw_only=True):
    key_id: str
    public_key: Annotated[str, Meta(description="Ed25519, in hex.")]
    since: Instant
    previous: str | None
    vouched: Annotated[str | None, Meta(description="By the key before it: its signature over this one.")]


class LedgerKeyList(Struct, frozen=True, kw_only=True):
    """Oldest first. Whoever trusts one of them trusts those that follow from it."""

    format: Literal["fairlead.ledger-keys.v1"]
    keys: list[LedgerKey]


class LedgerController(Controller):
    path = "/v1/ledger"
    tags = ("Ledger",)

    @get("/head", opt=requires(Permission.LEDGER_READ))
    async def get_head(self, principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]) -> SignedHead:
        """The newest head that was signed. Kept, it is a receipt: no later export can deny what it shows."""
        _check(principal, Permission.LEDGER_READ)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await ledgers.heads(tx, _LARGEST, _LATEST, 1)
        if not found:
            raise NoSuchLeaf("no head has been signed yet")
        return shown(found[0])

    @get("/heads", opt=requires(Permission.LEDGER_READ))
    async def list_heads(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[SignedHead]:
        """Heads that were signed, newest first."""
        _check(principal, Permission.LEDGER_READ)
        place = after(cursor, LIST, principal.tenant_id, str)
        size, at = _place(place) if place else (_LARGEST, _LATEST)
        async with parts.database.read(principal.tenant_id) as tx:
            found = await ledgers.heads(tx, size, at, limit + 1)
        heads = [shown(head) for head in found]
        return page(heads, limit, LIST, principal.tenant_id, lambda head: f"{head.size} {ledgers.as_text(head.at)}")

    @post("/heads", status_code=201, opt=requires(Permission.LEDGER_SIGN, "ledger"))
    async def sign_head(self, principal: NamedDependency[Principal], parts: NamedDependency[ApiParts]) -> SignedHead:
        """A head of this moment. With `Fairlead-Position` it covers what was written there."""
        _check(principal, Permission.LEDGER_SIGN)
        async with parts.database.tenant(principal.tenant_id) as tx:
            size = await ledgers.size_of(tx)
            signer = parts.head_keys.signer()
            return shown(await ledgers.sign_head(tx, signer, principal.tenant_id, size, parts.clock.now()))

    @get("/proofs/inclusion", opt=requires(Permission.LEDGER_READ, "ledger"))
    async def prove_inclusion(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        position: Annotated[str, QueryParameter(max_length=40, description="Of an event, like 4711-0.")],
        size: Size = None,
    ) -> Inclusion:
        """That the commit of an event is in the ledger, and what the ledger holds of it."""
        _check(principal, Permission.LEDGER_READ)
        place = place_of(position, "position")
        async with parts.database.read(principal.tenant_id) as tx:
            chosen = await ledgers.size_of(tx) if size is None else size
            kept = (await ledgers.kept(tx, [place.sequence])).get(place.sequence)
            if kept is None or kept.leaf >= chosen:
                raise NoSuchLeaf("the ledger holds no such commit, or not yet")
            text = await ledgers.text_of(tx, kept)
            path = await ledgers.inclusion(tx, kept.leaf, chosen)
            head = await _head(parts, tx, principal.tenant_id, chosen)
        said = msgspec.json.decode(text, type=dict[str, Any])
        return Inclusion(index=kept.leaf, leaf=said, path=[node.hex() for node in path], head=head)

    @get("/proofs/consistency", opt=requires(Permission.LEDGER_READ, "ledger"))
    async def prove_consistency(
        self,
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        from_size: Annotated[int, QueryParameter(ge=1, le=_LARGEST, description="Of the older head.")],
        to_size: Size = None,
    ) -> Consistency:
        """That the ledger has only been added to since an older head."""
        _check(principal, Permission.LEDGER_READ)
        async with parts.database.read(principal.tenant_id) as tx:
            chosen = await ledgers.size_of(tx) if to_size is None else to_size
            if from_size > chosen:
                wrong = Problem(path="/from_size", message=f"is larger than {chosen}", code="size_too_large")
                raise Invalid([wrong], "a ledger does not shrink")
            path = await ledgers.consistency(tx, from_size, chosen)
            head = await _head(parts, tx, principal.tenant_id, chosen)
        return Consistency(from_size=from_size, to_size=chosen, path=[node.hex() for node in path], head=head)

    @get("/keys", opt=requires(Permission.LEDGER_READ))
    async def list_keys(self, parts: NamedDependency[ApiParts]) -> LedgerKeyList:
        """Public keys that sign, or have signed, heads and exports."""
        return msgspec.convert(keys_document(parts.head_keys.public()), LedgerKeyList)


def shown(head: Head) -> SignedHead:
    return msgspec.convert(head.document(), SignedHead)


async def _head(parts: ApiParts, tx: Any, tenant_id: TenantId, size: int) -> SignedHead:
    return shown(await ledgers.head_at(tx, parts.head_keys.signer(), tenant_id, size, parts.clock.now()))


def _check(principal: Principal, needed: Permission) -> None:
    """The ledger is the tenant's as a whole: who may see one workspace only cannot be shown a part of it."""
    if not may(principal, needed, None, principal.environment_id):
        raise Denied(needed)


def _place(text: str) -> tuple[int, datetime]:
    size, _, at = text.partition(" ")
    return int(size), msgspec.convert(at, datetime)
