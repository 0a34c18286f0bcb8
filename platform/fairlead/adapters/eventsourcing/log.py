"""The log of one application: appending under optimistic concurrency, reading by aggregate and by position."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from uuid import UUID

from eventsourcing.persistence import IntegrityError, Notification, StoredEvent, Tracking

from fairlead.adapters.eventsourcing.drafts import (
    UNWRITTEN,
    AggregateHead,
    Draft,
    Head,
    draft,
    require_unique,
    subject_of,
)
from fairlead.adapters.eventsourcing.encoding import Stored, notifications, originator_token, stored_events
from fairlead.adapters.eventsourcing.engine import Engine, StreamPlace
from fairlead.adapters.eventsourcing.marks import Mark, Marks
from fairlead.ports import Ids

APPEND_TIMEOUT_S = 15
PAGE_MESSAGES = 500
MAX_AGGREGATE_HEADS = 10_000  # aggregates whose newest commit is remembered
SCAN_MESSAGES = 64  # once a search is this close, reading on is cheaper than asking again
RETRY_PAUSE_S = 0.005


class CommitLog:
    """Lives on the loop of its connection. What it remembers saves round trips; the engine alone decides."""

    def __init__(self, engine: Engine, place: StreamPlace, ids: Ids) -> None:
        self.engine = engine
        self.place = place
        self._ids = ids
        self._writing = asyncio.Lock()
        self._head: Head | None = None
        self._aggregates: OrderedDict[str, AggregateHead] = OrderedDict()
        self._marks = Marks()

    async def create(self) -> None:
        await self.engine.create_stream(self.place)

    async def append(self, events: Sequence[StoredEvent], tracking: Tracking | None = None) -> list[int]:
        """Record all or nothing; answers the notification ids.

        Raises IntegrityError for an event or a tracking that was recorded before, OperationalError when the engine
        did not answer in time: then nobody knows, and the same events may be sent again.
        """
        if not events and tracking is None:
            return []
        require_unique(events)
        commit_id = self._ids.new("cmt")
        async with asyncio.timeout(APPEND_TIMEOUT_S), self._writing:
            while True:
                head = self._head or await self._newest()
                attempt = await self._draft(commit_id, events, tracking, head)
                if await self._stored(commit_id, attempt, head):
                    return list(attempt.ids)
                await asyncio.sleep(RETRY_PAUSE_S)
                await self._forget(attempt)

    async def read(self, originator_id: UUID | str, gt: int | None) -> list[StoredEvent]:
        """Events of one aggregate above version `gt`, by version, in one round trip."""
        subject = self._subject(originator_id)
        known = self._aggregates.get(subject, UNWRITTEN)
        if gt is None or known.highest_version is None or gt < known.highest_version:
            known = UNWRITTEN
        found: list[StoredEvent] = []
        async with aclosing(self._scan(known.sequence + 1, subject, PAGE_MESSAGES)) as commits:
            async for commit in commits:
                found += stored_events(commit)
                known = AggregateHead.of(commit)
        self._remember(subject, known)
        return sorted((e for e in found if gt is None or e.originator_version > gt), key=_version)

    async def latest(self, originator_id: UUID | str) -> list[StoredEvent]:
        """The event of the highest version, without the history before it."""
        subject = self._subject(originator_id)
        newest = await self.engine.message(self.place, last_by_subj=subject)
        if newest is None:
            return []
        found = max(stored_events(newest), key=_version)
        if found.originator_version == newest.body.highest_version:
            return [found]
        return (await self.read(originator_id, None))[-1:]

    async def notifications(
        self, first_id: int, limit: int, stop: int | None, topics: Sequence[str]
    ) -> list[Notification]:
        """Events of all aggregates from `first_id` up to `stop`, by position."""
        found: list[Notification] = []
        start = await self.sequence_of(first_id)
        async with aclosing(self._scan(start, self.place.all_subjects, min(limit, PAGE_MESSAGES))) as commits:
            async for commit in commits:
                self._marks.add(Mark(commit.body.last_id, commit.sequence))
                found += (n for n in notifications(commit) if n.id >= first_id and (not topics or n.topic in topics))
                if len(found) >= limit or (stop is not None and commit.body.last_id >= stop):
                    break
        return [n for n in found[:limit] if stop is None or n.id <= stop]

    async def sequence_of(self, notification_id: int) -> int:
        """Where to start reading in order to meet this id soon: never behind it."""
        low = self._marks.before(notification_id)
        if low.last_id == notification_id - 1:
            return low.sequence + 1
        high = self._marks.at_or_after(notification_id) or Mark.of(await self._newest())
        while high.last_id >= notification_id and high.sequence - low.sequence > SCAN_MESSAGES:
            middle = await self.engine.message(self.place, seq=(low.sequence + high.sequence) // 2)
            assert middle is not None, "the log has no gaps"
            mark = Mark(middle.body.last_id, middle.sequence)
            low, high = (mark, high) if mark.last_id < notification_id else (low, mark)
        return low.sequence + 1 if high.last_id >= notification_id else high.sequence + 1

    async def last_id(self) -> int:
        return (await self._newest()).last_id

    async def tracked(self, application_name: str) -> int | None:
        return (await self._newest()).tracking.get(application_name)

    def _subject(self, originator_id: UUID | str) -> str:
        return f"{self.place.prefix}.{originator_token(originator_id)}"

    async def _newest(self) -> Head:
        return Head.of(await self.engine.message(self.place, last_by_subj=self.place.all_subjects))

    async def _draft(
        self, commit_id: str, events: Sequence[StoredEvent], tracking: Tracking | None, head: Head
    ) -> Draft:
        """An aggregate nobody here has met is taken for new; the engine objects if it is not."""
        versions: dict[str, list[int]] = {}
        for event in events:
            versions.setdefault(subject_of(self.place.prefix, event), []).append(event.originator_version)
        heads = {subject: self._aggregates.get(subject, UNWRITTEN) for subject in versions}
        for subject, new in versions.items():
            free = [heads[subject].is_free(version) for version in new]
            if False in free or (None in free and await self._used(subject, new)):
                raise IntegrityError(f"one of the versions {new} of {subject} has been recorded before")
        return draft(commit_id, self.place.prefix, events, tracking, head, heads)

    async def _used(self, subject: str, versions: Iterable[int]) -> bool:
        async with aclosing(self._scan(1, subject, PAGE_MESSAGES)) as commits:
            used = {event.version async for commit in commits for event in commit.body.events}
        return not used.isdisjoint(versions)

    async def _stored(self, commit_id: str, attempt: Draft, head: Head) -> bool:
        """A lost answer is looked up: what was stored can only be right behind the head it was expected behind."""
        if not await self.engine.store(commit_id, head.sequence, attempt.messages):
            behind = await self.engine.message(self.place, seq=head.sequence + 1)
            if behind is None or behind.body.commit_id != commit_id:
                return False
        self._head = attempt.head
        self._marks.add(Mark.of(attempt.head))
        for subject, aggregate in attempt.heads.items():
            self._remember(subject, aggregate)
        return True

    async def _forget(self, attempt: Draft) -> None:
        """Learn anew what the failed attempt was built on."""
        self._head = None
        for subject in attempt.heads:
            self._aggregates.pop(subject, None)
        if attempt.heads:
            page = await self.engine.messages(self.place, multi_last=list(attempt.heads))
            for newest in page.commits:
                self._remember(newest.subject, AggregateHead.of(newest))

    def _remember(self, subject: str, head: AggregateHead) -> None:
        if head.sequence <= self._aggregates.get(subject, UNWRITTEN).sequence:
            return
        self._aggregates[subject] = head
        self._aggregates.move_to_end(subject)
        if len(self._aggregates) > MAX_AGGREGATE_HEADS:
            self._aggregates.popitem(last=False)

    async def _scan(self, start: int, subject: str, page_messages: int) -> AsyncGenerator[Stored, None]:
        more = True
        while more:
            page = await self.engine.messages(self.place, seq=start, next_by_subj=subject, batch=page_messages)
            for commit in page.commits:
                yield commit
                start = commit.sequence + 1
            more = page.more and bool(page.commits)


def _version(event: StoredEvent) -> int:
    return event.originator_version
