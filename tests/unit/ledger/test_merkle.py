"""Trees: the published vectors of RFC 6962, and every proof of small trees against the definition itself."""

import random
from collections.abc import Sequence

import pytest
from fairlead_ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    Node,
    ProofBroken,
    check_consistency,
    check_inclusion,
    consistency_ranges,
    hashed,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    nodes_beside,
    peaks_of,
    root_of,
)

# The tree that the reference implementation of Certificate Transparency is tested with.
PUBLISHED_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
PUBLISHED_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
PUBLISHED_INCLUSION = {  # leaf, size: path
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
}
PUBLISHED_CONSISTENCY = {  # old size, size: path
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
LEAVES = [bytes([number]) for number in range(33)]


def defined(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, word by word."""
    if len(leaves) < 2:
        return leaf_hash(leaves[0]) if leaves else EMPTY_ROOT
    middle = 1
    while 2 * middle < len(leaves):
        middle *= 2
    return node_hash(defined(leaves[:middle]), defined(leaves[middle:]))


def kept(leaves: Sequence[bytes]) -> dict[Node, bytes]:
    frontier, nodes = Frontier(), dict[Node, bytes]()
    for index, leaf in enumerate(leaves):
        hashes = frontier.append(leaf_hash(leaf))
        for level in range(len(hashes) // 32):
            nodes[Node(level, index >> level)] = hashes[32 * level : 32 * level + 32]
    return nodes


def test_roots_are_the_published_ones() -> None:
    frontier, roots = Frontier(), [Frontier().root().hex()]
    for leaf in PUBLISHED_LEAVES:
        frontier.append(leaf_hash(leaf))
        roots.append(frontier.root().hex())
    assert tuple(roots) == PUBLISHED_ROOTS


def test_proofs_are_the_published_ones() -> None:
    get = kept(PUBLISHED_LEAVES).__getitem__
    inclusion = {key: tuple(h.hex() for h in hashed(inclusion_ranges(*key), get)) for key in PUBLISHED_INCLUSION}
    consistency = {key: tuple(h.hex() for h in hashed(consistency_ranges(*key), get)) for key in PUBLISHED_CONSISTENCY}
    assert inclusion == PUBLISHED_INCLUSION
    assert consistency == PUBLISHED_CONSISTENCY


def test_every_proof_of_every_small_tree_holds_and_no_other_does() -> None:
    nodes = kept(LEAVES)
    for size in range(1, len(LEAVES) + 1):
        root = defined(LEAVES[:size])
        for index in range(size):
            path = hashed(inclusion_ranges(index, size), nodes.__getitem__)
            check_inclusion(index, size, leaf_hash(LEAVES[index]), path, root)
            for other in {index - 1, index + 1} & set(range(size)):
                with pytest.raises(ProofBroken):
                    check_inclusion(other, size, leaf_hash(LEAVES[index]), path, root)
            with pytest.raises(ProofBroken):
                check_inclusion(index, size, leaf_hash(b"another"), path, root)
        for old_size in range(size + 1):
            path = hashed(consistency_ranges(old_size, size), nodes.__getitem__)
            check_consistency(old_size, size, defined(LEAVES[:old_size]), root, path)
            if old_size:
                forked = defined([b"another", *LEAVES[1:old_size]])
                with pytest.raises(ProofBroken):
                    check_consistency(old_size, size, forked, root, path)


def test_several_leaves_are_proved_at_once_from_what_lies_beside_them() -> None:
    nodes, draw = kept(LEAVES), random.Random(4)
    for size in range(1, len(LEAVES) + 1):
        root = defined(LEAVES[:size])
        for _ in range(8):
            chosen = draw.sample(range(size), draw.randint(0, size))
            beside = [nodes[node] for node in nodes_beside(chosen, size)]
            leaves = {index: leaf_hash(LEAVES[index]) for index in chosen}
            assert root_of(leaves, size, beside) == root
            with pytest.raises(ProofBroken):
                root_of(leaves, size, [*beside, b"\x00" * 32])
            if beside:
                with pytest.raises(ProofBroken):
                    root_of(leaves, size, beside[1:])


def test_a_tree_goes_on_from_its_peaks() -> None:
    nodes = kept(LEAVES)
    for size in range(len(LEAVES)):
        frontier = Frontier(size, [nodes[node] for node in peaks_of(size)])
        assert frontier.root() == defined(LEAVES[:size])
        frontier.append(leaf_hash(LEAVES[size]))
        assert frontier.root() == defined(LEAVES[: size + 1])


def test_a_proof_for_a_leaf_that_is_not_there_is_refused() -> None:
    for index, size in ((-1, 4), (4, 4), (0, 0)):
        with pytest.raises(ProofBroken):
            check_inclusion(index, size, leaf_hash(b""), [], EMPTY_ROOT)
    with pytest.raises(ProofBroken):
        check_consistency(5, 4, EMPTY_ROOT, EMPTY_ROOT, [])
    with pytest.raises(ProofBroken):
        check_consistency(4, 4, EMPTY_ROOT, leaf_hash(b""), [])
