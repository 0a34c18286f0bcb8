"""Commits of read models with their content in the clear, and what it takes to check that against the ledger."""

from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable

import msgspec
from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.api.timeline_events import CommitRow, Seal
from fairlead.domain.envelope import Kind, StreamRef
from fairlead.domain.sealing import Field, Opened, provable, shown
from fairlead.handling.contents import Contents

Show = Callable[[list[CommitRow]], Awaitable[list[CommitRow]]]


class _Stream(Struct, frozen=True):
    kind: Kind
    stream_id: str


_stream = msgspec.json.Decoder(_Stream).decode


async def as_stored(rows: list[CommitRow]) -> list[CommitRow]:
    """Boxes stay closed."""
    return rows


def opening(contents: Contents, tenant_id: TenantId, *, to_prove: bool = False) -> Show:
    """`to_prove`: what is shown is held against commitments. Raises what opening a box raises."""

    async def show(rows: list[CommitRow]) -> list[CommitRow]:
        return [await _opened(contents, tenant_id, row, to_prove) if _holds_boxes(row) else row for row in rows]

    return show


def _holds_boxes(row: CommitRow) -> bool:
    return row.expired_at is None and '"$sealed"' in row.body


async def _opened(contents: Contents, tenant_id: TenantId, row: CommitRow, to_prove: bool) -> CommitRow:
    of, body = _stream(row.body), row.body.encode()
    fields = await contents.fields(StreamRef(tenant_id, of.kind, of.stream_id), body)
    masked = contents.masked
    seals = tuple((field.index, field.pointer, _seal(field, found, masked)) for field, found in fields.items())
    open_ = (provable if to_prove else shown)(body, fields, masked=masked)
    return replace(row, opened=open_.decode(), seals=seals)


def _seal(field: Field, found: Opened | None, masked: bool) -> Seal:
    """With the key anybody could test a guess of what is masked."""
    is_told = found is not None and not (masked and found.sensitive)
    key = None if found is None or not is_told else urlsafe_b64encode(found.key).decode().rstrip("=")
    return Seal(commitment=field.box.commitment, key=key)
