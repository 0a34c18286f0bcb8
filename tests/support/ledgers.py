"""A small ledger made by hand: commits, their tree, and an export with its proof. No engine."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fairlead_ledger.heads import Head, signed_head
from fairlead_ledger.keys import Signer
from fairlead_ledger.leaves import Leaf, Place, leaf_of
from fairlead_ledger.merkle import (
    Frontier,
    Node,
    consistency_ranges,
    hashed,
    leaf_hash,
    nodes_beside,
)
from fairlead_ledger.proofs import Page, Since, sealed
from fairlead_ledger.rows import Known

TENANT = "tnt_a"
AT = "2026-01-01T00:00:00Z"
SCOPE = {"run_id": "run_1"}


def signer(number: int = 1) -> Signer:
    return Signer(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


class HandLedger:
    """Every node is kept by name."""

    def __init__(self, signed_by: Signer | None = None) -> None:
        self.signer = signed_by or signer()
        self.leaves: list[Leaf] = []
        self.commits: list[dict[str, Any]] = []
        self.nodes: dict[Node, bytes] = {}
        self._frontier = Frontier()

    def add(self, *events: Mapping[str, Any], sequence: int | None = None, **fields: Any) -> None:
        number = sequence or len(self.leaves) + 1
        version = 1 + sum(len(commit["events"]) for commit in self.commits)
        commit: dict[str, Any] = {
            "commit_id": f"cmd_{number}",
            "tenant_id": TENANT,
            "kind": "run",
            "stream_id": "run_1",
            "first_version": version,
            "at": AT,
            "actor": {"kind": "system", "id": "system"},
            "events": list(events),
            "causation_id": None,
            "correlation_id": None,
            "trace_parent": None,
        } | fields
        place = Place(0, number, TENANT, "run", "run_1", f"cmd_{number}")
        leaf = leaf_of(place, json.dumps(commit).encode())
        index, hashes = len(self.leaves), self._frontier.append(leaf.hash)
        for level in range(len(hashes) // 32):
            self.nodes[Node(level, index >> level)] = hashes[32 * level : 32 * level + 32]
        self.leaves.append(leaf)
        self.commits.append(commit)

    def root(self, size: int) -> bytes:
        frontier = Frontier()
        for leaf in self.leaves[:size]:
            frontier.append(leaf_hash(leaf.text))
        return frontier.root()

    def head(self, size: int | None = None, signed_by: Signer | None = None) -> Head:
        wanted = len(self.leaves) if size is None else size
        return signed_head(signed_by or self.signer, TENANT, wanted, self.root(wanted), AT)

    def consistency(self, old_size: int, size: int) -> list[bytes]:
        return hashed(consistency_ranges(old_size, size), self.nodes.__getitem__)

    def block(
        self, indexes: Sequence[int], after: str | None, *, end: bool, since: int = 0, size: int | None = None
    ) -> dict[str, Any]:
        head = self.head(size)
        last = Known(self.leaves[indexes[-1]].text).positions[-1]
        leads = Since(since, tuple(self.consistency(since, head.size))) if since else None
        text = sealed(
            self.signer,
            Page(scope=SCOPE, exported_at=AT, after=after, last=last, end=end),
            head,
            [(index, self.leaves[index].text) for index in indexes],
            [self.nodes[node] for node in nodes_beside(indexes, head.size)],
            leads,
        )
        found: dict[str, Any] = json.loads(text)
        return found

    def rows(self, index: int) -> list[dict[str, Any]]:
        known, commit = Known(self.leaves[index].text), self.commits[index]
        return [
            {**known.envelope(number), "type": event["type"], "data": event}
            for number, event in enumerate(commit["events"])
        ]

    def export(self, *pages: Sequence[int], since: int = 0, signed_as: str | None = None) -> list[dict[str, Any]]:
        """Rows of an export of these commits, page by page."""
        found: list[dict[str, Any]] = []
        after = signed_as
        for number, page in enumerate(pages):
            rows = [row for index in page for row in self.rows(index)]
            rows[0]["proof"] = self.block(page, after, end=number == len(pages) - 1, since=since)
            after = rows[-1]["position"]
            found += rows
        return found


def ndjson(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def document(rows: Sequence[Mapping[str, Any]]) -> bytes:
    whole = {
        "format": "fairlead.timeline.v1",
        "exported_at": AT,
        "scope": SCOPE,
        "events": rows,
        "last": rows[-1]["position"] if rows else None,
    }
    return json.dumps(whole).encode()


def ten_commits(signed_by: Signer | None = None) -> HandLedger:
    """Twelve events of a run: the third and the seventh commit have two."""
    ledger = HandLedger(signed_by)
    for number in range(10):
        event = {"type": "tool_call.completed.v1", "call_id": f"tcl_{number}", "output": {"n": number, "f": 0.5}}
        second = {"type": "run.note.v1", "text": f"no {number} — ü"}
        ledger.add(*([event, second] if number in (2, 6) else [event]), sequence=10 * (number + 1))
    return ledger
