"""Attempts of a model call: a model is chosen, what it may cost is reserved, where it goes is on the log, it is asked,
and what came of it is recorded and settled. The one way to a model, for runs and for doors.

What may cost is reserved while the commit that says so is under way: both are there before anything is sent.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import msgspec
import structlog
from fairlead_sdk.contract import Effect
from fairlead_sdk.models import Ability

from fairlead.domain.budgets.amounts import Amount
from fairlead.domain.budgets.commands import Reserve
from fairlead.domain.budgets.decide import Refusal
from fairlead.domain.errors import StreamMoved, Unavailable
from fairlead.domain.ids import CommandId
from fairlead.domain.models.answer import ModelAnswer, Usage
from fairlead.domain.models.failures import ModelFailed, Window
from fairlead.domain.money import UsdMicros
from fairlead.domain.routing.asking import Choice, NoRoute, Tried, Wanted
from fairlead.domain.routing.document import MAX_ATTEMPTS, Candidate, Fallback, RouteDocument
from fairlead.domain.routing.escalating import is_unsure
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.answers import text_of, value_in
from fairlead.domain.runs.permit import forbidden
from fairlead.domain.runs.routing import LOW_CONFIDENCE, routed_by, tried_in, wanted_by
from fairlead.domain.runs.spending import spender_of
from fairlead.domain.runs.states import Active, RunState
from fairlead.domain.runs.thinking import cost_left
from fairlead.domain.switches.verdict import Where
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.answer_cache import Hit, Recalled
from fairlead.handling.budget_desk import BudgetDesk, Reserved
from fairlead.handling.handler import Cause, Handled, Handler
from fairlead.handling.model_asking import Asking, Later, MovedOn, Refused, Router, Sent, Stopped
from fairlead.handling.model_entrance import Ended
from fairlead.handling.model_recalling import GivenAgain, Recalling, answer_of, taken_of
from fairlead.handling.model_router import Taken
from fairlead.handling.model_ways import RECORDED, Bound, ModelWays, tool_name
from fairlead.handling.switching import Brake
from fairlead.ports import Answering, Clock, Ids, Models

GRACE_S = 30.0  # for all that is around an attempt
AGAIN_S = 1.0  # between two tries to record what has happened
ASK_AGAIN_S = 5.0  # how soon a call that waits for more of a budget looks again
MOST_CHOICES = 20  # for one attempt
RETRYABLE = ("transient", "rate_limited", "timeout")

_log = structlog.get_logger()


class ModelAttempts:
    """One for each process; `worker` is recorded with each attempt."""

    def __init__(
        self,
        *,
        handler: Handler,
        router: Router,
        ways: ModelWays,
        models: Models,
        recorded: Models,
        budgets: BudgetDesk,
        brake: Brake,
        clock: Clock,
        ids: Ids,
        worker: str,
        recalling: Recalling | None = None,
    ) -> None:
        self._handler = handler
        self._router = router
        self._ways = ways
        self._models = models
        self._kept_answers = recorded
        self._budgets = budgets
        self._brake = brake
        self._clock = clock
        self._ids = ids
        self.worker = worker
        self._recalling = recalling

    async def send(self, asking: Asking) -> Sent:
        """The next attempt, recorded and reserved.

        Raises Refused, Later, Stopped, MovedOn, Unavailable, StreamMoved.
        """
        while True:
            self._look(asking, "")
            if (no := forbidden(asking.state, asking.tenant)) is not None:
                raise Refused("permission", no.rule_id, no.reason)
            recalled = await self._recalling.recall(asking) if self._recalling is not None else None
            if recalled is not None and recalled.hit is not None:
                return await self._given_again(asking, recalled, recalled.hit)
            taken = await self._take(asking)
            sent = None
            try:
                self._look(asking, taken.choice.provider)
                sent = await self._recorded(asking, taken, recalled)
            finally:
                if sent is None:
                    await self._router.ended(taken, None)
            if sent is not None:
                return sent

    async def _given_again(self, asking: Asking, recalled: Recalled, hit: Hit) -> Sent:
        """Recorded like an attempt, for which nobody is asked and nothing reserved."""
        taken = taken_of(recalled, hit, asking.attempt)
        until = self._clock.now() + timedelta(seconds=GRACE_S)
        routed = routed_by(taken.choice, asking.requested.call_id, asking.attempt, until, self.worker)
        handled = await self._record_route(asking, routed, None)
        return Sent(
            asking=asking,
            routed=routed,
            taken=taken,
            bound=Amount(),
            reserved=None,
            sequence=handled.sequence,
            recalled=recalled,
        )

    def _look(self, asking: Asking, provider: str) -> None:
        """Raises Stopped; SwitchesUnknown, which is Unavailable."""
        start = asking.state.start
        tool = tool_name(provider) if provider else ""
        where = Where(asking.run.tenant_id, start.environment_id, start.workspace_id, start.workflow_id, tool)
        if (stop := self._brake.stop_of("call", Effect.READ, where)) is not None:
            raise Stopped(stop)

    async def _take(self, asking: Asking) -> Taken:
        """Within what the run has left, if any model is; else whichever, and the run's limit says what follows."""
        left = cost_left(asking.state)
        most = left if asking.most_usd_micros is None else min(left, asking.most_usd_micros)
        said = await self._taken(asking, most)
        if isinstance(said, NoRoute) and said.by == "budget" and asking.most_usd_micros is None:
            said = await self._taken(asking, None)
        if isinstance(said, Taken):
            return said
        if said.retry_after_s is not None:
            raise Later("rate", said.route, said.retry_after_s, said.code)
        raise Refused(said.by, said.code, said.reason)

    async def _taken(self, asking: Asking, most_usd_micros: int | None) -> Taken | NoRoute:
        wanted = self._wanted(asking, most_usd_micros)
        return await self._router.take(asking.run.tenant_id, _route(asking), wanted, tried_in(asking.failed))

    def _wanted(self, asking: Asking, most_usd_micros: int | None) -> Wanted:
        return wanted_by(
            asking.state, asking.requested, asking.request, asking.failed, most_usd_micros, asking.task_class
        )

    async def _recorded(self, asking: Asking, taken: Taken, recalled: Recalled | None) -> Sent | None:
        """None: the budget has no room for this one, and there may be room for another."""
        total_s = await self._total_s(asking, taken.choice)
        until = self._clock.now() + timedelta(seconds=total_s + GRACE_S)
        routed = routed_by(taken.choice, asking.requested.call_id, asking.attempt, until, self.worker)
        bound = Amount(usd_micros=routed.reserved_usd_micros, tokens=asking.requested.max_tokens, calls=1)
        keeps = isinstance(asking.tenant, Tenant) and asking.tenant.keeps_budgets
        call = asking.call
        said: Reserved | Refusal | None = None
        if keeps and call is not None and call.held is not None:  # it was refused before: only room is worth a commit
            said = await self._reserve(asking, routed, bound, quiet=True)
            if isinstance(said, Refusal):
                raise Later("budget", _budget_of(said), ASK_AGAIN_S, said.code)
            handled = await self._record_route(asking, routed, said)
        elif keeps:
            said, handled = await self._both(asking, routed, bound)
        else:
            handled = await self._record_route(asking, routed, None)
        if isinstance(said, Refusal):
            await self._without_room(asking, routed, said)
            return None
        return Sent(
            asking=asking,
            routed=routed,
            taken=taken,
            bound=bound,
            reserved=said,
            sequence=handled.sequence,
            recalled=recalled,
        )

    async def _total_s(self, asking: Asking, choice: Choice) -> float:
        try:
            return await self._ways.total_s(asking.run.tenant_id, choice.provider, asking.requested.timeout_s)
        except ModelFailed as missing:
            raise Refused("route", missing.code, str(missing)) from missing

    async def _both(
        self, asking: Asking, routed: e.ModelCallRouted, bound: Amount
    ) -> tuple[Reserved | Refusal, Handled]:
        """Reserved and recorded at once. Whichever fails, nothing stays reserved for what is not sent."""
        reserving = asyncio.ensure_future(self._reserve(asking, routed, bound))
        try:
            handled = await self._record_route(asking, routed, None)
        except BaseException:
            reserving.add_done_callback(lambda done: self._give_back(asking, done))
            raise
        try:
            return await reserving, handled
        except (Unavailable, StreamMoved) as unknown:
            await self._unsent(asking, routed, unknown.code, str(unknown))
            raise

    def _give_back(self, asking: Asking, done: "asyncio.Future[Reserved | Refusal]") -> None:
        if not done.cancelled() and done.exception() is None and isinstance(said := done.result(), Reserved):
            self._budgets.release(asking.run.tenant_id, said.reservation_id)

    async def _reserve(
        self, asking: Asking, routed: e.ModelCallRouted, bound: Amount, *, quiet: bool = False
    ) -> Reserved | Refusal:
        wanted = Reserve(
            reservation_id=f"{routed.call_id}.{routed.attempt}",
            spender=spender_of(asking.state, routed.model),
            bound=bound,
            until=routed.until,
            quiet=quiet,
        )
        return await self._budgets.reserve(asking.run.tenant_id, wanted)

    async def _without_room(self, asking: Asking, routed: e.ModelCallRouted, refused: Refusal) -> None:
        """It was on the log before anybody knew that a budget has no room: it was not sent. Raises Refused, Later."""
        budget = _budget_of(refused)
        reason = f"budget {budget} has {refused.left} {refused.dimension} left, the call may need {refused.asked}"
        await self._unsent(asking, routed, refused.code, reason)
        if refused.at_cap == "cheaper" and refused.dimension == "usd_micros":
            left = min(refused.left, routed.reserved_usd_micros - 1)
            if left > 0 and (asking.most_usd_micros is None or left < asking.most_usd_micros):
                asking.most_usd_micros = left
                if isinstance(await self._choice(asking, asking.failed, left), Choice):
                    return
        if refused.at_cap == "ask":
            raise Later("budget", budget, ASK_AGAIN_S, refused.code)
        raise Refused("budget", refused.code, reason)

    async def _unsent(self, asking: Asking, routed: e.ModelCallRouted, code: str, reason: str) -> None:
        command = c.RecordModelFailure(
            call_id=routed.call_id,
            attempt=routed.attempt,
            error_class="budget",
            code=code,
            message=reason,
            latency_us=0,
            worker=self.worker,
            now=self._clock.now(),
            then="elsewhere",
        )
        await self._tell(asking, command)

    async def _choice(
        self, asking: Asking, failed: tuple[e.ModelCallAttemptFailed, ...], most_usd_micros: int | None, *more: Tried
    ) -> Choice | NoRoute:
        wanted = wanted_by(asking.state, asking.requested, asking.request, failed, most_usd_micros, asking.task_class)
        return await self._router.choose(asking.run.tenant_id, _route(asking), wanted, [*tried_in(failed), *more])

    async def _record_route(self, asking: Asking, routed: e.ModelCallRouted, reserved: Reserved | None) -> Handled:
        """Raises MovedOn where the run wants it no more."""
        now = self._clock.now()
        command: c.Thinking = c.RouteModelCall(routed=routed, lost=asking.lost, now=now)
        if not asking.begun:
            command = c.BeginModelCall(requested=asking.requested, routed=routed, now=now)
        try:
            handled = await self._handle(asking, command)
        except BaseException:
            if reserved is not None:
                self._budgets.release(asking.run.tenant_id, reserved.reservation_id)
            raise
        asking.begun, asking.lost = True, False
        state: RunState = handled.state
        call = state.model_calls.get(routed.call_id) if isinstance(state, Active) else None
        if call is None or call.routed is None or (call.attempt, call.routed.worker) != (routed.attempt, self.worker):
            if reserved is not None:
                self._budgets.release(asking.run.tenant_id, reserved.reservation_id)
            raise MovedOn(state)
        assert isinstance(state, Active), "it has the call"
        asking.state = state
        return handled

    async def answered(
        self,
        sent: Sent,
        answer: ModelAnswer,
        latency_us: int,
        first_token_us: int = 0,
        *,
        streamed: bool = False,
        windows: tuple[Window, ...] = (),
    ) -> Handled:
        """Recorded; then settled. Tries for as long as the process lives."""
        cost = self._cost(sent, answer.usage)
        command = c.RecordModelAnswer(
            call_id=sent.routed.call_id,
            attempt=sent.routed.attempt,
            answer=answer,
            cost_usd_micros=cost,
            latency_us=latency_us,
            first_token_us=first_token_us,
            streamed=streamed,
            worker=self.worker,
            now=self._clock.now(),
            cached=sent.hit.how if sent.hit is not None else "",
            saved_usd_micros=sent.hit.saved_usd_micros if sent.hit is not None else UsdMicros(0),
        )
        await self._router.ended(sent.taken, Ended(windows=windows))
        handled = await self._tell(sent.asking, command)
        self._keep(sent, answer, handled, cost, latency_us)
        tokens = sent.bound.tokens if answer.usage is None else answer.usage.input_tokens + answer.usage.output_tokens
        self._settle(sent, Amount(usd_micros=cost, tokens=tokens, calls=1))
        return handled

    async def escalated(self, sent: Sent, answer: ModelAnswer, latency_us: int) -> bool:
        """Whether a model of a higher tier is asked, for this one is less sure than its route asks for. The answer was
        paid for, and is not taken. Where nobody above can be asked, it is taken as it is."""
        asking, routed = sent.asking, sent.routed
        if sent.hit is not None or not routed.route_version or asking.request.answer is None:
            return False
        value, is_json = value_in(text_of(msgspec.to_builtins(answer)))
        route = await self._router.route(asking.run.tenant_id, asking.requested.route)
        if not is_json or route is None or not is_unsure(route.document, value):
            return False
        unsure = e.ModelCallAttemptFailed(
            call_id=routed.call_id,
            attempt=routed.attempt,
            provider=routed.provider,
            model=routed.model,
            candidate=routed.candidate,
            error_class="validation",
            code=LOW_CONFIDENCE,
            message="the model was less sure than its route asks for",
            latency_us=latency_us,
        )
        left = cost_left(asking.state) + routed.reserved_usd_micros - self._cost(sent, answer.usage)
        above = await self._choice(asking, (*asking.failed, unsure), left)
        if not isinstance(above, Choice) or above.tier <= sent.taken.choice.tier:
            return False
        if routed.attempt >= asking.requested.attempts:
            return False
        await self._router.ended(sent.taken, Ended())
        failed = ModelFailed("validation", unsure.code, unsure.message, may_be_charged=True)
        await self.gave_up(sent, failed, latency_us, "elsewhere", answer.usage)
        return True

    def _keep(self, sent: Sent, answer: ModelAnswer, handled: Handled, cost: UsdMicros, latency_us: int) -> None:
        """What was good enough for this call, for the next that asks the same."""
        recalled = sent.recalled
        if self._recalling is None or recalled is None or recalled.hit is not None:
            return
        if any(isinstance(fact, e.ModelCallCompleted) for fact in handled.facts):
            self._recalling.keep(recalled, sent.taken, answer, cost, latency_us)

    async def broke_off(self, sent: Sent, failed: ModelFailed, latency_us: int, *, waits: bool) -> Handled:
        """Recorded and settled; what follows is in the state. `waits`: it may be asked again after a pause."""
        await self._router.ended(sent.taken, _ended(failed))
        then = await self._what_follows(sent, failed, waits=waits)
        return await self.gave_up(sent, failed, latency_us, then)

    async def gave_up(
        self,
        sent: Sent,
        failed: ModelFailed,
        latency_us: int,
        then: c.Then,
        usage: Usage | None = None,
        *,
        over: bool = False,
    ) -> Handled:
        """`usage`: what the provider had said of it by then. `over`: its place is still to be given back."""
        if over:
            await self._router.ended(sent.taken, _ended(failed))
        may_be_charged = failed.may_be_charged or usage is not None
        cost = self._cost(sent, usage) if may_be_charged else UsdMicros(0)
        tokens = sent.bound.tokens if usage is None else usage.input_tokens + usage.output_tokens
        command = c.RecordModelFailure(
            call_id=sent.routed.call_id,
            attempt=sent.routed.attempt,
            error_class=failed.error_class,
            code=failed.code,
            message=str(failed),
            latency_us=latency_us,
            worker=self.worker,
            now=self._clock.now(),
            then=then,
            charged_usd_micros=cost,
            charged_tokens=tokens if may_be_charged else 0,
            retry_after_s=failed.retry_after_s,
        )
        handled = await self._tell(sent.asking, command)
        self._settle(sent, Amount(usd_micros=cost, tokens=command.charged_tokens, calls=1))
        return handled

    async def _what_follows(self, sent: Sent, failed: ModelFailed, *, waits: bool) -> c.Then:
        """Whether another can be asked at once, as far as it can be told before the failure is on the log."""
        asking, routed = sent.asking, sent.routed
        tried = Tried(candidate=routed.candidate, error_class=failed.error_class)
        said = await self._choice(asking, asking.failed, None, tried)
        if isinstance(said, Choice):
            return "elsewhere"
        if not waits or failed.error_class not in RETRYABLE or said.code in ("attempts_used", "no_fallback"):
            return "nothing"
        return "again"

    async def refuse(self, asking: Asking, refused: Refused) -> Handled:
        """On the run's history."""
        call_id, now = asking.requested.call_id, self._clock.now()
        fact = e.ModelCallRefused(call_id=call_id, by=refused.by, code=refused.code, reason=str(refused))
        command: c.Thinking = c.RefuseModelCall(
            call_id=call_id, by=refused.by, code=refused.code, reason=str(refused), now=now
        )
        if not asking.begun:
            command = c.BeginModelCall(requested=asking.requested, routed=fact, now=now)
        elif asking.lost:
            command = self._given_up(asking, refused)
        handled = await self._handle(asking, command)
        asking.begun = True
        return handled

    def _given_up(self, asking: Asking, refused: Refused) -> c.RecordModelFailure:
        """Somebody has sent it and is gone: what that may have cost counts, and nobody may ask again."""
        call = asking.call
        assert call is not None, "what is lost was begun"
        return c.RecordModelFailure(
            call_id=asking.requested.call_id,
            attempt=call.attempt,
            error_class="permanent",
            code=refused.code,
            message=str(refused),
            latency_us=0,
            worker=self.worker,
            now=self._clock.now(),
            then="nothing",
            charged_usd_micros=UsdMicros(call.reserved_usd_micros),
            charged_tokens=asking.requested.max_tokens,
        )

    async def hold(self, asking: Asking, later: Later) -> None:
        """Once for each attempt."""
        now = self._clock.now()
        command = c.HoldModelCall(
            call_id=asking.requested.call_id,
            held_for=later.held_for,
            subject=later.subject,
            until=now + timedelta(seconds=later.wait_s),
            now=now,
        )
        await self._handle(asking, command)

    def _bound(self, sent: Sent) -> Bound:
        asking = sent.asking
        return Bound(asking.run.tenant_id, asking.state.start, sent.routed, asking.requested.timeout_s)

    async def ask(self, sent: Sent) -> ModelAnswer:
        """Raises ModelFailed."""
        if sent.hit is not None:
            return answer_of(sent.hit)
        try:
            async with self._ways.open(self._bound(sent), sent.asking.request) as order:
                answer: ModelAnswer = await self._models_of(sent).ask(order)
                return answer
        except (Unavailable, StreamMoved) as unavailable:  # before anything was sent
            raise ModelFailed("transient", unavailable.code, str(unavailable)) from unavailable

    @asynccontextmanager
    async def stream(self, sent: Sent) -> AsyncIterator[Answering]:
        """Raises ModelFailed."""
        if sent.hit is not None:
            yield GivenAgain(answer_of(sent.hit))
            return
        async with AsyncExitStack() as held:
            try:
                order = await held.enter_async_context(self._ways.open(self._bound(sent), sent.asking.request))
            except (Unavailable, StreamMoved) as unavailable:
                raise ModelFailed("transient", unavailable.code, str(unavailable)) from unavailable
            yield await held.enter_async_context(self._models_of(sent).stream(order))

    def _models_of(self, sent: Sent) -> Models:
        """Answers that were kept are given for those who ask for them by name, and for nobody else."""
        return self._kept_answers if sent.routed.provider == RECORDED else self._models

    async def _tell(self, asking: Asking, command: c.Thinking) -> Handled:
        """What has happened is recorded for as long as this process lives."""
        cause = self._cause(asking)
        while True:
            try:
                return await self._handle(asking, command, cause)
            except (Unavailable, StreamMoved) as again:
                _log.warning("model_call_not_recorded_yet", call_id=asking.requested.call_id, reason=str(again))
                await asyncio.sleep(AGAIN_S)

    async def _handle(self, asking: Asking, command: c.Thinking, cause: Cause | None = None) -> Handled:
        handled = await self._handler.handle(asking.run, command, cause or self._cause(asking), asking.appended)
        asking.newest = handled.state
        if isinstance(handled.state, Active):
            asking.state = handled.state
        return handled

    def _cause(self, asking: Asking) -> Cause:
        return Cause(actor=asking.actor, command_id=CommandId(self._ids.new("cmd")), correlation_id=asking.run.id)

    def _settle(self, sent: Sent, actual: Amount) -> None:
        if sent.reserved is not None and sent.reserved.counted:
            self._budgets.settle(sent.asking.run.tenant_id, sent.reserved.reservation_id, actual)

    @staticmethod
    def _cost(sent: Sent, usage: Usage | None) -> UsdMicros:
        return UsdMicros(sent.bound.usd_micros) if usage is None else sent.taken.choice.priced.rates.cost(usage)


def _route(asking: Asking) -> str | RouteDocument:
    """The tenant's, or one of the candidates that the workflow names: the next where one has failed."""
    candidates = asking.requested.candidates
    if not candidates:
        return asking.requested.route
    return RouteDocument(
        fairlead_route=1,
        candidates=tuple(
            Candidate(
                id=f"named_{at}",
                provider=each.provider,
                model=each.model,
                connection=each.connection or None,
                tier=at,
                abilities=tuple(Ability),
            )
            for at, each in enumerate(candidates)
        ),
        fallback=Fallback(max_attempts=MAX_ATTEMPTS),
    )


def _ended(failed: ModelFailed) -> Ended:
    return Ended(
        error_class=failed.error_class,
        code=failed.code,
        windows=failed.windows,
        retry_after_s=failed.retry_after_s,
    )


def _budget_of(refused: Refusal) -> str:
    return refused.part.budget if refused.part else "the book"
