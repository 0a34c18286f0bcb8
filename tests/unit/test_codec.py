"""Commits as JSON: the same bytes for the same commit, and old shapes read as new ones."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from fairlead_tenants.ids import PrincipalId, TenantId
from hypothesis import given
from hypothesis import strategies as st

from fairlead.domain.codec import Codec, CommitTooLarge, UnknownEvent, UnreadableCommit
from fairlead.domain.envelope import MAX_COMMIT_BYTES, Actor, Commit, Event
from fairlead.domain.ids import CommandId


class Weighed(Event, frozen=True, kw_only=True, tag="test.weighed.v3"):
    grams: int
    labels: dict[str, Any]


class Closed(Event, frozen=True, kw_only=True, tag="test.closed.v1"):
    at: datetime


def with_labels(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "type": "test.weighed.v2", "labels": {}}


def in_grams(event: dict[str, Any]) -> dict[str, Any]:
    return {"type": "test.weighed.v3", "grams": event["kilograms"] * 1000, "labels": event["labels"]}


CODEC = Codec(
    {"run": Weighed | Closed, "approval": Closed}, {"test.weighed.v1": with_labels, "test.weighed.v2": in_grams}
)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def commit(*events: Event, **more: Any) -> Commit[Any]:
    return Commit(
        commit_id=CommandId("cmd_1"),
        tenant_id=TenantId("tnt_1"),
        kind="run",
        stream_id="run_1",
        first_version=1,
        at=NOON,
        actor=Actor(kind="person", id=PrincipalId("prn_1")),
        events=events,
        **more,
    )


def with_event(event: dict[str, Any]) -> bytes:
    raw = msgspec.json.decode(CODEC.encode(commit(Closed(at=NOON))))
    return msgspec.json.encode({**raw, "events": [event]})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(grams=st.integers(-(2**63), 2**63 - 1), labels=st.dictionaries(st.text(), json_values, max_size=4))
def test_what_is_encoded_decodes_to_the_same(grams: int, labels: dict[str, Any]) -> None:
    original = commit(Weighed(grams=grams, labels=labels), Closed(at=NOON), trace_parent="00-ab-cd-01")
    assert CODEC.decode("run", CODEC.encode(original)) == original


@given(labels=st.dictionaries(st.text(), json_values, max_size=4))
def test_the_order_in_which_a_mapping_was_filled_does_not_show(labels: dict[str, Any]) -> None:
    backwards = dict(reversed(labels.items()))
    assert CODEC.encode(commit(Weighed(grams=1, labels=labels))) == CODEC.encode(
        commit(Weighed(grams=1, labels=backwards))
    )


@pytest.mark.parametrize(
    "old",
    [
        {"type": "test.weighed.v1", "kilograms": 2},
        {"type": "test.weighed.v2", "kilograms": 2, "labels": {}},
        {"type": "test.weighed.v3", "grams": 2000, "labels": {}},
    ],
)
def test_every_shape_ever_stored_is_read_as_the_newest(old: dict[str, Any]) -> None:
    assert CODEC.decode("run", with_event(old)).events == (Weighed(grams=2000, labels={}),)


@pytest.mark.parametrize("event", [{"type": "test.weighed.v4", "grams": 1}, {"grams": 1}, {"type": None}])
def test_an_event_that_nobody_has_a_name_for_is_named_in_the_refusal(event: dict[str, Any]) -> None:
    with pytest.raises(UnknownEvent, match=r"weighed\.v4|None"):
        CODEC.decode("run", with_event(event))


def test_an_event_of_another_kind_is_unknown() -> None:
    with pytest.raises(UnknownEvent):
        CODEC.decode("approval", CODEC.encode(commit(Weighed(grams=1, labels={}))))


def test_a_kind_without_a_catalogue_is_unknown() -> None:
    with pytest.raises(UnknownEvent):
        CODEC.decode("tenant", CODEC.encode(commit(Closed(at=NOON))))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"events":7}',
        b'{"commit_id":"\xff"}',
        b'{"a":' * 100_000,
        CODEC.encode(commit(Closed(at=NOON)))[:-1],
        with_event({"type": "test.weighed.v3", "grams": "heavy", "labels": {}}),
        with_event({"type": "test.weighed.v3", "grams": 1, "labels": {}, "extra": 1}),
    ],
)
def test_damage_is_told_from_what_is_not_known(body: bytes) -> None:
    with pytest.raises(UnreadableCommit):
        CODEC.decode("run", body)


def test_upcasters_that_lead_in_a_circle_end() -> None:
    circle = Codec(
        {"run": Closed}, {"test.a.v1": lambda _: {"type": "test.a.v2"}, "test.a.v2": lambda _: {"type": "test.a.v1"}}
    )
    with pytest.raises(UnknownEvent):
        circle.decode("run", with_event({"type": "test.a.v1"}))


def test_a_commit_above_the_limit_is_refused_and_one_at_it_is_not() -> None:
    frame = len(CODEC.encode(commit(Weighed(grams=1, labels={"": ""}))))
    room = MAX_COMMIT_BYTES - frame
    assert len(CODEC.encode(commit(Weighed(grams=1, labels={"": "x" * room})))) == MAX_COMMIT_BYTES
    with pytest.raises(CommitTooLarge):
        CODEC.encode(commit(Weighed(grams=1, labels={"": "x" * (room + 1)})))


def test_an_upcaster_that_stumbles_over_damage_says_so() -> None:
    codec = Codec({"run": Weighed}, {"test.weighed.v2": lambda event: {"grams": 1000 * event["kilograms"]}})
    with pytest.raises(UnreadableCommit, match="KeyError"):
        codec.decode("run", with_event({"type": "test.weighed.v2"}))
