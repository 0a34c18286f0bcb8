"""An event as exports show it, held against the leaf of its commit: which field is not what the ledger says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fairlead_ledger.canonical import NotCanonical, content_sha256, parse
from fairlead_ledger.seals import NotCommitted, resealed

FIELDS = (
    "position", "run_id", "stream", "stream_id", "version", "type", "at", "actor", "commit_id", "causation_id",
    "correlation_id", "trace_parent", "data",
)  # fmt: skip
EXPIRED = "content_expired"  # instead of an event's type
SEALED_FIELD = "sealed"  # there where something is
_SAME = ("stream_id", "at", "actor", "commit_id", "causation_id", "correlation_id", "trace_parent")


@dataclass(frozen=True)
class Known:
    """A commit as its leaf tells of it. `expired_at`: whoever signed says that its content was removed then."""

    text: bytes
    expired_at: str | None = None

    @cached_property
    def leaf(self) -> Mapping[str, Any]:
        try:
            found = parse(self.text).value
        except NotCanonical:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def commit(self) -> Mapping[str, Any]:
        found = self.leaf.get("commit")
        return found if isinstance(found, dict) else {}

    @cached_property
    def events(self) -> list[str]:
        found = self.leaf.get("events")
        return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else []

    @property
    def positions(self) -> list[str]:
        return [f"{self.leaf.get('sequence')}-{index}" for index in range(len(self.events))]

    def envelope(self, index: int) -> dict[str, Any]:
        """The fields of an event that are not in the event itself."""
        commit = self.commit
        first = commit.get("first_version")
        return {
            "position": f"{self.leaf.get('sequence')}-{index}",
            "run_id": run_of(str(commit.get("kind")), str(commit.get("stream_id"))),
            "stream": commit.get("kind"),
            "version": (first if isinstance(first, int) else 0) + index,
            **{name: commit.get(name) for name in _SAME},
        }


def run_of(kind: str, stream_id: str) -> str:
    """An approval's id is its run's with a number."""
    return stream_id if kind == "run" else "run_" + stream_id.partition("_")[2].rpartition("-")[0]


def event_differs(known: Known, index: int, data: Any, *, plain: bool, sealed: Any = None) -> bool:
    """`sealed`: what is said to be sealed in it."""
    if known.expired_at is not None:
        return bool(data != {"type": EXPIRED, "sha256": known.events[index], "expired_at": known.expired_at})
    try:
        committed = data if sealed is None else resealed(data, sealed, plain=plain)
        return content_sha256(committed, plain=plain).hex() != known.events[index]
    except (NotCanonical, NotCommitted):
        return True


def differences(known: Known, index: int, row: Mapping[str, Any], *, plain: bool) -> Iterator[str]:
    """Names of the fields of a JSON row that are not what was recorded."""
    data = row.get("data")
    if event_differs(known, index, data, plain=plain, sealed=row.get(SEALED_FIELD)):
        yield "data"
    said = known.envelope(index) | {"type": data.get("type") if isinstance(data, dict) else None}
    for name, value in said.items():
        if row.get(name) != value or type(row.get(name)) is not type(value):
            yield name
    yield from sorted(row.keys() - set(FIELDS) - {SEALED_FIELD})
    yield from sorted(set(FIELDS) - row.keys())
