"""What becomes of a run's model calls: sent within limits and budgets, failed over, taken over, and settled."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from fairlead.domain.envelope import StreamRef
from fairlead.domain.models.failures import ModelFailed
from fairlead.domain.models.request import Sampling
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs import obligations as o
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.states import Active, NotStarted
from fairlead.domain.tenants.commands import DisablePrincipal
from fairlead.handling import model_attempts
from tests.support.asked_models import ASK, DEAR, FIRST, SECOND, Scripted, Thinkers, capped, spent
from tests.support.books import Books
from tests.support.clock import T0
from tests.support.documents import Plain
from tests.support.platform import AGENT, Platform, ended, running
from tests.support.tenancy import BY_OWNER, TENANT
from tests.support.thinking import SUM, said

BROKEN = ModelFailed("transient", "http_503", "the provider answered 503")
DOUBTFUL = ModelFailed("timeout", "timeout", "the provider gave no whole answer in time", may_be_charged=True)
MOST = 1_024  # micros: a token that may be written costs one


def asking(**changes: Any) -> Plain:
    return {"id": "ask", "model": ASK | changes}


def thinking(*steps: Plain, **fields: Any) -> Platform:
    return Platform(Books().keyed(), steps=list(steps or (asking(),)), tools=[], writes=[], **fields)


async def done(platform: Platform, models: Scripted, **options: Any) -> Any:
    """The state of a run that has ended."""
    await platform.prepare()
    return await worked(platform, models, await platform.start(), **options)


async def worked(platform: Platform, models: Scripted, run: Any, holds: Any = ended, **options: Any) -> Any:
    thinkers = Thinkers(platform, models, "w1")
    async with running(thinkers.worker(**options).run(), thinkers.gates.run()):
        return await platform.until(run, holds)


async def facts(platform: Platform, state: Any) -> list[Any]:
    last = state if isinstance(state, Active) else state.last
    run = await platform.log.read(StreamRef(TENANT, "run", last.run_id))
    return [event for recorded in run for event in recorded.commit.events]


def of(kind: type[Any], history: list[Any]) -> list[Any]:
    return [fact for fact in history if isinstance(fact, kind)]


async def test_a_step_asks_a_model_and_goes_on_with_its_answer() -> None:
    models = Scripted(said("42"))
    platform = thinking(asking(), result={"said": "${steps.ask.output.text}"})
    state = await done(platform, models)
    assert state.ending == e.RunCompleted(output={"said": "42"})
    (asked,) = models.asked
    assert (asked.request.model, asked.request.sampling) == ("m", Sampling(max_output_tokens=MOST))
    history = await facts(platform, state)
    (routed,) = of(e.ModelCallRouted, history)
    assert (routed.provider, routed.reserved_usd_micros, routed.price_version) == (FIRST, MOST, "2026-03")
    (completed,) = of(e.ModelCallCompleted, history)
    assert (completed.cost_usd_micros, completed.usage) == (5, e.TokensUsed(input=20, output=5))


async def test_expressions_of_a_prompt_are_filled_in_and_an_answer_is_held_to_its_schema() -> None:
    models = Scripted(said("three"), said('{"sum": 3}'))
    asked = asking(prompt="Add ${string(input.a)} and two.", system="You add.", answer=SUM)
    platform = thinking(
        asked,
        input={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        result={"sum": "${steps.ask.output.value.sum}"},
    )
    await platform.prepare()
    state = await worked(platform, models, await platform.start({"a": 1}))
    assert state.ending == e.RunCompleted(output={"sum": 3})
    assert [message.role for message in models.asked[0].request.messages] == ["system", "user"]
    assert "Add 1 and two." in str(models.asked[0].request.messages[1])
    assert state.last.cost_usd_micros == 10


async def test_when_a_provider_fails_the_next_is_asked_and_both_are_on_record() -> None:
    models = Scripted(BROKEN, said("42"))
    platform = thinking()
    state = await done(platform, models)
    assert state.outcome == "completed"
    history = await facts(platform, state)
    assert [each.provider for each in of(e.ModelCallRouted, history)] == [FIRST, SECOND]
    (failed,) = of(e.ModelCallAttemptFailed, history)
    assert (failed.code, failed.charged_usd_micros, failed.candidate) == ("http_503", 0, "named_0")


async def test_a_call_whose_providers_have_all_failed_is_tried_again_after_a_pause_as_often_as_it_says() -> None:
    platform = thinking(asking(attempts=3, use=[ASK["use"][0]]))
    await platform.prepare()
    run = await platform.start()
    thinkers = Thinkers(platform, Scripted(BROKEN), "w1")
    async with running(thinkers.worker().run(), thinkers.gates.run()):
        for _ in range(2):
            state = await platform.until(run, _pauses)
            (call,) = state.model_calls.values()
            alarm = c.Alarm(kind="retry", key=call.request.call_id, due_at=call.retry_at)
            platform.clock.forward(timedelta(minutes=2))
            await platform.handle(run, c.FireAlarm(alarm=alarm, now=platform.clock.now()))
        state = await platform.until(run, ended)
    assert (state.ending.code, len(thinkers.models.asked)) == ("http_503", 3)


def _pauses(state: Any) -> bool:
    return isinstance(state, Active) and any(call.phase == "backing_off" for call in state.model_calls.values())


async def test_what_a_provider_may_have_charged_for_counts_as_spent() -> None:
    platform = thinking()
    await platform.prepare()
    await capped(platform, 1_000_000)
    state = await worked(platform, Scripted(DOUBTFUL, said("42")), await platform.start())
    assert state.last.cost_usd_micros == MOST + 5
    assert await spent(platform) == (0, MOST + 5)


async def test_what_was_reserved_is_settled_with_what_it_cost() -> None:
    platform = thinking()
    await platform.prepare()
    await capped(platform, 1_000_000)
    state = await worked(platform, Scripted(said("42")), await platform.start())
    assert state.outcome == "completed"
    assert await spent(platform) == (0, 5)


async def test_a_call_that_a_budget_has_no_room_for_is_not_sent() -> None:
    platform = thinking()
    await platform.prepare()
    await capped(platform, MOST - 1)
    models = Scripted(said("42"))
    state = await worked(platform, models, await platform.start())
    assert (state.ending.code, models.asked) == ("budget_tenant_usd_micros", [])
    assert await spent(platform) == (0, 0)
    (refused,) = of(e.ModelCallRefused, await facts(platform, state))
    assert refused.by == "budget"


async def test_where_a_budget_says_so_a_cheaper_model_is_asked_instead() -> None:
    platform = thinking(asking(use=[{"provider": DEAR, "model": "m"}, {"provider": FIRST, "model": "m"}]))
    await platform.prepare()
    await capped(platform, MOST, "cheaper")
    models = Scripted(said("42"))
    state = await worked(platform, models, await platform.start())
    assert state.outcome == "completed"
    history = await facts(platform, state)
    assert [each.provider for each in of(e.ModelCallRouted, history)] == [DEAR, FIRST]
    assert [each.error_class for each in of(e.ModelCallAttemptFailed, history)] == ["budget"]
    assert len(models.asked) == 1
    assert await spent(platform) == (0, 5)


async def test_where_a_budget_asks_people_the_call_waits_and_says_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_attempts, "ASK_AGAIN_S", 0.01)
    platform = thinking()
    await platform.prepare()
    await capped(platform, MOST - 1, "ask")
    run = await platform.start()
    state = await worked(platform, Scripted(said("42")), run, _held)
    (call,) = state.model_calls.values()
    assert (call.held.held_for, call.held.subject, call.phase) == ("budget", "all", "requested")
    await capped(platform, 1_000_000, "ask")
    assert (await worked(platform, Scripted(said("42")), run)).outcome == "completed"


def _held(state: Any) -> bool:
    return isinstance(state, Active) and any(call.held for call in state.model_calls.values())


async def test_a_run_that_may_not_spend_as_much_is_capped_with_a_code_of_its_own() -> None:
    models = Scripted(said("42"))
    state = await done(thinking(limits={"cost_usd_micros": MOST - 1}), models)
    assert state.ending == e.RunCapped(limit="cost_usd_micros", used=0, allowed=MOST - 1)
    assert models.asked == []


async def test_a_run_goes_on_with_the_model_that_it_can_afford() -> None:
    models = Scripted(said("42"))
    dear_first = asking(use=[{"provider": DEAR, "model": "m"}, {"provider": FIRST, "model": "m"}])
    platform = thinking(dear_first, limits={"cost_usd_micros": MOST})
    state = await done(platform, models)
    (routed,) = of(e.ModelCallRouted, await facts(platform, state))
    assert (routed.provider, routed.passed_over[0].because.code) == (FIRST, "over_budget")


async def test_a_model_without_a_price_is_refused_and_never_free() -> None:
    models = Scripted(said("42"))
    state = await done(thinking(asking(use=[{"provider": "nobody", "model": "m"}])), models)
    assert (state.ending.code, models.asked) == ("provider_missing", [])


async def test_an_order_that_is_taken_over_asks_again_and_counts_what_the_first_may_have_spent() -> None:
    forever = asyncio.Event()

    async def hang(_: Any) -> Any:
        await forever.wait()

    platform = thinking()
    await platform.prepare()
    await capped(platform, 1_000_000)
    run = await platform.start()
    first = Thinkers(platform, Scripted(hang), "w1")
    async with running(first.gates.run()):
        worker = asyncio.create_task(first.worker().run())
        await first.models.arrived.wait()
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    state = await worked(platform, Scripted(said("42")), run)
    assert state.outcome == "completed"
    history = await facts(platform, state)
    assert [each.attempt for each in of(e.ModelCallRouted, history)] == [1, 2]
    (lost,) = of(e.ModelCallAttemptFailed, history)
    assert (lost.code, lost.charged_usd_micros) == ("attempt_lost", MOST)
    assert state.last.cost_usd_micros == MOST + 5


async def test_the_same_order_twice_asks_once() -> None:
    platform = thinking(asking(), asking() | {"id": "again"})
    await platform.prepare()
    run = await platform.start()
    state: Any = (await platform.main.handler.load(run)).state
    (order,) = [each for each in o.outstanding(TENANT, state) if isinstance(each, o.ModelOrder)]
    await platform.main.dispatch.send(run, [replace(order, resumed=7)], state)
    models = Scripted(said("42"))
    assert (await worked(platform, models, run)).outcome == "completed"
    assert len(models.asked) == 2


async def test_an_agent_that_may_not_act_any_more_asks_no_model() -> None:
    platform = thinking()
    await platform.prepare()
    run = await platform.start()
    await platform.tell_tenant(DisablePrincipal(principal_id=AGENT, reason="gone", by=BY_OWNER, now=T0))
    models = Scripted(said("42"))
    ended_so = await worked(platform, models, run)
    assert (ended_so.ending.code, models.asked) == ("agent.disabled", [])


async def test_a_run_folds_to_the_same_from_the_log() -> None:
    platform = thinking()
    state = await done(platform, Scripted(BROKEN, said("42")))
    assert fold(NotStarted(), await facts(platform, state)) == state
