"""What the log promises to applications of the `eventsourcing` library beyond that library's own test cases."""

import asyncio
import threading
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import msgspec
import pytest
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    StoredEvent,
    Subscription,
    Tracking,
)
from eventsourcing.utils import Environment

from fairlead.adapters.engines import Embedded
from fairlead.adapters.eventsourcing import JetStreamFactory
from fairlead.adapters.eventsourcing.engine import MAX_BATCH_MESSAGES, MAX_MESSAGE_BYTES
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_messages import NoAnswer
from tests.support import eventsourcing as support

A, B = UUID(int=1), UUID(int=2)


def stored(originator_id: UUID | str, version: int, state: bytes = b"{}", topic: str = "happened.v1") -> StoredEvent:
    return StoredEvent(originator_id=originator_id, originator_version=version, topic=topic, state=state)


def consume(subscription: Subscription[Any], started: threading.Event) -> int:
    """How many came until it was stopped."""
    number = 0
    for number, _ in enumerate(subscription, start=1):  # noqa: B007 - the last number is the answer
        started.set()
    return number


def first_message(factory: JetStreamFactory) -> dict[str, Any]:
    connection = factory._connection
    assert connection is not None
    question = connection.nats.api(f"STREAM.MSG.GET.{factory._place('events').name}", {"seq": 1})
    message: dict[str, Any] = connection.run(question)["message"]
    return message


def lose_one_answer(monkeypatch: pytest.MonkeyPatch, arrived: bool) -> None:
    """The next commit is sent and nobody hears whether it was stored; `arrived` says whether it was."""
    publish = NatsConnection.publish
    faults = iter([True])

    async def losing(self: NatsConnection, *args: Any) -> Any:
        if not next(faults, False):
            return await publish(self, *args)
        if arrived:
            await publish(self, *args)
        raise NoAnswer

    monkeypatch.setattr(NatsConnection, "publish", losing)


@pytest.fixture
def env(nats_url: str) -> dict[str, str]:
    return support.settings(nats_url)


@pytest.fixture
def here(env: dict[str, str]) -> Iterator[JetStreamFactory]:
    with support.factory(env) as opened:
        yield opened


@pytest.fixture
def there(env: dict[str, str]) -> Iterator[JetStreamFactory]:
    """The same application in another process: it shares the engine with `here` and nothing else."""
    with support.factory(env) as opened:
        yield opened


def test_events_of_several_aggregates_are_recorded_together_in_the_order_given(here: JetStreamFactory) -> None:
    recorder = here.application_recorder()
    events = [stored(A, 1), stored(B, 1), stored(B, 2), stored(A, 2)]
    assert recorder.insert_events(events) == [1, 2, 3, 4]
    found = recorder.select_notifications(start=1, limit=10)
    assert [(n.originator_id, n.originator_version) for n in found] == [(A, 1), (B, 1), (B, 2), (A, 2)]
    assert recorder.select_events(A) == [stored(A, 1), stored(A, 2)]


def test_a_conflict_on_one_aggregate_leaves_nothing_of_the_others(
    here: JetStreamFactory, there: JetStreamFactory
) -> None:
    recorder = here.application_recorder()
    recorder.insert_events([stored(A, 1)])
    there.application_recorder().insert_events([stored(A, 2)])
    with pytest.raises(IntegrityError):
        recorder.insert_events([stored(B, 1), stored(A, 2)])
    assert recorder.select_events(B) == []
    assert recorder.max_notification_id() == 2


def test_of_two_processes_that_save_the_same_version_one_wins(here: JetStreamFactory, there: JetStreamFactory) -> None:
    ours, theirs = here.application_recorder(), there.application_recorder()
    ours.insert_events([stored(A, 1, b'"ours"')])
    with pytest.raises(IntegrityError):
        theirs.insert_events([stored(A, 1, b'"theirs"')])
    assert theirs.select_events(A) == [stored(A, 1, b'"ours"')]


def test_processes_that_write_different_aggregates_never_fail_and_number_without_gap(
    here: JetStreamFactory, there: JetStreamFactory
) -> None:
    recorders = [here.application_recorder(), there.application_recorder()]

    def write(place: int) -> list[int]:
        recorder = recorders[place % 2]
        return [
            notification_id
            for version in range(1, 11)
            for notification_id in recorder.insert_events([stored(UUID(int=place), version)]) or ()
        ]

    with ThreadPoolExecutor(8) as threads:
        ids = [notification_id for written in threads.map(write, range(1, 9)) for notification_id in written]
    assert sorted(ids) == list(range(1, 81))
    assert [n.id for n in recorders[0].select_notifications(start=None, limit=100)] == list(range(1, 81))


