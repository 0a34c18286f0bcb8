"""A commit's leaf, for commits as we write them: a third of the work, and the same text.

`fairlead_ledger` says what a leaf is, and checks exports without anything of ours. What is not exactly as our own
encoder would write it, or holds what encoders might write differently, is left to it.
"""

import hashlib
import re
from typing import Any

import msgspec
from fairlead_ledger.canonical import without_boxes
from fairlead_ledger.leaves import LEAF_FORMAT, Place, belongs, leaf_of
from fairlead_ledger.merkle import leaf_hash

MOST_BRACKETS = 400  # how deep a text may nest, readers do not agree; these levels all of them read
_EXACT = 2**53 - 1
_SAME_FROM = 1e-4  # broken numbers from here on are written alike by every encoder

# A box as it is written, by its commitment. It is in no text, for that would have its quotation marks escaped.
_BOX = re.compile(rb'(\{"\$sealed":"[0-9a-f]{64}"),"box":"[A-Za-z0-9._-]*"\}')

_written = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="sorted").encode
_read = msgspec.json.Decoder().decode


class _Unusual(Exception):
    """A number that encoders write differently."""


def leaf_text_of(place: Place, body: bytes) -> bytes:
    """As `leaf_of(place, body).text`."""
    commit = _ours(body)
    if commit is None or not belongs(commit, place):
        return leaf_of(place, body).text
    events = [hashlib.sha256(_sorted(event)).hexdigest() for event in commit.pop("events")]
    leaf = {
        "commit": commit,
        "events": events,
        "format": LEAF_FORMAT,
        "sequence": place.sequence,
        "shard": place.shard,
    }
    return _sorted(leaf)


def leaf_hash_of(place: Place, body: bytes) -> bytes:
    """As `leaf_of(place, body).hash`."""
    return leaf_hash(leaf_text_of(place, body))


def _ours(body: bytes) -> Any:
    """What is hashed of the text, whole numbers as integers, boxes as commitments; None where it is not exactly as we
    write it.

    Then no two readers differ about it: ASCII, nothing escaped by number, no key twice.
    """
    if not body.isascii() or (b"\\" in body and b"\\u" in body):
        return None
    text, boxes = _BOX.subn(_committed, body)
    if text.count(b"{") + text.count(b"[") > MOST_BRACKETS:
        return None
    try:
        commit = _to_hash(text)
        if _written(commit) != text and _written(_read(text)) != text:  # the first does not tell 10 from 10.0
            return None
    except (msgspec.DecodeError, RecursionError, _Unusual):
        return None
    return commit if text.count(b"$sealed") == boxes else without_boxes(commit)


def _committed(box: re.Match[bytes]) -> bytes:
    return box[1] + b"}"


def _real(digits: str) -> float:
    number = float(digits)
    if number.is_integer() and abs(number) <= _EXACT:
        return int(number)
    if not _SAME_FROM <= abs(number) <= _EXACT:
        raise _Unusual
    return number


_to_hash = msgspec.json.Decoder(float_hook=_real).decode
