"""Load a stream, decide, append; again from the tail when somebody else was first.

State is kept between commands so that the usual command costs one append and no read. A kept state may be behind the
log. Appending on it is safe, because the log refuses what was decided on an old head; refusing a command or finding
nothing to do is not, so those answers are given only after the tail has been read.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import msgspec
from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.codec import CommitTooLarge
from fairlead.domain.envelope import Actor, Commit, Event, Kind, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import FairleadError, StreamMoved
from fairlead.domain.ids import CommandId
from fairlead.domain.sealing import Marks
from fairlead.domain.tallies import PlacesWanted
from fairlead.ports import AnyRecorded, Clock, Log

MAX_ATTEMPTS = 30
MAX_SUPPLIES = 2_000  # a decision may judge many calls, and each asks for itself
KEPT_STREAMS = 1_024
KEPT_BYTES = 16 * 1024 * 1024  # of encoded history behind the kept states
START = LogSequence(0)

_encode = msgspec.json.Encoder().encode

Rules = Callable[[StreamRef, Any, Any], Awaitable[Any]]
Appended = Callable[[StreamRef, Sequence[Any], Any], Awaitable[None]]


Supply = Callable[["Handler", StreamRef, Any, PlacesWanted], Awaitable[Any]]


class Decider(Struct, frozen=True, kw_only=True):
    """An aggregate as three functions. `rules` fetches what else a decision needs; decide gets it as third argument.

    `unfolded` decides like `decide`, and gives the state that the facts lead to as well, where that is at hand.
    """

    initial: Callable[[], Any]
    evolve: Callable[[Any, Any], Any]
    decide: Callable[..., list[Any]]
    unfolded: Callable[..., tuple[list[Any], Any]] | None = None
    rules: Rules | None = None
    supply: "Supply | None" = None  # fetches what a judgement finds that it needs
    finished: Callable[[Any], bool] = lambda _: False  # a finished stream is not worth keeping
    smaller: Callable[[Any], Any | None] = lambda _: None  # what to ask instead when the answer fits no commit
    begins: Callable[[Any], bool] = lambda _: False  # a command for a stream that is new, which is not looked for first
    subject: Callable[[Any, Sequence[Any]], str] = lambda _state, _facts: ""  # whose the facts' content is
    marks: Callable[[Any, Sequence[Any], Any], Marks | None] = lambda _state, _facts, _rules: None  # what is sensitive


class Cause(Struct, frozen=True, kw_only=True):
    """Who, under which command id, because of what. The same command id never makes two commits."""

    actor: Actor
    command_id: CommandId
    causation_id: str | None = None
    correlation_id: str | None = None
    trace_parent: str | None = None


class Loaded(Struct, frozen=True, kw_only=True):
    """A stream folded up to `sequence`. `commands` are the ids of the commits in it and where they are."""

    state: Any
    sequence: LogSequence = START
    version: int = 0
    size_bytes: int = 0
    commands: Mapping[str, LogSequence] = {}


class Handled(Struct, frozen=True, kw_only=True):
    """`sequence` is what a reader must have reached to see the effect. No facts: there was nothing to do."""

    sequence: LogSequence
    state: Any
    facts: tuple[Event, ...] = ()


class Handler:
    """Commands of one stream are taken one at a time within a process; between processes the log decides."""

    def __init__(
        self, log: Log, clock: Clock, deciders: Mapping[Kind, Decider], appended: Mapping[Kind, Appended] | None = None
    ) -> None:
        self._log = log
        self._clock = clock
        self._deciders = deciders
        self._appended = appended or {}
        self._kept: OrderedDict[StreamRef, Loaded] = OrderedDict()
        self._kept_bytes = 0
        self._turns: WeakValueDictionary[StreamRef, asyncio.Lock] = WeakValueDictionary()

    async def handle(self, stream: StreamRef, command: Any, cause: Cause, appended: Appended | None = None) -> Handled:
        """Raises what the aggregate's decide raises, CommitTooLarge, StreamMoved after MAX_ATTEMPTS, Unavailable.

        `appended` is told of the facts instead of whoever is usually told.
        """
        turn = self._turns.get(stream)
        if turn is None:
            turn = self._turns[stream] = asyncio.Lock()
        async with turn:
            handled = await self._decide_and_append(stream, command, cause)
        told = appended or self._appended.get(stream.kind)
        if handled.facts and told is not None:
            await told(stream, handled.facts, handled.state)
        return handled

    async def load(self, stream: StreamRef, head: LogSequence | None = None) -> Loaded:
        """The stream as of now. Whoever has just asked for its `head` spares the read when nothing is new."""
        kept = self._kept.get(stream)
        if kept is not None and head is not None and kept.sequence >= head:
            return kept
        return await self._catch_up(stream, kept or self._blank(stream))

    def kept(self, stream: StreamRef) -> Any | None:
        """The state of a stream as this process last saw it; None when it has not, or no longer."""
        kept = self._kept.get(stream)
        return None if kept is None else kept.state

    def forget(self, tenant_id: TenantId) -> None:
        """Keep nothing of the tenant: what was read of its content may not be known any more."""
        for stream in [stream for stream in self._kept if stream.tenant_id == tenant_id]:
            self._kept_bytes -= self._kept.pop(stream).size_bytes

    async def _decide_and_append(self, stream: StreamRef, command: Any, cause: Cause) -> Handled:
        loaded, certain = await self._first_look(stream, command)
        for attempt in range(MAX_ATTEMPTS):
            if (done := loaded.commands.get(cause.command_id)) is not None:
                return Handled(sequence=done, state=loaded.state)
            try:
                decided = await self._decide(stream, command, loaded.state)
            except FairleadError:
                if certain:
                    raise
                decided = _Decided([], loaded.state)
            facts = decided.facts
            if not facts and not certain:
                loaded, certain = await self._catch_up(stream, loaded), True
                continue
            if not facts:
                return Handled(sequence=loaded.sequence, state=loaded.state)
            try:
                return await self._append(stream, decided, loaded, cause)
            except StreamMoved:
                await asyncio.sleep(random.uniform(0, 0.002 * attempt))  # noqa: S311  # spreads rivals, guards nothing
                loaded, certain = await self._catch_up(stream, loaded), True
            except CommitTooLarge:
                command = self._deciders[stream.kind].smaller(command)
                if command is None:
                    raise
        raise StreamMoved(f"{stream.kind} {stream.id} kept moving")

    async def _first_look(self, stream: StreamRef, command: Any) -> tuple[Loaded, bool]:
        """What to decide on, and whether it is the stream as of now."""
        kept = self._kept.get(stream)
        if kept is None and not self._deciders[stream.kind].begins(command):
            return await self._catch_up(stream, self._blank(stream)), True
        return kept or self._blank(stream), False

    async def _decide(self, stream: StreamRef, command: Any, state: Any) -> "_Decided":
        decider = self._deciders[stream.kind]
        if decider.rules is None:
            return _decided(decider, command, state)
        rules = await decider.rules(stream, state, command)
        for _ in range(MAX_SUPPLIES):
            try:
                return _decided(decider, command, state, rules)
            except PlacesWanted as wanted:
                if decider.supply is None:
                    raise
                rules = await decider.supply(self, stream, rules, wanted)
        raise StreamMoved(f"{stream.kind} {stream.id} wants to know more and more")

    async def _append(self, stream: StreamRef, decided: "_Decided", loaded: Loaded, cause: Cause) -> Handled:
        facts = decided.facts
        commit: Commit[Any] = Commit(
            commit_id=cause.command_id,
            tenant_id=stream.tenant_id,
            kind=stream.kind,
            stream_id=stream.id,
            first_version=loaded.version + 1,
            at=self._clock.now(),
            actor=cause.actor,
            events=tuple(facts),
            causation_id=cause.causation_id,
            correlation_id=cause.correlation_id,
            trace_parent=cause.trace_parent,
        )
        decider = self._deciders[stream.kind]
        subject, marks = decider.subject(loaded.state, facts), decider.marks(loaded.state, facts, decided.rules)
        sequence = await self._log.append(commit, loaded.sequence, subject, marks)
        self._keep(stream, _moved(loaded, decided.state, commit, sequence, len(_encode(commit.events))))
        return Handled(sequence=sequence, state=decided.state, facts=commit.events)

    async def _catch_up(self, stream: StreamRef, loaded: Loaded) -> Loaded:
        for recorded in await self._log.read(stream, loaded.sequence):
            loaded = self._fold(stream, loaded, recorded)
        self._keep(stream, loaded)
        return loaded

    def _fold(self, stream: StreamRef, loaded: Loaded, recorded: AnyRecorded) -> Loaded:
        state = _folded(self._deciders[stream.kind], loaded.state, recorded.commit.events)
        return _moved(loaded, state, recorded.commit, recorded.sequence, len(recorded.body))

    def _blank(self, stream: StreamRef) -> Loaded:
        return Loaded(state=self._deciders[stream.kind].initial())

    def _keep(self, stream: StreamRef, loaded: Loaded) -> None:
        before = self._kept.pop(stream, None)
        if before is not None and before.sequence > loaded.sequence:
            loaded = before  # a slow read was overtaken
        self._kept_bytes -= before.size_bytes if before else 0
        if loaded.version == 0 or self._deciders[stream.kind].finished(loaded.state):
            return
        self._kept[stream] = loaded
        self._kept_bytes += loaded.size_bytes
        while len(self._kept) > KEPT_STREAMS or (self._kept_bytes > KEPT_BYTES and len(self._kept) > 1):
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.size_bytes


class _Decided(NamedTuple):
    """`state` is where the facts lead, `rules` what they were decided by, where there are any."""

    facts: list[Any]
    state: Any
    rules: Any = None


def _decided(decider: Decider, command: Any, state: Any, *rules: Any) -> _Decided:
    if decider.unfolded is not None:
        return _Decided(*decider.unfolded(command, state, *rules), *rules)
    facts = decider.decide(command, state, *rules)
    return _Decided(facts, _folded(decider, state, facts), *rules)


def _folded(decider: Decider, state: Any, facts: Sequence[Any]) -> Any:
    for fact in facts:
        state = decider.evolve(state, fact)
    return state


def _moved(loaded: Loaded, state: Any, commit: Commit[Any], sequence: LogSequence, size_bytes: int) -> Loaded:
    return replace(
        loaded,
        state=state,
        sequence=sequence,
        version=commit.last_version,
        size_bytes=loaded.size_bytes + size_bytes,
        commands={**loaded.commands, commit.commit_id: sequence},
    )