def test_events_and_their_tracking_are_recorded_by_one_process_only(
    here: JetStreamFactory, there: JetStreamFactory
) -> None:
    ours, theirs = here.process_recorder(), there.process_recorder()
    ours.insert_events([stored(A, 1)], tracking=Tracking("upstream", 7))
    with pytest.raises(IntegrityError):
        theirs.insert_events([stored(B, 1)], tracking=Tracking("upstream", 7))
    assert theirs.select_events(B) == []
    theirs.insert_events([stored(B, 1)], tracking=Tracking("upstream", 8))
    assert ours.max_tracking_id("upstream") == 8


def test_a_commit_is_one_message_that_can_be_read_without_this_program(here: JetStreamFactory) -> None:
    recorder = here.process_recorder()
    recorder.insert_events([stored(A, 1, b'{"total": 5}'), stored(A, 2, b"\x00\xff")], tracking=Tracking("shop", 3))
    message = first_message(here)
    assert message["subject"].endswith(".Orders.events.u-00000000000000000000000000000001")
    body = msgspec.json.decode(b64decode(message["data"]))
    assert body.pop("commit_id").startswith("cmt_")
    assert body == {
        "last_id": 2,
        "events": [
            {"type": "happened.v1", "version": 1, "state": {"total": 5}},
            {"type": "happened.v1", "version": 2, "state_base64": "AP8="},
        ],
        "highest_version": 2,
        "dense_from": 1,
        "tracking": {"shop": 3},
    }


@pytest.mark.parametrize("state", [b"", b"null", b'{"a": 1.50 }', b" {}", b'"\xff"', b"\x00\x01", b"[" * 5000])
def test_state_comes_back_byte_for_byte(here: JetStreamFactory, state: bytes) -> None:
    recorder = here.application_recorder()
    recorder.insert_events([stored(A, 1, state)])
    assert recorder.select_events(A)[0].state == state
    assert recorder.select_notifications(start=1, limit=1)[0].state == state


@pytest.mark.parametrize("name", ["a b", "a.b", "*", ">", "", "ü", "%2E", "u-00", "line\nbreak", "\x00"])
def test_text_ids_are_kept_apart_whatever_they_hold(here: JetStreamFactory, name: str) -> None:
    recorder = here.application_recorder()
    recorder.insert_events([stored(f"{name}x", 1), stored(name, 1)])
    assert recorder.select_events(name) == [stored(name, 1)]


def test_versions_may_come_late_but_not_twice(here: JetStreamFactory, there: JetStreamFactory) -> None:
    recorder = here.aggregate_recorder(purpose="snapshots")
    for version in (5, 2, 9):
        recorder.insert_events([stored(A, version)])
    for recorder in (here.aggregate_recorder(purpose="snapshots"), there.aggregate_recorder(purpose="snapshots")):
        for version in (2, 5, 9):
            with pytest.raises(IntegrityError):
                recorder.insert_events([stored(A, version)])
    recorder.insert_events([stored(A, 3)])
    assert [e.originator_version for e in recorder.select_events(A)] == [2, 3, 5, 9]
    assert [e.originator_version for e in recorder.select_events(A, desc=True, limit=1)] == [9]
    assert [e.originator_version for e in recorder.select_events(A, gt=2, lte=5)] == [3, 5]


def test_what_others_recorded_since_is_read_too(here: JetStreamFactory, there: JetStreamFactory) -> None:
    recorder = here.application_recorder()
    recorder.insert_events([stored(A, 1), stored(A, 2)])
    there.application_recorder().insert_events([stored(A, 3)])
    assert recorder.select_events(A, gt=2) == [stored(A, 3)]
    assert recorder.select_events(A, gt=3) == []
    assert len(recorder.select_events(A, gt=0)) == 3


def test_a_process_that_knows_nothing_finds_every_position(here: JetStreamFactory, there: JetStreamFactory) -> None:
    recorder = here.process_recorder()
    for place in range(150):
        recorder.insert_events([stored(UUID(int=place), v) for v in range(place % 4)], tracking=Tracking("up", place))
    last = recorder.max_notification_id() or 0
    reader = there.application_recorder()
    for position in (150, last, 1, last + 1, 75, 2, last - 1):
        found = reader.select_notifications(start=position, limit=1)
        assert [n.id for n in found] == ([position] if position <= last else [])


