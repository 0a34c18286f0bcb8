"""Values on their way to the database; many rows in one parameter, which `json_to_recordset` takes apart again."""

import re
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def as_json(value: Any) -> str:
    """Text in PostgreSQL cannot hold NUL: it becomes the replacement character. The log keeps what was said."""
    encoded = _encode(value)
    if b"\\u0000" in encoded:
        encoded = _ESCAPED_NUL.sub(rb"\1\\ufffd", encoded)
    return encoded.decode()


def printable(text: str) -> str:
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
