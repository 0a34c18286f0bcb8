"""Calls through a door: counted for their run, streamed, settled also when whoever asked goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec.structs import replace

from fairlead.domain.envelope import Actor, StreamRef
from fairlead.domain.ids import ModelCallId, QuestionId
from fairlead.domain.models.answer import Ended, Finished, PartGrew, UsageSeen
from fairlead.domain.models.asking import ModelCandidate
from fairlead.domain.models.assembling import pieces
from fairlead.domain.models.failures import ModelFailed
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.errors import NoSuchRun, RunIsPaused, RunNotActive
from fairlead.domain.runs.states import Active
from fairlead.handling.model_desk import ModelDesk
from fairlead.handling.model_door import DoorCall, ModelCallUnderWay, ModelRefused
from tests.support.asked_models import FIRST, SECOND, Pieces, Scripted, Thinkers, capped, spent
from tests.support.books import Books
from tests.support.platform import AGENT, Platform, running
from tests.support.tenancy import TENANT
from tests.support.thinking import question, said

BROKEN = ModelFailed("transient", "http_503", "the provider answered 503")
CUT = ModelFailed(
    "transient", "stream_cut_off", "the provider's stream ended before its answer did", may_be_charged=True
)
BOTH = (ModelCandidate(provider=FIRST, model="m"), ModelCandidate(provider=SECOND, model="m"))
MOST = 100  # tokens that may be written, and micros


class Office:
    def __init__(self, platform: Platform, run: StreamRef, desk: ModelDesk, models: Scripted) -> None:
        self.platform, self.run, self.desk, self.models = platform, run, desk, models

    def call(self, **changes: Any) -> DoorCall:
        call_id = ModelCallId(self.platform.ids.new("mcl"))
        actor = Actor(kind="agent", id=AGENT)
        fields = {"run": self.run, "call_id": call_id, "door": "openai_chat", "actor": actor, "candidates": BOTH}
        return DoorCall(**{"request": question(), **fields, **changes})

    async def facts(self, kind: type[Any]) -> list[Any]:
        history = await self.platform.log.read(self.run)
        return [event for recorded in history for event in recorded.commit.events if isinstance(event, kind)]

    async def state(self) -> Active:
        state = (await self.platform.main.handler.load(self.run)).state
        assert isinstance(state, Active), state
        return state

    async def do(self, command: Any) -> None:
        await self.platform.handle(self.run, command)


@asynccontextmanager
async def office(*script: Any, cap: int | None = 1_000_000, **fields: Any) -> AsyncIterator[Office]:
    """A run that an agent outside drives, and a desk."""
    platform = Platform(Books().keyed(), planner="outside", steps=None, **fields)
    platform.document.pop("steps")
    await platform.prepare()
    if cap is not None:
        await capped(platform, cap)
    models = Scripted(*script)
    thinkers = Thinkers(platform, models, "w1")
    desk = thinkers.desk()
    async with running(thinkers.gates.run()):
        yield Office(platform, await platform.start(), desk, models)
        await desk.written()


async def test_a_call_is_answered_counted_for_its_run_and_settled_with_what_it_cost() -> None:
    async with office(said("42")) as at:
        answered = await at.desk.ask(at.call())
        assert answered.answer == said("42")
        told = answered.told
        assert (told.provider, told.cost_usd_micros, told.attempt) == (FIRST, 5, 1)
        assert told.usage == e.TokensUsed(input=20, output=5)
        state = await at.state()
        assert (state.model_calls_used, state.tokens_used, state.cost_usd_micros, state.model_calls) == (1, 25, 5, {})
        assert await spent(at.platform) == (0, 5)
        (asked,) = at.models.asked
        assert asked.request.messages == question().messages


async def test_what_is_asked_goes_out_as_it_is_and_lies_on_record_without_its_secret() -> None:
    secret = "sk-ant-" + "a" * 40
    async with office() as at:
        await at.desk.ask(at.call(request=question(f"my key is {secret}")))
        assert secret in str(at.models.asked[0].request)
        (requested,) = await at.facts(e.ModelCallRequested)
        assert secret not in str(requested)


async def test_a_provider_that_fails_is_followed_by_the_next_and_the_caller_sees_one_answer() -> None:
    async with office(BROKEN, said("42")) as at:
        answered = await at.desk.ask(at.call())
        assert (answered.told.provider, answered.told.attempt) == (SECOND, 2)
        assert [each.provider for each in await at.facts(e.ModelCallRouted)] == [FIRST, SECOND]


async def test_when_all_have_failed_the_caller_is_told_the_last_reason() -> None:
    async with office(BROKEN) as at:
        with pytest.raises(ModelFailed, match="503"):
            await at.desk.ask(at.call())
        assert len(await at.facts(e.ModelCallFailed)) == 1
        assert await spent(at.platform) == (0, 0)


async def test_a_call_that_no_budget_has_room_for_is_refused_before_anything_is_sent() -> None:
    async with office(cap=MOST - 1) as at:
        with pytest.raises(ModelRefused) as refused:
            await at.desk.ask(at.call())
        assert (refused.value.by, refused.value.code) == ("budget", "budget_tenant_usd_micros")
        assert at.models.asked == []
        (fact,) = await at.facts(e.ModelCallRefused)
        assert fact.code == "budget_tenant_usd_micros"
        assert await spent(at.platform) == (0, 0)


async def test_a_limit_of_the_run_is_told_by_its_code() -> None:
    async with office(cap=None, limits={"model_calls": 1}) as at:
        await at.desk.ask(at.call())
        with pytest.raises(ModelRefused) as refused:
            await at.desk.ask(at.call())
        assert (refused.value.by, refused.value.code) == ("limit", "limit_model_calls")
        with pytest.raises(RunNotActive):
            await at.desk.ask(at.call())


async def test_where_people_may_give_more_room_the_caller_is_refused_until_they_have() -> None:
    async with office(cap=None, limits={"model_calls": 1, "on_limit": "ask"}) as at:
        await at.desk.ask(at.call())
        with pytest.raises(ModelRefused, match="more room"):
            await at.desk.ask(at.call())
        with pytest.raises(RunIsPaused):
            await at.desk.ask(at.call())
        (asked,) = (await at.state()).questions
        more = c.AnswerQuestion(
            question_id=QuestionId(asked),
            answer={"raise_by": 1},
            principal_id=PrincipalId("prn_p"),
            role_names=(),
            now=at.platform.clock.now(),
        )
        await at.do(more)
        assert (await at.desk.ask(at.call())).answer == said("42")


async def test_another_tenants_run_is_nobodys() -> None:
    async with office() as at:
        theirs = StreamRef(TenantId("tnt_theirs"), "run", at.run.id)
        with pytest.raises(NoSuchRun):
            await at.desk.ask(at.call(run=theirs))
        assert theirs.tenant_id != TENANT
        assert at.models.asked == []


async def test_a_stream_gives_its_last_piece_once_the_whole_is_on_the_log() -> None:
    async with office(said("42")) as at, at.desk.stream(at.call()) as streaming:
        heard: list[Any] = []
        async for delta in streaming:
            heard.append(delta)
            completed = await at.facts(e.ModelCallCompleted)
            assert bool(completed) is isinstance(delta, Ended)
        assert heard == list(pieces(said("42")))
        assert streaming.told is not None
        assert streaming.told.cost_usd_micros == 5
        (fact,) = await at.facts(e.ModelCallCompleted)
        assert fact.streamed
        assert await spent(at.platform) == (0, 5)


async def test_a_stream_that_fails_before_its_first_piece_is_followed_by_another() -> None:
    async with office(Pieces([*list(pieces(said("42")))[:1], BROKEN]), said("43")) as at:
        async with at.desk.stream(at.call()) as streaming:
            text = "".join([delta.text async for delta in streaming if isinstance(delta, PartGrew)])
        assert (text, streaming.provider) == ("43", SECOND)


async def test_a_stream_that_is_cut_off_says_so_and_counts_with_the_most_that_it_can_have_cost() -> None:
    async with office(Pieces([*list(pieces(said("42")))[:3], CUT])) as at:
        with pytest.raises(ModelFailed, match="ended before"):
            await heard(at)
        assert len(await at.facts(e.ModelCallFailed)) == 1
        assert await spent(at.platform) == (0, MOST)


async def heard(at: Office) -> None:
    async with at.desk.stream(at.call()) as streaming:
        async for _ in streaming:
            pass


async def test_whoever_goes_away_in_the_middle_has_what_may_have_been_used_settled() -> None:
    async with office(said("42")) as at:
        async with at.desk.stream(at.call()) as streaming:
            async for delta in streaming:
                if isinstance(delta, PartGrew):
                    break
        await at.desk.written()
        (failed,) = await at.facts(e.ModelCallAttemptFailed)
        assert (failed.code, failed.charged_usd_micros) == ("caller_gone", MOST)
        assert await spent(at.platform) == (0, MOST)


async def test_whoever_goes_away_after_the_provider_said_all_is_charged_for_just_that() -> None:
    async with office(said("42")) as at:
        async with at.desk.stream(at.call()) as streaming:
            async for delta in streaming:
                if isinstance(delta, Finished):
                    break
        await at.desk.written()
        assert any(isinstance(delta, UsageSeen) for delta in pieces(said("42")))
        assert await spent(at.platform) == (0, 5)


async def test_whoever_goes_away_while_a_whole_answer_is_awaited_leaves_nothing_reserved() -> None:
    forever = asyncio.Event()

    async def hang(_: Any) -> Any:
        await forever.wait()

    async with office(hang) as at:
        asking = asyncio.create_task(at.desk.ask(at.call()))
        await at.models.arrived.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await at.desk.written()
        assert (await at.state()).model_calls == {}
        assert await spent(at.platform) == (0, MOST)


async def test_the_same_call_again_while_it_is_under_way_is_not_made_twice() -> None:
    async with office(said("42")) as at:
        call = at.call()
        async with at.desk.stream(call) as streaming:
            with pytest.raises(ModelCallUnderWay):
                await at.desk.ask(replace(call, attempts=1))
            async for _ in streaming:
                pass
        assert len(at.models.asked) == 1
