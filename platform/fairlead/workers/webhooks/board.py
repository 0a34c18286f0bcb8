"""Every webhook there is, as the log has it, and which of them may have news."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import structlog
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import WebhookId
from fairlead.domain.instant import Instant
from fairlead.domain.webhooks import events as e
from fairlead.domain.webhooks.subscription import Removed, Subscription, evolve, initial
from fairlead.ports import AnyRecorded, Followed, Log

RETRY_S = 0.5
MOST_TENANTS = 200  # that are followed by name; of more, everybody is
_FRESH = (e.WebhookCreated, e.WebhookChanged, e.WebhookEnabled)

_log = structlog.get_logger()

Key = tuple[TenantId, WebhookId]


class Known(Struct, frozen=True, kw_only=True):
    """`fresh_since`: failures before it count no more. None for `subscription`: it was removed. `is_given_up`: it was
    disabled, and not by a person."""

    subscription: Subscription | None
    created_sequence: int
    sequence: int
    fresh_since: Instant
    is_given_up: bool


class WebhookBoard:
    """One for each process, which must `run` it. `wake` is called for each webhook that may have something to do."""

    def __init__(self, log: Log, wake: Callable[[Key], None]) -> None:
        self._log = log
        self._wake = wake
        self._known: dict[Key, Known] = {}
        self._of_tenant: defaultdict[TenantId, set[Key]] = defaultdict(set)
        self._tenants_changed = asyncio.Event()
        self._heard_to: LogSequence | None = None

    def known(self, key: Key) -> Known | None:
        return self._known.get(key)

    @property
    def given_up(self) -> int:
        """How many webhooks of all tenants are."""
        return sum(known.is_given_up for known in self._known.values())

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._patiently(self._follow_webhooks))
            tasks.create_task(self._patiently(self._follow_tenants))

    async def _patiently(self, follow: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await follow()
            except Unavailable as unavailable:
                _log.warning("webhooks_not_followed", reason=str(unavailable))
                await asyncio.sleep(RETRY_S)

    async def _follow_webhooks(self) -> None:
        async with self._log.follow(LogSequence(0), ("webhook",)) as batches:
            async for batch in batches:
                for recorded in batch:
                    if isinstance(recorded, Unreadable):
                        _log.error("webhook_unreadable", webhook_id=recorded.stream.id, sequence=recorded.sequence)
                    else:
                        self._hear(recorded)

    def _hear(self, recorded: AnyRecorded) -> None:
        commit = recorded.commit
        key = commit.tenant_id, WebhookId(commit.stream_id)
        known = self._known.get(key)
        if known is not None and known.sequence >= recorded.sequence:
            return
        state = initial() if known is None else known.subscription or Removed()
        for event in commit.events:
            state = evolve(state, event)
        is_fresh = known is None or any(isinstance(event, _FRESH) for event in commit.events)
        self._known[key] = Known(
            subscription=state if isinstance(state, Subscription) else None,
            created_sequence=recorded.sequence if known is None else known.created_sequence,
            sequence=recorded.sequence,
            fresh_since=commit.at if known is None or is_fresh else known.fresh_since,
            is_given_up=_is_given_up(commit.events, before=known is not None and known.is_given_up),
        )
        self._note(key)
        self._wake(key)

    def _note(self, key: Key) -> None:
        """Tenants without a webhook that is told of anything are not followed."""
        tenant, before = key[0], len(self._of_tenant)
        subscription = self._known[key].subscription
        if subscription is not None and subscription.is_enabled:
            self._of_tenant[tenant].add(key)
        else:
            self._of_tenant[tenant].discard(key)
        if not self._of_tenant[tenant]:
            del self._of_tenant[tenant]
        if len(self._of_tenant) != before:
            self._tenants_changed.set()

    async def _follow_tenants(self) -> None:
        """From now on: what was before, webhooks find when they are served for the first time."""
        if self._heard_to is None:
            self._heard_to = await self._log.last_sequence()
        while True:
            self._tenants_changed.clear()
            tenants = tuple(self._of_tenant)
            if not tenants:
                await self._tenants_changed.wait()
                continue
            named = tenants if len(tenants) <= MOST_TENANTS else ()
            async with self._log.follow(self._heard_to, tenants=named) as batches:
                await self._listen(aiter(batches))

    async def _listen(self, batches: AsyncIterator[list[Followed]]) -> None:
        """Until other tenants are to be followed."""
        changed = asyncio.ensure_future(self._tenants_changed.wait())
        coming: asyncio.Future[list[Followed]] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(anext(batches))
                await asyncio.wait({coming, changed}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    return
                for recorded in coming.result():
                    self._heard_to = recorded.sequence
                    for key in tuple(self._of_tenant.get(recorded.stream.tenant_id, ())):
                        self._wake(key)
        finally:
            await _ended(changed, coming)


def _is_given_up(events: Sequence[Any], *, before: bool) -> bool:
    for event in events:
        match event:
            case e.WebhookDisabled(by=by):
                before = by != "person"
            case e.WebhookEnabled() | e.WebhookRemoved():
                before = False
    return before


async def _ended(*tasks: "asyncio.Future[Any] | None") -> None:
    there = [task for task in tasks if task is not None and not task.done()]
    for task in there:
        task.cancel()
    await asyncio.gather(*there, return_exceptions=True)
