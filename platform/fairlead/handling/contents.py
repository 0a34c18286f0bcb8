"""Content at the edge of the log and of the read models: sealed before it is stored, opened where somebody may see it.

Whoever has no keys can read everything but content: a box stays where it is, as text where a field is text.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from fairlead_tenants.ids import TenantId

from fairlead.domain.codec import Codec, UnreadableCommit
from fairlead.domain.envelope import Commit, Recorded, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.sealing import (
    Box,
    Field,
    Keys,
    Marks,
    Opened,
    box_in,
    fields_in,
    has_content,
    open_box,
    opened,
    said,
    sealed,
    veiled,
)
from fairlead.domain.unopened import is_in_place
from fairlead.ports import AnyCommit, AnyRecorded, ContentKeys

THE_TENANT = ""  # the data subject of what is about nobody in particular
MARK = '{"$sealed":"'

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Contents:
    """`keys` None: content is neither written nor seen. `masked`: for those who may not see what is sensitive in it."""

    def __init__(self, keys: ContentKeys | None = None, *, masked: bool = False) -> None:
        self._keys = keys
        self.masked = masked

    def behind_masks(self) -> "Contents":
        """The same for those who may not see what is sensitive."""
        return Contents(self._keys, masked=True)

    async def sealed(self, commit: AnyCommit, subject: str = THE_TENANT, marks: Marks | None = None) -> AnyCommit:
        """To be encoded. Raises Unavailable."""
        if not has_content(commit):
            return commit
        assert self._keys is not None, "whoever writes content has keys"
        return sealed(commit, await self._keys.sealing(commit.tenant_id, subject), marks)

    async def opened(self, stream: StreamRef, body: bytes) -> bytes:
        """A stored commit as it can be decoded. Raises BoxRefused, KeyMissing, Unavailable."""
        fields = fields_in(stream, body)
        if not fields:
            return body
        if self._keys is None:
            return veiled(body, fields)
        keys = await self._of(stream.tenant_id, fields)
        return opened(stream.tenant_id, body, fields, keys, masked=self.masked)

    async def fields(self, stream: StreamRef, body: bytes) -> dict[Field, Opened | None]:
        """What the boxes of a stored commit hold; None for what was destroyed. Raises as `opened`."""
        fields = fields_in(stream, body)
        if not fields or self._keys is None:
            return {}
        keys = await self._of(stream.tenant_id, fields)
        return {field: open_box(stream.tenant_id, field.box, keys) for field in fields}

    async def recorded(self, codec: Codec, sequence: LogSequence, stream: StreamRef, body: bytes) -> AnyRecorded:
        """Raises UnreadableCommit, Unavailable."""
        if self._keys is None and (unopened := _unopened(codec, stream, body)) is not None:
            return Recorded(sequence, unopened, body)
        plain = await self.opened(stream, body)
        commit: Commit[Any] = codec.decode(stream.kind, plain)
        return Recorded(sequence, commit, body, plain)

    async def name(self, tenant_id: TenantId, subject: str) -> str:
        """What a data subject is called in events. Without the tenant's key nobody can test a guess."""
        assert self._keys is not None, "whoever names people has keys"
        return (await self._keys.sealing(tenant_id, THE_TENANT)).name(subject)

    async def in_rows(self, tenant_id: TenantId, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows of read models with what is sealed in them in the clear. Raises BoxRefused, KeyMissing, Unavailable."""
        boxes: dict[str, Box] = {}
        for row in rows:
            for value in row.values():
                _gather(value, boxes)
        if not boxes or self._keys is None:
            return [dict(row) for row in rows]
        keys = await self._keys.opening(tenant_id, {box.key_id for box in boxes.values()})
        shown = _Showing(tenant_id, boxes, keys, self.masked)
        return [{name: shown.value(value) for name, value in row.items()} for row in rows]

    async def _of(self, tenant_id: TenantId, fields: Collection[Field]) -> Keys:
        assert self._keys is not None, "the caller has looked"
        return await self._keys.opening(tenant_id, {field.box.key_id for field in fields})


UNSEEN = Contents()


def _unopened(codec: Codec, stream: StreamRef, body: bytes) -> AnyCommit | None:
    """The short way for a reader without keys, which most commits can go; None for those with sealed text, and for any
    about which there is more to say."""
    try:
        commit: AnyCommit = codec.decode(stream.kind, body)
    except UnreadableCommit:
        return None
    return commit if is_in_place(stream, commit) else None


def _gather(value: Any, boxes: dict[str, Box]) -> None:
    """Sealed objects anywhere in a value, by their text."""
    if isinstance(value, str):
        if value.startswith(MARK) and (box := box_in(value.encode())) is not None:
            boxes[value] = box
    elif isinstance(value, dict):
        if "$sealed" in value:
            _gather(_text(value), boxes)
        else:
            for inner in value.values():
                _gather(inner, boxes)
    elif isinstance(value, list):
        for inner in value:
            _gather(inner, boxes)


class _Showing:
    """Values of rows with what is sealed in them open."""

    def __init__(self, tenant_id: str, boxes: Mapping[str, Box], keys: Keys, masked: bool) -> None:
        self._tenant_id = tenant_id
        self._boxes = boxes
        self._keys = keys
        self._masked = masked

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._content(value) if value in self._boxes else value
        if isinstance(value, dict):
            if "$sealed" in value and (text := _text(value)) in self._boxes:
                return self._content(text, is_text=False)
            return {name: self.value(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        return value

    def _content(self, text: str, *, is_text: bool = True) -> Any:
        box = self._boxes[text]
        found = open_box(self._tenant_id, box, self._keys)
        return _decode(said(box, found, is_text=is_text, masked=self._masked))


def _text(value: Mapping[str, Any]) -> str:
    """The one way in which a sealed object is written."""
    return _encode({"$sealed": value.get("$sealed"), "box": value.get("box")}).decode()
