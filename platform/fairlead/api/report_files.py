"""Rows of reports as files: a line of JSON each, or CSV for spreadsheets."""

from collections.abc import AsyncIterator
from typing import Literal, TypeVar

import msgspec
from litestar.response import Stream
from msgspec import Struct

from fairlead.api.export_csv import cell

R = TypeVar("R", bound=Struct)
Form = Literal["ndjson", "csv"]
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv"}

_encode = msgspec.json.Encoder().encode


def report_file(found: AsyncIterator[list[R]], of: type[R], name: str, form: Form) -> Stream:
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    written = _csv(found, of.__struct_fields__) if form == "csv" else _ndjson(found)
    return Stream(written, media_type=MEDIA_TYPES[form], headers=headers)


async def _ndjson(found: AsyncIterator[list[R]]) -> AsyncIterator[bytes]:
    async for rows in found:
        yield b"".join(_encode(row) + b"\n" for row in rows)


async def _csv(found: AsyncIterator[list[R]], columns: tuple[str, ...]) -> AsyncIterator[bytes]:
    """With a byte order mark, for spreadsheets."""
    yield "\N{ZERO WIDTH NO-BREAK SPACE}".encode() + ",".join(columns).encode() + b"\r\n"
    async for rows in found:
        yield "".join(_line(row, columns) for row in rows).encode()


def _line(row: Struct, columns: tuple[str, ...]) -> str:
    values = (getattr(row, name) for name in columns)
    return ",".join(cell(each) if isinstance(each, str) else _plain(each) for each in values) + "\r\n"


def _plain(value: float | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
