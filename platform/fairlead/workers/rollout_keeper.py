"""Looks after candidates of routes that are being rolled out: on to the next share while they keep to their gates, back
to none when they do not. Several processes may do so: whoever is second changes nothing.
"""

import asyncio

import structlog
from fairlead_tenants.ids import TenantId

from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import StreamMoved, Unavailable
from fairlead.domain.ids import CommandId
from fairlead.domain.routing import routes as r
from fairlead.domain.routing.document import Candidate
from fairlead.domain.routing.rollouts import next_move
from fairlead.handling.handler import Cause, Handler
from fairlead.handling.model_standings import ModelKey, ModelStandings
from fairlead.ports import AnyRecorded, Clock, Ids, Log

LOOK_S = 15.0
RETRY_S = 1.0

_log = structlog.get_logger()


class RolloutKeeper:
    """Must be `run`. `standings` are its own, and keep for as long as a stage may last."""

    def __init__(self, log: Log, handler: Handler, standings: ModelStandings, clock: Clock, ids: Ids) -> None:
        self._log = log
        self._handler = handler
        self._standings = standings
        self._clock = clock
        self._ids = ids
        self._rolling: dict[StreamRef, r.Published] = {}
        self._after = LogSequence(0)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            while True:
                await asyncio.sleep(LOOK_S)
                await self.look()

    async def look(self) -> None:
        """At every candidate once."""
        for stream, route in tuple(self._rolling.items()):
            for candidate in route.route.document.candidates:
                try:
                    await self._look_at(stream, route, candidate)
                except (Unavailable, StreamMoved) as later:
                    _log.warning("rollout_not_moved", route=stream.id, reason=str(later))

    async def _look_at(self, stream: StreamRef, route: r.Published, candidate: Candidate) -> None:
        if candidate.rollout is None:
            return
        now = self._clock.now()
        share = route.shares.get(candidate.id, candidate.rollout.stages[0])
        since = route.since.get(candidate.id, route.published_at)
        key = ModelKey(TenantId(stream.tenant_id), candidate.provider, candidate.model)
        figures = self._standings.figures(key, max(0.0, (now - since).total_seconds()))
        move = next_move(candidate.rollout, share, since, figures, now)
        if move is None:
            return
        because = move.because
        command = r.MoveRollout(
            version=route.version,
            candidate=candidate.id,
            share=move.share,
            now=now,
            calls=figures.calls,
            code=because.code,
            value=because.value,
            bound=because.bound,
        )
        cause = Cause(actor=SYSTEM, command_id=CommandId(self._ids.new("cmd")))
        await self._handler.handle(stream, command, cause)
        _log.info("rollout_moved", route=stream.id, candidate=candidate.id, share=move.share, reason=because.code)

    async def _follow(self) -> None:
        states: dict[StreamRef, r.RouteState] = {}
        while True:
            try:
                async with self._log.follow(self._after, ("route",)) as batches:
                    async for batch in batches:
                        for recorded in batch:
                            self._after = recorded.sequence
                            if not isinstance(recorded, Unreadable):
                                self._hear(recorded, states)
            except Unavailable as unavailable:
                _log.warning("routes_not_followed", reason=str(unavailable))
                await asyncio.sleep(RETRY_S)

    def _hear(self, recorded: AnyRecorded, states: dict[StreamRef, r.RouteState]) -> None:
        stream = recorded.commit.stream
        state = states.get(stream, r.initial())
        for event in recorded.commit.events:
            state = r.evolve(state, event)
        states[stream] = state
        self._rolling.pop(stream, None)
        if isinstance(state, r.Published) and not state.retired and is_rolling(state):
            self._rolling[stream] = state


def is_rolling(route: r.Published) -> bool:
    return any(candidate.rollout is not None for candidate in route.route.document.candidates)
