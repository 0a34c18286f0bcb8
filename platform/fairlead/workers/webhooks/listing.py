"""From commits to deliveries: which events of a tenant one webhook is told of, and what it asked for itself."""

from collections.abc import Sequence

from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.codec import Unreadable, UnreadableCommit
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.ids import WebhookId
from fairlead.domain.instant import Instant
from fairlead.domain.webhooks import events as e
from fairlead.domain.webhooks.deliveries import Fed
from fairlead.domain.webhooks.filters import Filter
from fairlead.domain.webhooks.lanes import Waiting, lane_of
from fairlead.domain.webhooks.payload import run_of, tags_in
from fairlead.ports import AnyRecorded, Followed, Log
from fairlead.workers.webhooks.places import RunPlaces

REDELIVERY = "redelivery"  # a lane of its own: what is asked for once more waits for no run


class Listed(Struct, frozen=True, kw_only=True):
    """How far the listing is, which the book knows as well."""

    fed_to: int
    last_number: int
    acted_on: int


class Listing:
    """Of one webhook."""

    def __init__(self, log: Log, places: RunPlaces, tenant_id: TenantId, webhook_id: WebhookId) -> None:
        self._log = log
        self._places = places
        self._tenant_id = tenant_id
        self._webhook_id = webhook_id

    async def step(self, batch: Sequence[Followed], at: Listed, wanted: Filter, now: Instant) -> Fed:
        """What the batch adds, up to the first wish for a replay, which ends it. Raises Unavailable."""
        waiting: list[Waiting] = []
        fed_to, acted_on = at.fed_to, at.acted_on
        for recorded in batch:
            if isinstance(recorded, Unreadable):  # nobody can say what it is: its timeline has a gap there, too
                fed_to = recorded.sequence
                continue
            number = at.last_number + len(waiting)
            asked = self._asked(recorded) if recorded.sequence > at.acted_on else None
            if isinstance(asked, e.WebhookReplayRequested):
                back_to = min(asked.after_sequence, fed_to)
                return Fed(
                    fed_to=back_to,
                    last_number=number,
                    acted_on=recorded.sequence,
                    waiting=tuple(each for each in waiting if each.sequence <= back_to),
                    back_to=back_to,
                )
            if isinstance(asked, e.WebhookRedeliveryRequested):
                acted_on = recorded.sequence
                waiting += await self._once_more(asked, number, wanted, now)
            waiting += await self._told(recorded, at.last_number + len(waiting), wanted, now)
            fed_to = recorded.sequence
        return Fed(fed_to=fed_to, last_number=at.last_number + len(waiting), acted_on=acted_on, waiting=tuple(waiting))

    def _asked(self, recorded: AnyRecorded) -> e.WebhookReplayRequested | e.WebhookRedeliveryRequested | None:
        if recorded.stream.kind != "webhook" or recorded.stream.id != self._webhook_id:
            return None
        for event in recorded.commit.events:
            if isinstance(event, e.WebhookReplayRequested | e.WebhookRedeliveryRequested):
                return event
        return None

    async def _told(self, recorded: AnyRecorded, number: int, wanted: Filter, now: Instant) -> list[Waiting]:
        stream = recorded.stream
        if stream.kind == "webhook" and stream.id == self._webhook_id:
            indexes = [
                index for index, event in enumerate(recorded.commit.events) if isinstance(event, e.WebhookTestRequested)
            ]
        else:
            indexes = [index for index, tag in enumerate(tags_in(recorded)) if wanted.wants(tag)]
            if not indexes or not await self._is_covered(recorded, wanted):
                return []
        return [self._waiting(recorded, index, number + place, now) for place, index in enumerate(indexes, start=1)]

    async def _is_wanted(self, recorded: AnyRecorded, index: int, wanted: Filter) -> bool:
        tags = tags_in(recorded)
        if index >= len(tags):
            return False
        if recorded.stream.kind == "webhook" and recorded.stream.id == self._webhook_id:
            return isinstance(recorded.commit.events[index], e.WebhookTestRequested)
        return wanted.wants(tags[index]) and await self._is_covered(recorded, wanted)

    async def _is_covered(self, recorded: AnyRecorded, wanted: Filter) -> bool:
        if not wanted.is_placed:
            return True
        run_id = run_of(recorded.stream.kind, recorded.stream.id)
        try:
            place = await self._places.of(self._tenant_id, run_id) if run_id else None
        except UnreadableCommit:
            place = None
        return wanted.covers(place)

    async def _once_more(
        self, asked: e.WebhookRedeliveryRequested, number: int, wanted: Filter, now: Instant
    ) -> list[Waiting]:
        """Nothing that it would not have been told of in the first place."""
        found = await commit_at(self._log, self._tenant_id, asked.sequence)
        if found is None or not await self._is_wanted(found, asked.index, wanted):
            return []
        waiting = self._waiting(found, asked.index, number + 1, now)
        return [replace(waiting, lane=REDELIVERY)]

    def _waiting(self, recorded: AnyRecorded, index: int, number: int, now: Instant) -> Waiting:
        return Waiting(
            number=number,
            sequence=recorded.sequence,
            index=index,
            event_type=tags_in(recorded)[index],
            lane=lane_of(recorded.stream.kind, recorded.stream.id),
            attempts=0,
            due_at=now,
        )


async def commit_at(log: Log, tenant_id: TenantId, sequence: int) -> AnyRecorded | None:
    """The tenant's commit at this very place; None when there is none that can be read."""
    async with log.follow(LogSequence(sequence - 1), max_batch=1, tenants=[tenant_id]) as batches:
        batch = await anext(aiter(batches))
    if not batch or batch[0].sequence != sequence or isinstance(batch[0], Unreadable):
        return None
    return batch[0]
