"""Commits of read models with their content in the clear, and what it takes to check that against the ledger."""

from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable

import msgspec
from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.api.timeline_events import CommitRow, Seal
from fairlead.domain.envelope import Kind, StreamRef
from fairlead.domain.sealing import Field, Opened, shown
from fairlead.handling.contents import Contents

Show = Callable[[list[CommitRow]], Awaitable[list[CommitRow]]]


class _Stream(Struct, frozen=True):
    kind: Kind
    stream_id: str


_stream = msgspec.json.Decoder(_Stream).decode


async def as_stored(rows: list[CommitRow]) -> list[CommitRow]:
    """Boxes stay closed."""
    return rows


def opening(contents: Contents, tenant_id: TenantId) -> Show:
    """Raises what opening a box raises."""

    async def show(rows: list[CommitRow]) -> list[CommitRow]:
        return [await _opened(contents, tenant_id, row) if _holds_boxes(row) else row for row in rows]

    return show


def _holds_boxes(row: CommitRow) -> bool:
    return row.expired_at is None and '"$sealed"' in row.body


async def _opened(contents: Contents, tenant_id: TenantId, row: CommitRow) -> CommitRow:
    of, body = _stream(row.body), row.body.encode()
    fields = await contents.fields(StreamRef(tenant_id, of.kind, of.stream_id), body)
    seals = tuple((field.index, field.pointer, _seal(field, found)) for field, found in fields.items())
    return replace(row, opened=shown(body, fields).decode(), seals=seals)


def _seal(field: Field, found: Opened | None) -> Seal:
    key = None if found is None else urlsafe_b64encode(found.key).decode().rstrip("=")
    return Seal(commitment=field.box.commitment, key=key)
