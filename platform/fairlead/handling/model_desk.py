"""Where doors ask models: the same choice, limits, budgets and records as for the calls that runs make themselves."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.envelope import StreamRef
from fairlead.domain.models.answer import Delta, Ended, Finished, PartBegan, PartGrew
from fairlead.domain.models.assembling import Assembly
from fairlead.domain.models.errors import CutOff
from fairlead.domain.models.failures import ModelFailed
from fairlead.domain.runs import events as e
from fairlead.domain.runs import states as s
from fairlead.domain.runs.errors import NoSuchRun, RunIsPaused, RunNotActive
from fairlead.domain.runs.model_requests import asked_of_model, with_bound
from fairlead.domain.runs.status import said_of
from fairlead.handling.dispatch import Dispatch
from fairlead.handling.handler import Handled, Handler
from fairlead.handling.model_asking import Asking, Later, MovedOn, Refused, Sent, Stopped
from fairlead.handling.model_attempts import ModelAttempts
from fairlead.handling.model_door import Answered, DoorCall, ModelCallUnderWay, ModelRefused, Told
from fairlead.handling.rulebook import Rulebook
from fairlead.ports import Answering, Log

GONE = ModelFailed(
    "permanent", "caller_gone", "whoever asked went away before the answer was whole", may_be_charged=True
)
NOT_SENT = ModelFailed("permanent", "caller_gone", "whoever asked went away before anything was sent")
_QUIET = frozenset({e.ModelCallRequested, e.ModelCallRouted, e.ModelCallCompleted, e.GuardrailFound})


class ModelDesk:
    """Implements `ModelDoor`. One for each process."""

    def __init__(
        self, *, log: Log, handler: Handler, dispatch: Dispatch, rulebook: Rulebook, attempts: ModelAttempts
    ) -> None:
        self._log = log
        self._handler = handler
        self._dispatch = dispatch
        self._rulebook = rulebook
        self._attempts = attempts
        self._left: set[asyncio.Task[Any]] = set()

    async def ask(self, call: DoorCall) -> Answered:
        asking = await self._asking(call)
        while True:
            sent = await self._sent(asking)
            began = time.perf_counter()  # a duration, not a point in time
            try:
                answer = await self._attempts.ask(sent)
            except ModelFailed as failed:
                await self._broke_off(sent, failed, began)
            except asyncio.CancelledError:
                self._leave(self._attempts.gave_up(sent, GONE, _us_since(began), "nothing", over=True))
                raise
            else:
                handled = await asyncio.shield(self._attempts.answered(sent, answer, _us_since(began)))
                return Answered(answer=answer, told=_told(sent, handled))

    @asynccontextmanager
    async def stream(self, call: DoorCall) -> AsyncIterator["Streaming"]:
        asking = await self._asking(call)
        while True:
            sent = await self._sent(asking)
            async with AsyncExitStack() as held:
                streaming = Streaming(self._attempts, sent)
                try:
                    await streaming.begin(held)
                except ModelFailed as failed:
                    await self._broke_off(sent, failed, streaming.began)
                    continue
                except asyncio.CancelledError:
                    self._leave(streaming.left())
                    raise
                try:
                    yield streaming
                finally:
                    if not streaming.is_over:
                        self._leave(streaming.left())
                return

    async def written(self) -> None:
        """What callers have left is recorded and settled, for whoever stops the process."""
        await asyncio.gather(*self._left, return_exceptions=True)

    def _leave(self, recording: Coroutine[Any, Any, Any]) -> None:
        """Recorded by itself: nobody waits for it any more."""
        task = asyncio.ensure_future(recording)
        self._left.add(task)
        task.add_done_callback(self._left.discard)

    async def _broke_off(self, sent: Sent, failed: ModelFailed, began: float) -> None:
        """Raises the failure where no other attempt follows."""
        handled = await asyncio.shield(self._attempts.broke_off(sent, failed, _us_since(began), waits=False))
        state = handled.state
        if not isinstance(state, s.Active) or sent.routed.call_id not in state.model_calls:
            raise failed

    async def _asking(self, call: DoorCall) -> Asking:
        """Raises NoSuchRun, RunNotActive, ModelCallUnderWay, Unavailable."""
        tenant_stream = StreamRef(call.run.tenant_id, "tenant", call.run.tenant_id)
        run_head, tenant_head = await self._log.heads([call.run, tenant_stream])
        state: s.RunState = (await self._handler.load(call.run, run_head)).state
        tenant = (await self._handler.load(tenant_stream, tenant_head)).state
        self._rulebook.saw(tenant)
        if isinstance(state, s.Ended):
            raise RunNotActive(state.last.run_id, state.outcome)
        if not isinstance(state, s.Active):
            raise NoSuchRun("no such run")
        if call.call_id in state.model_calls:
            raise ModelCallUnderWay(f"the call {call.call_id} is under way")
        requested = asked_of_model(
            call.request,
            call_id=call.call_id,
            purpose="door",
            route=call.route,
            candidates=call.candidates,
            tools=call.tools,
            attempts=call.attempts,
            door=call.door,
        )
        return Asking(
            call.run,
            requested,
            with_bound(call.request),
            call.actor,
            state=state,
            tenant=tenant,
            begun=False,
            appended=self._appended,
            task_class=call.task_class,
        )

    async def _sent(self, asking: Asking) -> Sent:
        """Raises ModelRefused, RunNotActive, RunIsPaused, Unavailable."""
        sending = asyncio.ensure_future(self._attempts.send(asking))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            self._leave(self._unsent(sending))
            raise
        except Later as later:
            refused, wait_s = _refusal_of(later), later.wait_s
        except Stopped as stopped:
            refused, wait_s = Refused("switch", f"switch.{stopped.stop.mode}", str(stopped)), None
        except Refused as said:
            refused, wait_s = said, None
        except MovedOn as moved:
            raise _why_not(moved.state) from moved
        await self._attempts.refuse(asking, refused)
        raise ModelRefused(refused.by, refused.code, str(refused), wait_s)

    async def _unsent(self, sending: "asyncio.Future[Sent]") -> None:
        """Whoever asked went away before anything was sent."""
        sent = await sending
        await self._attempts.gave_up(sent, NOT_SENT, 0, "nothing", over=True)

    async def _appended(self, run: StreamRef, facts: Sequence[Any], state: Any) -> None:
        """Nothing is owed to a call that a door makes; what else may follow is sent."""
        if not all(type(fact) in _QUIET for fact in facts):
            await self._dispatch.run_appended(run, facts, state)


class Streaming:
    """Implements `DoorStream`."""

    def __init__(self, attempts: ModelAttempts, sent: Sent) -> None:
        self._attempts = attempts
        self._sent = sent
        self._assembly = Assembly()
        self._early: list[Delta] = []
        self._pieces: AsyncIterator[Delta] | None = None
        self._answering: Answering | None = None
        self._has_finished = False
        self._first_token_us = 0
        self.began = time.perf_counter()
        self.is_over = False
        self.told: Told | None = None

    @property
    def provider(self) -> str:
        return self._sent.routed.provider

    @property
    def model(self) -> str:
        return self._sent.routed.model

    async def begin(self, held: AsyncExitStack) -> None:
        """Until there is something to say: before that another model may still be asked. Raises ModelFailed."""
        self._answering = await held.enter_async_context(self._attempts.stream(self._sent))
        self._pieces = aiter(self._answering)
        while True:
            delta = await anext(self._pieces)
            self._take(delta)
            self._early.append(delta)
            if isinstance(delta, PartBegan | PartGrew | Finished | Ended):
                self._first_token_us = _us_since(self.began)
                return

    async def __aiter__(self) -> AsyncIterator[Delta]:
        assert self._pieces is not None, "it has begun"
        for delta in self._early:
            yield await self._given(delta)
        if self.is_over:
            return
        try:
            async for delta in self._pieces:
                self._take(delta)
                yield await self._given(delta)
        except ModelFailed as failed:
            self.is_over = True
            await asyncio.shield(
                self._attempts.gave_up(self._sent, failed, _us_since(self.began), "nothing", over=True)
            )
            raise

    def _take(self, delta: Delta) -> None:
        self._assembly.add(delta)
        self._has_finished = self._has_finished or isinstance(delta, Finished)

    async def _given(self, delta: Delta) -> Delta:
        """The last piece is given once the whole is on the log."""
        if isinstance(delta, Ended):
            self.is_over = True
            self.told = await asyncio.shield(self._recorded())
        return delta

    async def _recorded(self) -> Told:
        try:
            answer = self._assembly.answer()
        except CutOff as cut:
            failed = ModelFailed("transient", "bad_answer", str(cut), may_be_charged=True)
            await self._attempts.gave_up(self._sent, failed, _us_since(self.began), "nothing", over=True)
            raise failed from cut
        handled = await self._attempts.answered(
            self._sent,
            answer,
            _us_since(self.began),
            self._first_token_us,
            streamed=True,
            windows=self._answering.windows if self._answering is not None else (),
        )
        return _told(self._sent, handled)

    async def left(self) -> None:
        """Nobody listens any more. What was used is what the provider had said of a whole answer, or else the most
        that it can be."""
        usage = self._assembly.usage if self._has_finished else None
        await self._attempts.gave_up(self._sent, GONE, _us_since(self.began), "nothing", usage, over=True)


def _told(sent: Sent, handled: Handled) -> Told:
    facts = [fact for fact in handled.facts if isinstance(fact, e.ModelCallCompleted)]
    done = facts[0] if facts else None
    return Told(
        call_id=sent.routed.call_id,
        provider=sent.routed.provider,
        model=sent.routed.model,
        attempt=sent.routed.attempt,
        cost_usd_micros=done.cost_usd_micros if done else sent.routed.reserved_usd_micros,
        usage=done.usage if done else None,
        sequence=LogSequence(handled.sequence),
        route_version=sent.routed.route_version,
        cached=done.cached if done else "",
    )


def _refusal_of(later: Later) -> Refused:
    """Who comes through a door does not wait here."""
    by: e.ModelRefusedBy = "budget" if later.held_for == "budget" else "limit"
    return Refused(by, later.code, str(later))


def _why_not(state: s.RunState) -> Exception:
    match state:
        case s.Ended(ending=e.RunCapped() as capped):
            code, said = said_of(capped)
            return ModelRefused("limit", code, said or code)
        case s.Ended():
            return RunNotActive(state.last.run_id, state.outcome)
        case s.Active(limit_reached=e.LimitReached(limit=limit)):
            return ModelRefused("limit", f"limit_{limit}", "the run waits for people to give it more room")
        case _:
            return RunIsPaused("the run has moved on")


def _us_since(began: float) -> int:
    return round((time.perf_counter() - began) * 1_000_000)
