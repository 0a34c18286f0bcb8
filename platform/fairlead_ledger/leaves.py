"""What a ledger holds of a commit: its leaf, a small JSON text that names the commit and its events by hash.

    {"commit": {…all that the commit says besides its events}, "events": ["<sha256>", …],
     "format": "fairlead.leaf.v1", "sequence": 4711, "shard": 0}

A commit that is no JSON of ours, damaged or of another's making, is kept too, and hashed byte by byte:

    {"body": "<sha256>", "format": "fairlead.leaf.v1", "kind": …, "message_id": …, "sequence": …, "shard": …,
     "stream_id": …, "tenant_id": …}
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fairlead_ledger.canonical import NotCanonical, canonical, content_sha256, parse, without_boxes
from fairlead_ledger.merkle import leaf_hash

LEAF_FORMAT = "fairlead.leaf.v1"


@dataclass(frozen=True)
class Place:
    """Where a commit lies on the log, as the log's engine knows it without reading the commit."""

    shard: int
    sequence: int
    tenant_id: str
    kind: str
    stream_id: str
    message_id: str


@dataclass(frozen=True)
class Leaf:
    """`text` is what is hashed; `events` are the hashes of the events, none where the commit could not be read."""

    text: bytes
    events: tuple[bytes, ...]

    @property
    def hash(self) -> bytes:
        return leaf_hash(self.text)


def leaf_of(place: Place, body: bytes) -> Leaf:
    """Never fails: what cannot be read is hashed as it is."""
    try:
        commit, plain = parse(body, to_hash=True)
        if not belongs(commit, place):
            return _opaque(place, body)
        if b"$sealed" in body or b"\\u0024" in body:
            commit = without_boxes(commit)
        events = [hashlib.sha256(canonical(event, plain=plain)).digest() for event in commit["events"]]
        rest = {key: value for key, value in commit.items() if key != "events"}
        named = [event.hex() for event in events]
        return Leaf(leaf_text(rest, named, place.shard, place.sequence, plain=plain), tuple(events))
    except NotCanonical:
        return _opaque(place, body)


def leaf_text(
    commit: dict[str, Any], events: Sequence[str], shard: int, sequence: int, *, plain: bool = False
) -> bytes:
    """`plain`: the commit was read so."""
    leaf = {"commit": commit, "events": list(events), "format": LEAF_FORMAT, "sequence": sequence, "shard": shard}
    return canonical(leaf, plain=plain)


def event_hash(event: bytes | str) -> bytes:
    """Raises NotCanonical."""
    value, plain = parse(event, to_hash=True)
    return content_sha256(value, plain=plain)


def belongs(commit: Any, place: Place) -> bool:
    """Whether the commit says of itself what the log says of it."""
    return (
        isinstance(commit, dict)
        and isinstance(commit.get("events"), list)
        and (commit.get("tenant_id"), commit.get("kind"), commit.get("stream_id"), commit.get("commit_id"))
        == (place.tenant_id, place.kind, place.stream_id, place.message_id)
    )


def _opaque(place: Place, body: bytes) -> Leaf:
    text = canonical(
        {
            "body": hashlib.sha256(body).hexdigest(),
            "format": LEAF_FORMAT,
            "kind": place.kind,
            "message_id": place.message_id,
            "sequence": place.sequence,
            "shard": place.shard,
            "stream_id": place.stream_id,
            "tenant_id": place.tenant_id,
        }
    )
    return Leaf(text, ())
