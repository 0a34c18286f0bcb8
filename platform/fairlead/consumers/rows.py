"""Rows on their way to the database: many in one parameter, which `json_to_recordset` takes apart again."""

import re
from collections.abc import Sequence

import msgspec
from msgspec import Struct

_encode = msgspec.json.Encoder().encode
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def as_json(rows: Sequence[Struct]) -> str:
    """Text in PostgreSQL cannot hold NUL: it becomes the replacement character. The log keeps what was said."""
    encoded = _encode(rows)
    if b"\\u0000" in encoded:
        encoded = _ESCAPED_NUL.sub(rb"\1\\ufffd", encoded)
    return encoded.decode()


def printable(text: str) -> str:
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
