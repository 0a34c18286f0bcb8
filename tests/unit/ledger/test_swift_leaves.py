"""The short way to a leaf's hash leads to the hash that everybody else finds."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fairlead_ledger.leaves import Place, leaf_of
from hypothesis import given
from hypothesis import strategies as st

from fairlead.handling import swift_leaves
from fairlead.handling.swift_leaves import MOST_BRACKETS, leaf_hash_of, leaf_text_of

PLACE = Place(0, 7, "tnt_a", "run", "run_1", "cmd_1")
GOLDEN = Path(__file__).resolve().parents[2] / "golden"
TEXTS = st.text(st.characters(codec="ascii"), max_size=6) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=4
)
NUMBERS = (
    st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**6), 10**6).map(float)
    | st.builds(lambda digits, exponent: digits * 10.0**exponent, st.integers(-999, 999), st.integers(-12, 22))
    | st.sampled_from([0.0, -0.0, 1e-4, 9.999e-5, 2.0**53, 2.0**53 - 1, 2**53, 2**64, 2**63, 0.1])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.sampled_from(["$sealed", "\\u0024", "\x7f", "\x00", "a" * 64]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.sampled_from(["$sealed", "box"]), inner, max_size=4)
    ),
    max_leaves=10,
)


def commit_of(events: Any, **more: Any) -> dict[str, Any]:
    named = {"commit_id": "cmd_1", "tenant_id": "tnt_a", "kind": "run", "stream_id": "run_1", "first_version": 1}
    return named | more | {"events": events}


def same(body: bytes) -> None:
    leaf = leaf_of(PLACE, body)
    assert (leaf_text_of(PLACE, body), leaf_hash_of(PLACE, body)) == (leaf.text, leaf.hash)


@given(JSON, JSON)
def test_it_is_the_hash_of_the_leaf_however_a_commit_is_written(event: Any, rest: Any) -> None:
    commit = commit_of([event, {"type": "a.b.v1", "x": event}], rest=rest)
    same(json.dumps(commit).encode())
    same(json.dumps(commit, ensure_ascii=False, separators=(",", ":")).encode())


@given(st.data())
def test_a_commit_that_was_damaged_has_the_hash_of_what_it_is_now(data: st.DataObject) -> None:
    body = bytearray(msgspec.json.encode(commit_of([{"type": "a.b.v1", "n": [1, 2.5, 10.0], "t": "x\ty"}])))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    same(bytes(body))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_event_that_was_ever_written_has_its_hash(path: Path) -> None:
    same(msgspec.json.encode(commit_of([json.loads(path.read_text())])))


@pytest.mark.parametrize(
    "body",
    [
        b'{"events":[{"a":1,"a":2}],"commit_id":"cmd_1","tenant_id":"tnt_a","kind":"run","stream_id":"run_1"}',
        b'{"commit_id":"cmd_1","tenant_id":"tnt_a","kind":"run","stream_id":"run_1","events":7}',
        b'{"commit_id":"cmd_1","tenant_id":"tnt_b","kind":"run","stream_id":"run_1","events":[]}',
        b'{"v":1,"claim":{}}',
        b"[]",
        b"",
        b"1e999",
    ],
)
def test_what_is_no_commit_of_its_place_has_the_hash_of_its_bytes(body: bytes) -> None:
    same(body)


@pytest.mark.parametrize("levels", [1, MOST_BRACKETS - 5, MOST_BRACKETS, 5_000])
def test_depth_does_not_matter(levels: int) -> None:
    same(msgspec.json.encode(commit_of([])).replace(b"[]", b"[" * levels + b"]" * levels))


def test_what_we_write_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    body = msgspec.json.encode(commit_of([{"type": "a.b.v1", "timeout_s": 10.0, "factor": 0.25, "text": "a\n\"b'"}]))
    long_way = leaf_of(PLACE, body).hash
    monkeypatch.delattr(swift_leaves, "leaf_of")
    assert leaf_hash_of(PLACE, body) == long_way
