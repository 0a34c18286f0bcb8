"""The short way for readers without keys: of each box in a decoded commit only where it says that it belongs."""

from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from typing import Any

from fairlead.domain.contents import CONTENT, NESTED
from fairlead.domain.envelope import Commit, StreamRef
from fairlead.domain.sealing import NONCE_BYTES


def is_in_place(stream: StreamRef, commit: Commit[Any]) -> bool:
    """Whether each box in a commit that was decoded without opening any is where `sealing.fields_in` would have it.

    False also for a commit of which this cannot tell.
    """
    where = f"{stream.kind}/{stream.id}"
    for event in commit.events:
        tag, contents, nested = _SHAPES.get(type(event)) or _shape(type(event))
        for name in contents:
            value = getattr(event, name)
            if type(value) is dict and "$sealed" in value and not _is_for(f"{where}/{tag}/{name}", value.get("box")):
                return False
        if any(getattr(event, name) for name in nested):
            return False
    return True


_SHAPES: dict[type[Any], tuple[str, tuple[str, ...], tuple[str, ...]]] = {}  # tag, fields of content, fields of events


def _shape(event: type[Any]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    tag = str(event.__struct_config__.tag)
    _SHAPES[event] = shape = tag, CONTENT.get(tag, ()), NESTED.get(tag, ())
    return shape


def _is_for(place: str, box: Any) -> bool:
    if not isinstance(box, str):
        return False
    text, end = box[box.rfind(".") + 1 :], NONCE_BYTES + 1 + len(place)
    try:
        packed = urlsafe_b64decode(text[: (end + 2) // 3 * 4])
    except (NotBase64, ValueError):
        return False
    return packed[NONCE_BYTES:end] == b"%c%b" % (len(place), place.encode())
