"""What a call passes before it is made: the breaker of its counterpart, and the limits of rate and of calls at once.

Nothing here asks the engine while the breaker is closed and no limit is set. A call that does not get through is put
back with the time at which to try again; it uses up no attempt.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import structlog
from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import EnvironmentId, TenantId
from msgspec import Struct

from fairlead.domain import breakers as b
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.errors import StreamMoved, Unavailable
from fairlead.domain.ids import CommandId
from fairlead.domain.outages import COUNTED, Tally
from fairlead.domain.runs.commands import CallErred, CallSucceeded
from fairlead.domain.runs.events import HeldFor, OnOutage
from fairlead.domain.throttling import Limit
from fairlead.handling.handler import Cause, Handled, Handler
from fairlead.ports import Clock, Ids, Over, Passed, Throttle
from fairlead.workers.answering import Result
from fairlead.workers.breaker_board import BreakerBoard, Standing

KEPT = 10_000
LIMITS_AGAIN_S = 30.0  # a tenant may have another version of the connector by then
PROBE_GRACE_S = 5.0  # for everything around a probe's call
PROBED_S = 1.0  # while a probe is out, how soon to look again
SPREAD_S = 0.5  # those who wait for the same moment come back over this
FREE = Passed()

_log = structlog.get_logger()


class Asked(Struct, frozen=True, kw_only=True):
    """What the gates need to know of a call. `connection` is the id of the one that its workflow names; else empty.

    `last` is what the last such read gave, where the call may be given that instead of an answer.
    """

    tenant_id: TenantId
    environment_id: EnvironmentId
    tool: str
    effect: Effect
    timeout_s: float
    on_outage: OnOutage = "wait"
    connection: str = ""
    last: CallSucceeded | None = None

    @property
    def connector(self) -> str:
        return self.tool.partition(".")[0]


class Entered(Struct, frozen=True):
    """Go on; and `leave` afterwards, whatever came of it. `probe` is its number if this call is one, or 0."""

    counterpart: "Counterpart"
    passed: Passed
    probe: int = 0


class Instead(Struct, frozen=True):
    """The call is not made; this stands for its outcome."""

    outcome: Result


class PutBack(Exception):
    """Not now. `subject` is what people are told that it waits for."""

    def __init__(self, wait_s: float, held_for: HeldFor, subject: str) -> None:
        super().__init__(f"{held_for}: {subject}")
        self.wait_s = wait_s
        self.held_for = held_for
        self.subject = subject


class Counterpart:
    """All that is kept here of one tool of one account. Tools of one connector share breaker and tally."""

    __slots__ = ("breaker", "connection", "connector", "environment_id", "limits", "stale_s", "tally")

    def __init__(self, asked: Asked, limits: Sequence[Limit], breaker: StreamRef, tally: Tally, stale_s: float) -> None:
        self.environment_id = asked.environment_id
        self.connector = asked.connector
        self.connection = asked.connection or None
        self.limits = limits
        self.breaker = breaker
        self.tally = tally
        self.stale_s = stale_s


LimitsOf = Callable[[Asked], Awaitable[Sequence[Limit]]]


class Gates:
    """One for each process, which must `run` it and `keep` it alive about every third of a lease."""

    def __init__(
        self,
        *,
        worker_id: str,
        board: BreakerBoard,
        throttle: Throttle,
        handler: Handler,
        clock: Clock,
        ids: Ids,
        limits_of: LimitsOf,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker_id = worker_id
        self._board = board
        self._throttle = throttle
        self._handler = handler
        self._clock = clock
        self._ids = ids
        self._limits_of = limits_of
        self._steady = steady
        self._counterparts: OrderedDict[tuple[str, str, str, str], Counterpart] = OrderedDict()
        self._tallies: OrderedDict[StreamRef, Tally] = OrderedDict()

    async def run(self) -> None:
        """Until cancelled."""
        await self._board.run()

    async def keep(self) -> None:
        await self._throttle.keep()

    async def enter(self, asked: Asked) -> Entered | Instead:
        """Raises PutBack; Unavailable when the engine does not answer."""
        counterpart = self._known(asked) or await self._counterpart(asked)
        standing = self._board.at_hand(counterpart.breaker) or await self._board.look(counterpart.breaker)
        is_closed = isinstance(standing.state, b.Closed)
        if not is_closed:
            counterpart.tally.clear()
            if self._left_s(asked, standing) > 0:
                return self._degraded(asked, standing)
        passed = await self._pass(counterpart, asked.tenant_id) if counterpart.limits else FREE
        if is_closed:
            return Entered(counterpart, passed)
        probe = await self._begin_probe(asked, counterpart.breaker, standing)
        if not probe:
            self._throttle.leave(passed)
            return self._degraded(asked, await self._board.look(counterpart.breaker))
        return Entered(counterpart, passed, probe)

    async def leave(self, entered: Entered, outcome: Result | None) -> None:
        """`outcome` None: the call was not made after all."""
        if entered.passed.taken:
            self._throttle.leave(entered.passed)
        if outcome is None:
            return
        failed = isinstance(outcome, CallErred) and outcome.error_class in COUNTED
        if entered.probe:
            await self._tell(entered, self._report(entered.probe, outcome if failed else None))
        elif (counted := entered.counterpart.tally.record(failed, self._steady())) is not None:
            assert isinstance(outcome, CallErred), "only failures open a breaker"
            counterpart = entered.counterpart
            trip = b.TripBreaker(
                environment_id=counterpart.environment_id,
                connector=counterpart.connector,
                connection_id=counterpart.connection,
                failures=counted.failures,
                calls=counted.calls,
                error_class=outcome.error_class,
                code=outcome.code,
                now=self._clock.now(),
            )
            await self._tell(entered, trip)

    async def closed_for_s(self, asked: Asked) -> float | None:
        """None: calls are made. 0: one call may find out whether somebody answers again; more: not before that."""
        counterpart = self._known(asked) or await self._counterpart(asked)
        standing = self._board.at_hand(counterpart.breaker) or await self._board.look(counterpart.breaker)
        if isinstance(standing.state, b.Closed):
            return None
        left_s = max(0.0, self._left_s(asked, standing))
        return min(left_s, PROBED_S) if isinstance(standing.state, b.HalfOpen) else left_s

    def _known(self, asked: Asked) -> Counterpart | None:
        known = self._counterparts.get((asked.tenant_id, asked.environment_id, asked.tool, asked.connection))
        return known if known is not None and self._steady() < known.stale_s else None

    async def _counterpart(self, asked: Asked) -> Counterpart:
        breaker = StreamRef(
            asked.tenant_id,
            "breaker",
            b.breaker_id(asked.environment_id, asked.connector, asked.connection or None),
        )
        limits = tuple(await self._limits_of(asked))
        made = Counterpart(
            asked, limits, breaker, self._tallies.setdefault(breaker, Tally()), self._steady() + LIMITS_AGAIN_S
        )
        self._counterparts[asked.tenant_id, asked.environment_id, asked.tool, asked.connection] = made
        for kept in (self._counterparts, self._tallies):
            while len(kept) > KEPT:
                kept.popitem(last=False)
        return made

    async def _pass(self, counterpart: Counterpart, tenant_id: str) -> Passed:
        passed = await self._throttle.enter(counterpart.limits, tenant_id)
        if isinstance(passed, Over):
            held_for: HeldFor = "rate" if passed.short_of == "calls" else "concurrency"
            raise PutBack(passed.wait_s, held_for, passed.limit.name)
        return passed

    def _left_s(self, asked: Asked, standing: Standing) -> float:
        """Until this call may try to be the probe. A write that is to wait for reads leaves them the time to."""
        waited_s = self._steady() - standing.since_s
        match standing.state:
            case b.Open(opened=opened):
                waits_for_reads = asked.on_outage == "read_only" and asked.effect is not Effect.READ
                return opened.cooling_s * (2 if waits_for_reads else 1) - waited_s
            case b.HalfOpen(probing=probing):
                return probing.lease_s - waited_s
            case b.Closed():
                return 0.0

    def _degraded(self, asked: Asked, standing: Standing) -> Instead:
        """What the call is given instead, as it was asked for. Raises PutBack where it is to wait."""
        if asked.on_outage == "fail":
            message = f"{asked.connector} has not answered for some time; the call was not made"
            return Instead(CallErred(error_class="outage", code="breaker_open", message=message))
        if asked.on_outage == "cached" and asked.last is not None:
            return Instead(asked.last)
        left_s = self._left_s(asked, standing)
        if isinstance(standing.state, b.HalfOpen):
            left_s = min(left_s, PROBED_S)
        wait_s = max(0.0, left_s) + random.uniform(0, SPREAD_S)  # noqa: S311  # spreads orders, guards nothing
        raise PutBack(wait_s, "outage", asked.connector)

    async def _begin_probe(self, asked: Asked, breaker: StreamRef, standing: Standing) -> int:
        """Its number; 0 when somebody else was first."""
        state = standing.state
        assert not isinstance(state, b.Closed), "the caller has looked"
        command = b.BeginProbe(
            opening=state.opened.opening,
            worker=self._worker_id,
            lease_s=asked.timeout_s + PROBE_GRACE_S,
            waited_s=self._steady() - standing.since_s,
            after=state.probing.probe if isinstance(state, b.HalfOpen) else 0,
        )
        handled = await self._handle(breaker, command)
        begun = [fact for fact in handled.facts if isinstance(fact, b.BreakerProbing)]
        return begun[0].probe if begun else 0

    def _report(self, probe: int, failed: Result | None) -> b.ReportProbe:
        said = (failed.error_class, failed.code) if isinstance(failed, CallErred) else None
        return b.ReportProbe(probe=probe, now=self._clock.now(), failed=said)

    async def _tell(self, entered: Entered, command: b.BreakerCommand) -> None:
        """What came of a call must not be lost because nobody can be told of its counterpart."""
        try:
            await self._handle(entered.counterpart.breaker, command)
        except (Unavailable, StreamMoved) as untold:
            _log.warning("breaker_not_told", breaker=entered.counterpart.breaker.id, reason=str(untold))

    async def _handle(self, breaker: StreamRef, command: b.BreakerCommand) -> Handled:
        cause = Cause(actor=SYSTEM, command_id=CommandId(self._ids.new("cmd")))
        handled = await self._handler.handle(breaker, command, cause)
        self._board.decided(breaker, handled)
        return handled
