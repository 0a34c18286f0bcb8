"""Server-sent events in any pieces, with a bound on everything."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.domain.models.sse import SseEvent, SseReader, TooMuch, sse

STREAM = ': hello\r\nevent: a\r\ndata: {"x": "é"}\r\n\r\n'.encode()
STREAM += b"data:1\rdata: 2\r\rdata\n\nid: 7\nretry: 5\n\ndata: [DONE]\n\n"
EVENTS = [
    SseEvent("a", '{"x": "é"}'),
    SseEvent("message", "1\n2"),
    SseEvent("message", ""),
    SseEvent("message", "[DONE]"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_however_the_bytes_arrive(cuts: list[int]) -> None:
    reader, places = SseReader(), [0, *sorted(cuts), len(STREAM)]
    found = [event for a, b in pairwise(places) for event in reader.feed(STREAM[a:b])]
    assert found == EVENTS
    assert reader.is_between_events


def test_an_event_without_its_empty_line_does_not_count() -> None:
    reader = SseReader()
    assert reader.feed(b"data: half") == []
    assert reader.feed(b"\n") == []
    assert not reader.is_between_events


@pytest.mark.parametrize(
    ("at", "over"),
    [
        (b"data: 34567890\n\n", b"data: 345678901\n\n"),  # a line of 14 bytes
        (b"data: 1\ndata: 2\ndata: 3\n\n", b"data: 1\ndata: 2\ndata: 3\nd\n\n"),  # an event of 21
        (b"data: 12\n\n" * 4, b"data: 12\n\n" * 4 + b"\n"),  # a stream of 40
    ],
)
def test_each_bound_holds_at_and_not_above(at: bytes, over: bytes) -> None:
    def reader() -> SseReader:
        return SseReader(max_line_bytes=14, max_event_bytes=21, max_total_bytes=40)

    assert reader().feed(at)
    with pytest.raises(TooMuch):
        reader().feed(over)


def test_a_line_that_never_ends_is_cut_short() -> None:
    reader = SseReader(max_line_bytes=100)
    assert [reader.feed(b"x" * 10) for _ in range(10)] == [[]] * 10
    with pytest.raises(TooMuch):
        reader.feed(b"x")


def test_what_is_written_is_read() -> None:
    assert SseReader().feed(sse("a", b"{}") + sse("", b"1")) == [SseEvent("a", "{}"), SseEvent("message", "1")]
