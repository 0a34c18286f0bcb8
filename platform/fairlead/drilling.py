"""How fast a switch stops what it is for: set under the load that there is, watched, and released again.

What counts as stopped is asked of the very rule that the workers go by, so a drill of one workflow or tool counts
nothing of the others.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.codec import Unreadable
from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Rejected
from fairlead.domain.runs.events import RunStarted, ToolCallCompleted, ToolCallFailed, ToolCallRequested
from fairlead.domain.switches import board as b
from fairlead.domain.switches.verdict import Where, stop_of
from fairlead.handling.evidence import start_of
from fairlead.ports import AnyRecorded, Batches, Log
from fairlead.settings import Settings
from fairlead.stopping import OPERATOR, Operator, operator

WATCH_AT_MOST_S = 60.0
RELEASED_BY_ITSELF = timedelta(seconds=WATCH_AT_MOST_S + 60)  # where the drill dies before it releases
KEPT_RUNS = 10_000
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class NothingToStop(Rejected):
    """Nothing that the switch would stop happened in the time before: a drill without a load measures nothing."""

    code = "drill_without_load"


class IsStopped(Rejected):
    """A switch is on for the target, and a drill would release it."""

    code = "drill_of_a_switch_that_is_on"


class Drill(Struct, frozen=True, kw_only=True):
    """`holder` sets the switch: the installation, or the tenant whose target it is."""

    target: b.Target
    modes: tuple[b.Mode, ...]
    load_s: float
    quiet_s: float
    holder: TenantId = INSTALLATION


async def drill_stop(settings: Settings, wanted: Drill) -> b.SwitchDrilled:
    """Raises NothingToStop, IsStopped, NotYourSwitch."""
    async with operator(settings, wanted.holder) as found:
        return await drill(found, wanted)


async def drill(found: Operator, wanted: Drill) -> b.SwitchDrilled:
    """Stop it, watch for the last effect, let it go on, and record how long it took."""
    if wanted.target.id in (await found.board()).on:
        raise IsStopped(f"{wanted.target.id} is switched off, and the drill would let it go on")
    async with found.log.follow(await found.log.last_sequence(), ("run",)) as batches:
        watch = _Watch(found.log, batches, wanted)
        before = await watch.gather(wanted.load_s)
        if not before:
            said = f"nothing was done in {wanted.load_s:g} s that {wanted.target.id} would stop"
            raise NothingToStop(f"{said}: a drill without a load measures nothing")
        async with _switched(found, wanted) as set_at:
            after = await watch.until_quiet(wanted.quiet_s)
    began = sorted(each.began_at for each in after if each.began_at > set_at)
    drilled = b.SwitchDrilled(
        target=wanted.target,
        modes=wanted.modes,
        set_at=set_at,
        last_effect_ms=round((began[-1] - set_at).total_seconds() * 1e3, 1) if began else 0.0,
        calls_before=len(before),
        calls_after=len(began),
        workers=len({each.worker for each in (*before, *after)}),
        load_s=wanted.load_s,
        quiet_s=wanted.quiet_s,
    )
    await found.change(b.RecordDrill(drilled=drilled))
    return drilled


@asynccontextmanager
async def _switched(found: Operator, wanted: Drill) -> AsyncIterator[datetime]:
    ends = found.clock.now() + RELEASED_BY_ITSELF
    board = await found.set(wanted.target, wanted.modes, "a drill", ends)
    try:
        yield board.on[wanted.target.id].set_at
    finally:
        await found.release(wanted.target, "the drill is over")


class _Made(Struct, frozen=True):
    """A call that reached its counterpart, or a run that began. When is known to within its record: a little late."""

    worker: str
    began_at: datetime


class _Known(Struct, frozen=True):
    """Of a run: where it is, and its calls by id."""

    where: Where
    calls: dict[str, ToolCallRequested]


class _Watch:
    def __init__(self, log: Log, batches: Batches, wanted: Drill) -> None:
        self._log = log
        self._batches = batches
        self._starts = set(wanted.modes) == {"stop_starts"}
        self._boards = {wanted.holder: b.Board(on={wanted.target.id: _on(wanted)})}
        self._runs: OrderedDict[StreamRef, _Known] = OrderedDict()

    async def until_quiet(self, quiet_s: float) -> list[_Made]:
        """Until nothing was recorded for so long: a call that began before may end after."""
        found: list[_Made] = []
        for _ in range(max(1, round(WATCH_AT_MOST_S / quiet_s))):
            more = await self.gather(quiet_s)
            if not more:
                break
            found += more
        return found

    async def gather(self, seconds: float) -> list[_Made]:
        commits: list[AnyRecorded] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for batch in self._batches:
                    commits += [each for each in batch if not isinstance(each, Unreadable)]
        return [made for recorded in commits for made in await self._made(recorded)]

    async def _made(self, recorded: AnyRecorded) -> list[_Made]:
        found: list[_Made] = []
        for event in recorded.commit.events:
            match event:
                case RunStarted() if self._starts and self._is_stopped(await self._known(recorded.stream, "")):
                    found.append(_Made("", recorded.commit.at))
                case ToolCallCompleted() | ToolCallFailed() if event.latency_us > 0 and not self._starts:
                    known = await self._known(recorded.stream, event.call_id)
                    if self._is_stopped(known, known.calls.get(event.call_id)):
                        found.append(_Made(event.worker, recorded.commit.at - timedelta(microseconds=event.latency_us)))
        return found

    def _is_stopped(self, known: _Known, call: ToolCallRequested | None = None) -> bool:
        where, moment = known.where, LONG_AGO
        if self._starts:
            return stop_of("start", Effect.READ, where, self._boards, moment) is not None
        if call is None:
            return False
        at = Where(where.tenant_id, where.environment_id, where.workspace_id, where.workflow_id, call.tool)
        return stop_of("call", call.effect, at, self._boards, moment) is not None

    async def _known(self, stream: StreamRef, call_id: str) -> _Known:
        known = self._runs.get(stream)
        if known is None or (call_id and call_id not in known.calls):
            known = self._runs[stream] = _known_of(stream, await self._log.read(stream))
            while len(self._runs) > KEPT_RUNS:
                self._runs.popitem(last=False)
        return known


def _known_of(stream: StreamRef, history: Sequence[Any]) -> _Known:
    start = start_of(history)
    where = Where(stream.tenant_id, start.environment_id, start.workspace_id, start.workflow_id)
    events = (event for recorded in history for event in recorded.commit.events)
    return _Known(where, {event.call_id: event for event in events if isinstance(event, ToolCallRequested)})


def _on(wanted: Drill) -> b.On:
    """As it will be, for ever."""
    return b.On(target=wanted.target, modes=wanted.modes, reason="", set_by=OPERATOR, set_at=LONG_AGO)