def test_limits_are_refused_before_anything_is_sent(here: JetStreamFactory) -> None:
    recorder = here.application_recorder()
    text = b"x" * (MAX_MESSAGE_BYTES // 4 * 3)  # base64 makes four bytes of three
    with pytest.raises(DataError):
        recorder.insert_events([stored(B, 1), stored(A, 1, text)])
    recorder.insert_events([stored(A, 1, text[:-1000])])
    for name in ("x" * 1000, "\ud800"):
        with pytest.raises(DataError):
            recorder.insert_events([stored(name, 1)])
    with pytest.raises(NotSupportedError):
        recorder.insert_events([stored(UUID(int=n), 1) for n in range(10, MAX_BATCH_MESSAGES + 11)])
    assert recorder.insert_events([stored(UUID(int=n), 1) for n in range(10, MAX_BATCH_MESSAGES + 10)]) == list(
        range(2, MAX_BATCH_MESSAGES + 2)
    )


@pytest.mark.parametrize("events", [[stored(A, 1)], [stored(A, 1), stored(B, 1)]], ids=["a message", "a batch"])
@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_answer_leaves_one_commit(
    here: JetStreamFactory, monkeypatch: pytest.MonkeyPatch, events: list[StoredEvent], arrived: bool
) -> None:
    recorder = here.application_recorder()
    lose_one_answer(monkeypatch, arrived)
    assert recorder.insert_events(events) == list(range(1, len(events) + 1))
    assert recorder.max_notification_id() == len(events)


def test_a_lost_answer_of_another_process_is_a_conflict(
    here: JetStreamFactory, there: JetStreamFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = here.application_recorder(), there.application_recorder()
    theirs.insert_events([stored(A, 1)])
    lose_one_answer(monkeypatch, arrived=True)
    with pytest.raises(IntegrityError):
        ours.insert_events([stored(A, 1)])


async def test_writers_and_subscribers_outlive_the_engine(here: JetStreamFactory, engines: Embedded) -> None:
    recorder = here.application_recorder()
    recorder.insert_events([stored(A, 1)])
    with recorder.subscribe() as subscription:
        assert (await asyncio.to_thread(next, subscription)).id == 1
        waiting = asyncio.create_task(asyncio.to_thread(next, subscription))
        await engines.kill_nats()
        saving = asyncio.create_task(asyncio.to_thread(recorder.insert_events, [stored(A, 2)]))
        await engines.start_nats()
        assert await saving == [2]
        assert (await waiting).id == 2


def test_a_subscription_yields_what_other_processes_record(here: JetStreamFactory, there: JetStreamFactory) -> None:
    writer = there.application_recorder()
    with here.application_recorder().subscribe(gt=1, topics=["wanted.v1"]) as subscription:
        writer.insert_events([stored(A, 1, topic="wanted.v1"), stored(A, 2), stored(A, 3, topic="wanted.v1")])
        assert next(subscription).id == 3
        writer.insert_events([stored(B, 1, topic="wanted.v1")])
        assert next(subscription).id == 4


def test_stop_ends_a_wait_in_another_thread(here: JetStreamFactory) -> None:
    recorder = here.application_recorder()
    with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as threads:
        ended = threads.submit(consume, subscription, started := threading.Event())
        recorder.insert_events([stored(A, 1)])
        assert started.wait(5)
        subscription.stop()
        assert ended.result(timeout=5) == 1


def test_a_closed_factory_ends_waits_and_refuses_work(here: JetStreamFactory) -> None:
    recorder = here.application_recorder()
    with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as threads:
        ended = threads.submit(consume, subscription, started := threading.Event())
        recorder.insert_events([stored(A, 1)])
        assert started.wait(5)
        here.close()
        with pytest.raises(InterfaceError):
            ended.result(timeout=5)
    with pytest.raises(InterfaceError):
        recorder.select_events(A)


def test_applications_and_purposes_are_kept_apart(env: dict[str, str], here: JetStreamFactory) -> None:
    here.application_recorder().insert_events([stored(A, 1)])
    here.aggregate_recorder(purpose="snapshots").insert_events([stored(A, 1)])
    with support.factory(env, name="Orders-events") as other:
        assert other.application_recorder().select_events(A) == []


def test_a_factory_says_which_setting_is_wrong(env: dict[str, str]) -> None:
    with pytest.raises(OSError, match="ORDERS_FAIRLEAD_NATS_URL, FAIRLEAD_NATS_URL"):
        JetStreamFactory(Environment("Orders", {}))
    with pytest.raises(OSError, match=JetStreamFactory.REPLICAS):
        JetStreamFactory({**env, JetStreamFactory.REPLICAS: "0"})


def test_an_engine_that_is_not_there_is_an_operational_error(env: dict[str, str]) -> None:
    unreadable = JetStreamFactory({**env, JetStreamFactory.NATS_CA_FILE: "/nowhere/ca.pem"})
    with pytest.raises(OperationalError):
        unreadable.application_recorder()


def test_a_stream_that_nobody_made_is_a_programming_error(env: dict[str, str]) -> None:
    with support.factory({**env, JetStreamFactory.CREATE_TABLE: "no"}) as opened, pytest.raises(ProgrammingError):
        opened.application_recorder().insert_events([stored(A, 1)])
