"""The library's recorders over a log: what its threads call, one round trip to the log's loop each."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock
from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InterfaceError,
    Notification,
    ProcessRecorder,
    Recorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)

from fairlead.adapters.eventsourcing.connection import Connection, translated
from fairlead.adapters.eventsourcing.encoding import Stored, notifications
from fairlead.adapters.eventsourcing.following import Follower
from fairlead.adapters.eventsourcing.log import CommitLog


class JetStreamRecorder(Recorder):
    """`purpose` names the stream, like a table name: recorders of one purpose share it."""

    purpose: ClassVar[str] = "events"

    def __init__(self, connection: Connection, log: CommitLog) -> None:
        self.connection = connection
        self.log = log

    def create_stream(self) -> None:
        self.connection.run(self.log.create())


class JetStreamAggregateRecorder(JetStreamRecorder, AggregateRecorder):
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        self._insert(stored_events, **kwargs)
        return None

    def _insert(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int]:
        return self.connection.run(self.log.append(stored_events))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        if desc and limit == 1 and gt is None and lte is None:
            return self.connection.run(self.log.latest(originator_id))
        found = self.connection.run(self.log.read(originator_id, gt))
        found = [event for event in found if lte is None or event.originator_version <= lte]
        if desc:
            found.reverse()
        return found[:limit]


class JetStreamApplicationRecorder(JetStreamAggregateRecorder, ApplicationRecorder):
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        return self._insert(stored_events, **kwargs)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        first = 1 if start is None else start if inclusive_of_start else start + 1
        if limit < 1 or (stop is not None and stop < first):
            return []
        return self.connection.run(self.log.notifications(max(first, 1), limit, stop, topics))

    def max_notification_id(self) -> int | None:
        return self.connection.run(self.log.last_id()) or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        return JetStreamSubscription(self, gt, topics)


class JetStreamTrackingRecorder(JetStreamRecorder, TrackingRecorder):
    purpose: ClassVar[str] = "tracking"

    def insert_tracking(self, tracking: Tracking) -> None:
        self.connection.run(self.log.append((), tracking))

    def max_tracking_id(self, application_name: str) -> int | None:
        return self.connection.run(self.log.tracked(application_name))


class JetStreamProcessRecorder(JetStreamTrackingRecorder, JetStreamApplicationRecorder, ProcessRecorder):
    """The tracking travels in the commit of the events, so both are there or neither."""

    purpose: ClassVar[str] = "events"

    def _insert(
        self, stored_events: Sequence[StoredEvent], *, tracking: Tracking | None = None, **_: Any
    ) -> Sequence[int]:
        return self.connection.run(self.log.append(stored_events, tracking))


class JetStreamSubscription(Subscription[JetStreamApplicationRecorder]):
    """Blocks in `__next__` until something new is recorded, or `stop` is called from any thread."""

    def __init__(self, recorder: JetStreamApplicationRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._connection = recorder.connection
        self._ready: deque[Notification] = deque()
        self._lock = Lock()  # between stop() and the start of a wait
        self._waiting: Future[list[Stored]] | None = None
        self._follower: Follower | None = None

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            if self._ready:
                return self._ready.popleft()
            for commit in self._next_commits():
                self._ready.extend(n for n in notifications(commit) if self._wants(n))
        raise StopIteration

    def stop(self) -> None:
        with self._lock:
            if self._has_been_stopped:
                return
            super().stop()
            if self._waiting is not None:
                self._waiting.cancel()
        with suppress(InterfaceError):  # when the connection has gone, so has the consumer
            self._connection.submit(self._end())

    def _wants(self, notification: Notification) -> bool:
        is_new = self._last_notification_id is None or notification.id > self._last_notification_id
        return is_new and (not self._topics or notification.topic in self._topics)

    def _next_commits(self) -> list[Stored]:
        with self._lock:
            if self._has_been_stopped:
                return []
            if self._waiting is None:  # else an interrupted call left a wait behind, and what it brings is not lost
                self._waiting = self._connection.submit(self._page())
            waiting = self._waiting
        return self._result(waiting)

    def _result(self, waiting: Future[list[Stored]]) -> list[Stored]:
        try:
            with translated():
                return waiting.result()
        except InterfaceError:
            if self._has_been_stopped:
                return []
            raise
        finally:
            if waiting.done():
                self._waiting = None

    async def _end(self) -> None:
        if self._follower is not None:
            await self._follower.close()

    async def _page(self) -> list[Stored]:
        if self._follower is None:
            log = self._recorder.log
            self._follower = Follower(log, await log.sequence_of((self._last_notification_id or 0) + 1))
        return await self._follower.page()
