"""What is sent of an event is what its timeline shows."""

from typing import Any

import msgspec
import pytest

from fairlead.api.timeline_events import CommitRow, events_of
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec, tags_of
from fairlead.domain.envelope import SYSTEM, Commit, Kind, Recorded, Sequence
from fairlead.domain.ids import CommandId
from fairlead.domain.tenants.events import KeyIssued, KeyRotated, PersonAdded
from fairlead.domain.webhooks.payload import HIDDEN, MAX_BODY_BYTES, body_of, tags_in
from tests.support.clock import T0
from tests.support.golden import file_of
from tests.support.tenancy import TENANT

CODEC = Codec(EVENTS, UPCASTERS)


def example(event: Any) -> Any:
    tag = event.__struct_config__.tag
    return msgspec.json.decode(file_of(tag).read_bytes(), type=event)


def recorded(kind: Kind, stream_id: str, *events: Any) -> Recorded[Any]:
    commit: Commit[Any] = Commit(
        commit_id=CommandId("cmd_1"),
        tenant_id=TENANT,
        kind=kind,
        stream_id=stream_id,
        first_version=4,
        at=T0,
        actor=SYSTEM,
        events=events,
        correlation_id="run_x",
        trace_parent="00-a-b-01",
    )
    return Recorded(Sequence(4711), commit, CODEC.encode(commit))


@pytest.mark.parametrize(("kind", "stream_id"), [("run", "run_x"), ("approval", "apr_x-2")])
def test_every_event_of_a_run_and_its_approvals_is_sent_as_its_timeline_shows_it(kind: Kind, stream_id: str) -> None:
    for event in tags_of(EVENTS[kind]).values():
        found = recorded(kind, stream_id, example(event))
        (shown,) = events_of(CommitRow("run_x", 4711, T0, found.body.decode()))
        sent = msgspec.json.decode(body_of(found, 0))
        assert sent["data"] == msgspec.json.decode(msgspec.json.encode(shown))
        assert (sent["type"], sent["timestamp"]) == (shown.type, sent["data"]["at"])


def test_each_event_of_a_commit_has_its_own_position_and_version() -> None:
    person = example(PersonAdded)
    found = recorded("tenant", TENANT, person, person)
    second = msgspec.json.decode(body_of(found, 1))["data"]
    assert (second["position"], second["version"], second["run_id"]) == ("4711-1", 5, None)
    assert tags_in(found) == ["tenant.person_added.v1"] * 2


@pytest.mark.parametrize("event", [KeyIssued, KeyRotated])
def test_the_hash_of_a_key_stays_here(event: Any) -> None:
    sent = msgspec.json.decode(body_of(recorded("tenant", TENANT, example(event)), 0))
    assert "hash" not in sent["data"]["data"]
    assert sent["data"]["data"]["last_four"]


def test_no_other_event_has_a_keyed_hash() -> None:
    hashes = [tag for events in EVENTS.values() for tag, event in tags_of(events).items() if "hash" in _fields(event)]
    assert sorted(hashes) == sorted(HIDDEN)


def _fields(event: Any) -> tuple[str, ...]:
    return tuple(event.__struct_fields__)


def test_an_event_that_is_too_large_is_sent_without_its_content() -> None:
    person = msgspec.structs.replace(example(PersonAdded), display_name="x" * MAX_BODY_BYTES)
    body = body_of(recorded("tenant", TENANT, person), 0)
    sent = msgspec.json.decode(body)["data"]
    assert len(body) < 2_000
    assert sent["data"] is None
    assert sent["data_bytes"] > MAX_BODY_BYTES
