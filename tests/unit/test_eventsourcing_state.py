"""What the log of the `eventsourcing` library remembers: it may forget, and it may never be wrong."""

from uuid import UUID

import msgspec
import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking
from hypothesis import given
from hypothesis import strategies as st

from fairlead.adapters.eventsourcing.drafts import EMPTY, UNWRITTEN, AggregateHead, Head, draft
from fairlead.adapters.eventsourcing.encoding import originator_token
from fairlead.adapters.eventsourcing.marks import Mark, Marks

A, B = UUID(int=1), UUID(int=2)


@given(st.lists(st.sets(st.integers(0, 30), min_size=1, max_size=4), max_size=12), st.integers(0, 31))
def test_a_version_called_free_is_free_and_one_called_used_is_used(commits: list[set[int]], asked: int) -> None:
    head, used = UNWRITTEN, set[int]()
    for sequence, commit in enumerate(commits, start=1):
        head = head.extended(sequence, commit - used)
        used |= commit
    assert head.is_free(asked) in (None, asked not in used)


def test_a_history_without_holes_never_needs_to_be_read_to_refuse_a_version() -> None:
    head = AggregateHead(9, highest_version=100, dense_from=1)
    assert [head.is_free(version) for version in (0, 1, 100, 101)] == [None, False, False, True]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.integers(1, 700))
def test_marks_always_enclose_the_position_asked_for(events_in: list[int], asked: int) -> None:
    ends = [sum(events_in[: place + 1]) for place in range(len(events_in))]
    marks = Marks(limit=16)
    for sequence, last_id in enumerate(ends, start=1):
        if sequence % 3:
            marks.add(Mark(last_id, sequence))
            marks.add(Mark(last_id, sequence))
    assert marks.before(asked).last_id < asked
    above = marks.at_or_after(asked)
    assert above is None or above.last_id >= asked
    assert above is None or marks.before(asked).sequence < above.sequence


def test_each_commit_carries_the_totals_of_the_log() -> None:
    events = [StoredEvent(A, 3, "t", b"{}"), StoredEvent(A, 4, "t", b"{}"), StoredEvent(B, 1, "t", b"{}")]
    heads = {"app.u-" + A.hex: AggregateHead(7, 2, 1), "app.u-" + B.hex: UNWRITTEN}
    made = draft("cmt_1", "app", events, Tracking("up", 5), Head(9, 20, {"other": 1}), heads)
    assert list(made.ids) == [21, 22, 23]
    assert made.head == Head(11, 23, {"other": 1, "up": 5})
    assert made.heads == {"app.u-" + A.hex: AggregateHead(10, 4, 1), "app.u-" + B.hex: AggregateHead(11, 1, 1)}
    assert [message.after for message in made.messages] == [7, 0]
    assert [msgspec.json.decode(message.data)["last_id"] for message in made.messages] == [22, 23]


@pytest.mark.parametrize("position", [4, 5])
def test_tracking_only_goes_forward(position: int) -> None:
    with pytest.raises(IntegrityError):
        draft("cmt_1", "app", [], Tracking("up", position), Head(9, 20, {"up": 5}), {})


def test_tracking_without_events_is_a_message_of_its_own() -> None:
    made = draft("cmt_1", "app", [], Tracking("up", 1), EMPTY, {})
    assert [message.subject for message in made.messages] == ["app.tracking"]
    assert made.head == Head(1, 0, {"up": 1})


@given(st.one_of(st.text(max_size=40), st.uuids()), st.one_of(st.text(max_size=40), st.uuids()))
def test_two_aggregates_never_share_a_subject(one: UUID | str, other: UUID | str) -> None:
    tokens = originator_token(one), originator_token(other)
    assert (tokens[0] == tokens[1]) == (one == other)
    assert not set(" .*>\t\r\n\0") & set("".join(tokens))
