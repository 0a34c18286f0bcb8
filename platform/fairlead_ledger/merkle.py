"""Merkle trees as in RFC 6962: `0x00` before a leaf, `0x01` before two nodes, the left part as large as it can be.

A *node* is a complete subtree: level 0 is a leaf, and node `number` of a level covers the leaves from
`number * 2^level`. Complete subtrees never change while a tree grows, so they are what is kept and what proofs are made
of; a proof's hash over the ragged right end is folded from them.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


class ProofBroken(ValueError):
    """The proof does not lead where it should."""


class Node(NamedTuple):
    level: int
    number: int

    @property
    def last_leaf(self) -> int:
        """With which it became complete."""
        return ((self.number + 1) << self.level) - 1


Range = tuple[int, int]  # leaves from, up to
Get = Callable[[Node], bytes]


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """All that is needed of a tree for it to grow: its size and the roots of its complete parts, largest first."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        assert len(peaks) == size.bit_count(), "a part for each bit"
        self.size = size
        self._peaks = list(peaks)

    def append(self, hashed_leaf: bytes) -> bytes:
        """The leaf's hash, and after it the hashes of all nodes that became complete with it, smallest first."""
        made, node = [hashed_leaf], hashed_leaf
        for _ in range((~self.size & (self.size + 1)).bit_length() - 1):
            node = node_hash(self._peaks.pop(), node)
            made.append(node)
        self._peaks.append(node)
        self.size += 1
        return b"".join(made)

    def append_whole(self, level: int, root: bytes) -> None:
        """A complete part by its root alone, where one of its size can be."""
        place = self.size >> level
        assert place << level == self.size, "parts begin where one of their size can"
        node = root
        while place & 1:
            node, place = node_hash(self._peaks.pop(), node), place >> 1
        self._peaks.append(node)
        self.size += 1 << level

    @property
    def peaks(self) -> list[bytes]:
        return list(self._peaks)

    def root(self) -> bytes:
        return folded(self._peaks)


def peaks_of(size: int) -> list[Node]:
    return nodes_of((0, size))


def nodes_of(span: Range) -> list[Node]:
    """The complete subtrees that cover a range which is a subtree itself, from left to right."""
    begin, end = span
    found: list[Node] = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        assert begin % (1 << level) == 0, "subtrees begin where one of their size can"
        found.append(Node(level, begin >> level))
        begin += 1 << level
    return found


def folded(hashes: Sequence[bytes]) -> bytes:
    """Of a range, from the hashes of its complete subtrees."""
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The subtrees beside the path of a leaf to the root, from the leaf up: PATH of RFC 6962."""
    assert 0 <= index < size, "a leaf of this tree"
    begin, end = 0, size
    found: list[Range] = []
    while end - begin > 1:
        middle = begin + _left(end - begin)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((begin, middle))
            begin = middle
    return found[::-1]


def consistency_ranges(old_size: int, size: int) -> list[Range]:
    """The subtrees of PROOF of RFC 6962. None where there is nothing to show: an empty tree, or the same."""
    assert 0 <= old_size <= size, "trees only grow"
    if old_size in (0, size):
        return []
    begin, end, is_whole = 0, size, True
    found: list[Range] = []
    while end != old_size:
        middle = begin + _left(end - begin)
        if old_size <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((begin, middle))
            begin, is_whole = middle, False
    return ([] if is_whole else [(begin, end)]) + found[::-1]


def hashed(ranges: Iterable[Range], get: Get) -> list[bytes]:
    return [folded([get(node) for node in nodes_of(span)]) for span in ranges]


def root_by_inclusion(index: int, size: int, hashed_leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that a proof of inclusion leads to. Raises ProofBroken."""
    if not 0 <= index < size:
        raise ProofBroken(f"a tree of {size} has no leaf {index}")
    node, last, beside = index, size - 1, iter(path)
    result = hashed_leaf
    try:
        while last:
            if node % 2:
                result = node_hash(next(beside), result)
            elif node < last:
                result = node_hash(result, next(beside))
            node, last = node // 2, last // 2
    except StopIteration:
        raise ProofBroken("the proof is too short") from None
    if next(beside, None) is not None:
        raise ProofBroken("the proof is too long")
    return result


def check_inclusion(index: int, size: int, hashed_leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Raises ProofBroken."""
    if root_by_inclusion(index, size, hashed_leaf, path) != root:
        raise ProofBroken(f"leaf {index} is not in this tree")


def check_consistency(old_size: int, size: int, old_root: bytes, root: bytes, path: Sequence[bytes]) -> None:
    """The newer tree begins with the older one. Raises ProofBroken."""
    if not 0 <= old_size <= size:
        raise ProofBroken("a tree does not shrink")
    spans = consistency_ranges(old_size, size)
    if len(spans) != len(path):
        raise ProofBroken("the proof has another length")
    if not spans:
        same = old_root == (EMPTY_ROOT if old_size == 0 else root)
        if not same:
            raise ProofBroken("two roots for one size")
        return
    known = dict(zip(spans, path, strict=True))
    if _from_ranges(0, old_size, old_size, known, old_root) != old_root:
        raise ProofBroken("the older tree is another")
    if _from_ranges(0, size, old_size, known, old_root) != root:
        raise ProofBroken("the newer tree does not begin with the older one")


def _from_ranges(begin: int, end: int, old_size: int, known: Mapping[Range, bytes], old_root: bytes) -> bytes:
    found = known.get((begin, end))
    if found is not None:
        return found
    if (begin, end) == (0, old_size) and old_size & (old_size - 1) == 0:
        return old_root  # a complete subtree of the newer tree: the proof need not repeat it
    if end - begin <= 1:
        raise ProofBroken("the proof leaves something out")
    middle = begin + _left(end - begin)
    return node_hash(
        _from_ranges(begin, middle, old_size, known, old_root), _from_ranges(middle, end, old_size, known, old_root)
    )


def nodes_beside(leaves: Iterable[int], size: int) -> list[Node]:
    """What is needed besides these leaves to come to the root, in the order in which `root_of` uses it."""
    found: list[Node] = []

    def noted(node: Node) -> bytes:
        found.append(node)
        return b""

    _walk(0, size, sorted(set(leaves)), lambda _: b"", noted)
    return found


def root_of(leaves: Mapping[int, bytes], size: int, beside: Sequence[bytes]) -> bytes:
    """The root that leaves and the nodes beside them lead to. Raises ProofBroken."""
    given: Iterator[bytes] = iter(beside)
    if any(not 0 <= index < size for index in leaves):
        raise ProofBroken(f"a tree of {size} has no such leaf")
    try:
        root = _walk(0, size, sorted(leaves), leaves.__getitem__, lambda _: next(given))
    except StopIteration:
        raise ProofBroken("the proof is too short") from None
    if next(given, None) is not None:
        raise ProofBroken("the proof is too long")
    return root


def _walk(begin: int, end: int, leaves: Sequence[int], leaf: Callable[[int], bytes], beside: Get) -> bytes:
    if not leaves:
        return folded([beside(node) for node in nodes_of((begin, end))])
    if end - begin == 1:
        return leaf(begin)
    middle = begin + _left(end - begin)
    cut = bisect_left(leaves, middle)
    return node_hash(_walk(begin, middle, leaves[:cut], leaf, beside), _walk(middle, end, leaves[cut:], leaf, beside))


def _left(count: int) -> int:
    """The largest power of two that is less than `count`, which is 2 at least."""
    return 1 << ((count - 1).bit_length() - 1)
