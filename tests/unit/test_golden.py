"""Every event ever released can still be read. A missing file is written by `python -m tests.support.golden`."""

import msgspec
import pytest

from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec, UnknownEvent, tags_of
from fairlead.domain.envelope import SYSTEM, Event, Kind
from tests.support.clock import T0
from tests.support.golden import GOLDEN, file_of, missing, text_of

CODEC = Codec(EVENTS, UPCASTERS)
CURRENT = {tag: kind for kind, events in EVENTS.items() for tag in tags_of(events)}
RELEASED = sorted(path.stem for path in GOLDEN.glob("*.json"))
RETIRED = sorted(set(RELEASED) - set(CURRENT))


def stored(kind: Kind, event: bytes) -> bytes:
    """A commit as the log holds it, around one event."""
    frame = {
        "commit_id": "cmd_1",
        "tenant_id": "tnt_1",
        "kind": kind,
        "stream_id": "any_1",
        "first_version": 1,
        "at": T0,
        "actor": SYSTEM,
        "events": [msgspec.Raw(event)],
    }
    return msgspec.json.encode(frame)


def read(kind: Kind, tag: str) -> Event:
    (event,) = CODEC.decode(kind, stored(kind, file_of(tag).read_bytes())).events
    assert isinstance(event, Event)
    return event


def test_every_tag_has_a_golden_file() -> None:
    assert [path.name for path, _ in missing(EVENTS)] == []


def test_a_tag_belongs_to_one_kind() -> None:
    assert len(CURRENT) == sum(len(tags_of(events)) for events in EVENTS.values())


@pytest.mark.parametrize("tag", sorted(CURRENT))
def test_a_recorded_event_is_read_and_written_as_it_was(tag: str) -> None:
    assert text_of(read(CURRENT[tag], tag)) == file_of(tag).read_text()


@pytest.mark.parametrize("tag", sorted(CURRENT))
def test_a_tag_says_its_stream_what_happened_and_a_version(tag: str) -> None:
    _, what, version = tag.split(".")
    assert what.replace("_", "").isalpha()
    assert version.removeprefix("v").isdigit()


def test_a_retired_tag_is_still_read_as_what_took_its_place() -> None:
    unread = []
    for tag in RETIRED:
        for kind in EVENTS:
            try:
                read(kind, tag)
                break
            except UnknownEvent:
                continue
        else:
            unread.append(tag)
    assert unread == []


def test_an_upcaster_leads_from_a_retired_tag_that_has_a_golden_file() -> None:
    assert set(UPCASTERS) <= set(RETIRED)
