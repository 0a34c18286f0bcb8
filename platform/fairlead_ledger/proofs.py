"""What an export carries: for each page of commits a *block* that leads from them to a signed head.

A block holds the leaves of its page, the nodes of the tree beside them, the head, and a signature over what the page
is: after which event it begins, with which one it ends, and whether it is the last. So nothing can be taken out between
pages, and the end cannot be cut off.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead_ledger.canonical import NotCanonical, canonical
from fairlead_ledger.heads import Head, HeadInvalid, head_from
from fairlead_ledger.keys import Signer, Trust, is_hex
from fairlead_ledger.merkle import HASH_BYTES, ProofBroken, check_consistency, leaf_hash, root_of

PROOF_FORMAT = "fairlead.proof.v1"
_MEMBERS = {
    "last", "after", "end", "exported_at", "format", "head", "key_id", "leaves", "nodes", "scope", "signature", "since",
    "expired",
}  # fmt: skip


class BlockInvalid(ValueError):
    """It is no block of a proof."""


@dataclass(frozen=True)
class Page:
    """What a block is about. `scope` is what was asked for, the same in every block of an export. `expired` are leaves,
    by their index, whose content was removed, and when: their events are shown by hash."""

    scope: Mapping[str, Any]
    exported_at: str
    after: str | None
    last: str
    end: bool
    expired: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Since:
    """Leads from an older head, which a customer holds, to the one of the block."""

    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class Block:
    page: Page
    head: Head
    leaves: tuple[tuple[int, bytes], ...]  # index and text, in the order of the export
    nodes: tuple[bytes, ...]
    key_id: str
    signature: str
    since: Since | None = None

    @property
    def statement(self) -> dict[str, Any]:
        hashes = b"".join(leaf_hash(text) for _, text in self.leaves)
        return _statement(self.page, self.head, hashes, self.key_id)

    def is_genuine(self, trust: Trust) -> bool:
        return trust.holds(self.key_id, self.statement, self.signature)

    def check_tree(self) -> None:
        """The leaves are those of the head's tree, each in its place. Raises ProofBroken."""
        leaves = {index: leaf_hash(text) for index, text in self.leaves}
        if len(leaves) != len(self.leaves):
            raise ProofBroken("two commits in one place")
        if root_of(leaves, self.head.size, self.nodes).hex() != self.head.root:
            raise ProofBroken("the commits are not those of the signed tree")

    def check_since(self, older: Head) -> None:
        """The tree of the head begins with that of the older one. Raises ProofBroken."""
        path = self.since.path if self.since and self.since.size == older.size else ()
        roots = bytes.fromhex(older.root), bytes.fromhex(self.head.root)
        check_consistency(older.size, self.head.size, *roots, path)


def sealed(
    signer: Signer,
    page: Page,
    head: Head,
    leaves: Sequence[tuple[int, bytes]],
    nodes: Sequence[bytes],
    since: Since | None = None,
) -> bytes:
    """A block as JSON. Its first member is where a later part goes on."""
    hashes = b"".join(leaf_hash(text) for _, text in leaves)
    signature = signer.sign(_statement(page, head, hashes, signer.key_id))
    said: dict[str, Any] = {
        "after": page.after,
        "end": page.end,
        "exported_at": page.exported_at,
        "format": PROOF_FORMAT,
        "head": head.document(),
        "key_id": signer.key_id,
        "nodes": b64encode(b"".join(nodes)).decode(),
        "scope": dict(page.scope),
        "signature": signature,
    }
    if page.expired:
        said["expired"] = _listed(page.expired)
    if since is not None:
        said["since"] = {"size": since.size, "path": [node.hex() for node in since.path]}
    listed = b",".join(b'{"index":%d,"leaf":%b}' % leaf for leaf in leaves)
    return b'{"last":%b,"leaves":[%b],%b' % (json.dumps(page.last).encode(), listed, canonical(said)[1:])


def block_from(document: Any, *, plain: bool = False) -> Block:
    """`plain` as `parse` says. Raises BlockInvalid. Looks at no hash and no signature."""
    if not isinstance(document, Mapping) or document.get("format") != PROOF_FORMAT:
        raise BlockInvalid(f"its format is not {PROOF_FORMAT}")
    if document.keys() - _MEMBERS:
        raise BlockInvalid("it has members that no proof has")
    try:
        return Block(
            page=_page(document),
            head=head_from(document["head"]),
            leaves=tuple(_leaf(leaf, plain=plain) for leaf in document["leaves"]),
            nodes=_nodes(document["nodes"]),
            key_id=_text(document["key_id"]),
            signature=_text(document["signature"]),
            since=_since(document.get("since")),
        )
    except (KeyError, TypeError, AttributeError, ValueError, HeadInvalid, NotCanonical) as misfit:
        raise BlockInvalid(f"members are missing or of another kind: {misfit}") from misfit


def _page(document: Mapping[str, Any]) -> Page:
    after, end = document["after"], document["end"]
    if not isinstance(end, bool) or not isinstance(document["scope"], dict):
        raise TypeError("end, scope")
    return Page(
        scope=document["scope"],
        exported_at=_text(document["exported_at"]),
        after=None if after is None else _text(after),
        last=_text(document["last"]),
        end=end,
        expired=_expired(document.get("expired", [])),
    )


def _expired(document: Any) -> dict[int, str]:
    found = {_whole(index): _text(at) for index, at in document}
    if _listed(found) != document:
        raise ValueError("expired")
    return found


def _listed(expired: Mapping[int, str]) -> list[list[Any]]:
    return [[index, at] for index, at in sorted(expired.items())]


def _leaf(document: Mapping[str, Any], *, plain: bool) -> tuple[int, bytes]:
    if document.keys() != {"index", "leaf"}:
        raise ValueError("leaves")
    return _whole(document["index"]), canonical(document["leaf"], plain=plain)


def _since(document: Any) -> Since | None:
    if document is None:
        return None
    path = [_text(node) for node in document["path"]]
    if document.keys() != {"size", "path"} or not all(is_hex(node, HASH_BYTES) for node in path):
        raise ValueError("since")
    return Since(_whole(document["size"]), tuple(map(bytes.fromhex, path)))


def _nodes(text: str) -> tuple[bytes, ...]:
    joined = b64decode(text, validate=True)
    if len(joined) % HASH_BYTES or b64encode(joined).decode() != text:
        raise ValueError("nodes are not whole, or not as we write them")
    return tuple(joined[start : start + HASH_BYTES] for start in range(0, len(joined), HASH_BYTES))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a number")
    return value


def _statement(page: Page, head: Head, leaf_hashes: bytes, key_id: str) -> dict[str, Any]:
    gone = {"expired": _listed(page.expired)} if page.expired else {}
    return gone | {
        "after": page.after,
        "end": page.end,
        "exported_at": page.exported_at,
        "format": PROOF_FORMAT,
        "head": hashlib.sha256(canonical(head.document())).hexdigest(),
        "key_id": key_id,
        "last": page.last,
        "leaves": hashlib.sha256(leaf_hashes).hexdigest(),
        "scope": dict(page.scope),
    }
