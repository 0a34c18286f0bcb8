"""An answer is given again where its route says so: to the same question or one that is alike, of the same tenant, for
a while, until it is forgotten or the person is."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from fairlead_tenants.ids import TenantId, WorkspaceId
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.adapters.content_keys import MemoryContentKeys
from fairlead.adapters.memory_results import MemoryResults
from fairlead.domain.models.answer import Finish, ModelAnswer
from fairlead.domain.models.content import Image, Message, Text, ToolCall
from fairlead.domain.models.request import ModelRequest, Sampling
from fairlead.domain.routing.likeness import alike, is_kept, likeness
from fairlead.handling.answer_cache import AnswerCache, Hit, Question, Recalled
from tests.support.clock import ManualClock
from tests.support.routing import candidate, route, wanted

OURS, THEIRS = TenantId("tnt_ours"), TenantId("tnt_theirs")
ASKED = "What is the refund policy for orders of the summer sale that arrived damaged at the customer"
ALIKE = "What is the refund policy for orders of the summer sale that arrived damaged at a customer"
EXACT, SIMILAR = {"exact": {"ttl_s": 60}}, {"similar": {"ttl_s": 60, "threshold": 0.75}}


def request(text: str = ASKED, **fields: Any) -> ModelRequest:
    system = Message(role="system", parts=(Text(text="You are brief."),))
    return ModelRequest(model="", messages=(system, Message(role="user", parts=(Text(text=text),))), **fields)


def answer(text: str = "Thirty days.", **fields: Any) -> ModelAnswer:
    said: dict[str, Any] = {"parts": (Text(text=text),), "finish": Finish(reason="stop")} | fields
    return ModelAnswer(answer_id="a1", model="small-1", **said)


class Office:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.keys = MemoryContentKeys()
        self.results = MemoryResults()
        self.cache = AnswerCache(self.results, self.keys, self.clock)

    def question(self, text: str = ASKED, cache: Any = None, **fields: Any) -> Question:
        place = wanted()
        said: dict[str, Any] = {
            "tenant_id": OURS,
            "workspace_id": place.workspace_id,
            "environment_id": place.environment_id,
            "route": route(candidate("small"), cache=EXACT if cache is None else cache),
            "request": request(text),
        }
        return Question(**said | fields)

    async def recall(self, question: Question) -> Recalled:
        found = await self.cache.recall(question)
        assert found is not None
        return found

    async def hit(self, question: Question) -> Hit | None:
        return (await self.recall(question)).hit

    async def learn(self, question: Question, given: ModelAnswer | None = None) -> None:
        await self.cache.keep(await self.recall(question), given or answer(), "acme", "small", 120, 900)


async def test_the_same_question_is_given_the_same_answer_for_a_while_and_it_says_what_that_saves() -> None:
    office = Office()
    assert await office.hit(office.question()) is None
    await office.learn(office.question())
    office.clock.forward(timedelta(seconds=59))
    found = await office.hit(office.question())
    assert found is not None
    assert (found.answer, found.provider, found.model) == (answer(), "acme", "small")
    assert (found.how, found.age_s, found.likeness_percent, found.saved_usd_micros) == ("exact", 59.0, 100, 120)
    streamed = office.question(request=replace(request(), stream=True, model="small-1"))
    assert await office.hit(streamed) is not None
    office.clock.forward(timedelta(seconds=1))
    assert await office.hit(office.question()) is None


async def test_nothing_is_kept_unless_the_route_says_so() -> None:
    office = Office()
    assert await office.cache.recall(office.question(cache={})) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant_id": THEIRS},
        {"workspace_id": WorkspaceId("wsp_other")},
        {"environment_id": "env_test"},
        {"request": request("Something else, please")},
        {"request": request(sampling=Sampling(temperature=1.0))},
    ],
)
async def test_another_tenant_place_or_question_is_given_nothing(changed: dict[str, Any]) -> None:
    office = Office()
    for cache in (EXACT, SIMILAR):
        await office.learn(office.question(cache=cache))
        assert await office.hit(office.question(cache=cache, **changed)) is None


async def test_a_new_version_of_the_route_begins_with_nothing_and_so_does_one_that_was_told_to_forget() -> None:
    office = Office()
    await office.learn(office.question())
    known = office.question().route
    assert await office.hit(office.question(route=known)) is not None
    assert await office.hit(office.question(route=replace(known, version=4))) is None
    assert await office.hit(office.question(route=replace(known, forgotten=1))) is None


async def test_answers_are_sealed_and_gone_with_the_key_of_whom_they_were_about() -> None:
    office = Office()
    await office.learn(office.question(subject="ann"))
    kept = (await office.results.find((await office.recall(office.question())).key)).kept
    assert kept is not None
    assert b"Thirty" not in msgspec.json.encode(kept)
    assert await office.hit(office.question(subject="bob")) is not None
    ids = await office.keys.ids(OURS, "ann")
    await office.keys.destroy(OURS, ids, office.clock.now())
    assert await office.hit(office.question(subject="bob")) is None


@pytest.mark.parametrize(
    "given_answer",
    [answer(finish=Finish(reason="length")), answer("the key is AKIAIOSFODNN7EXAMPLE"), answer("x" * 70_000)],
)
async def test_what_is_cut_off_too_large_or_holds_a_secret_is_not_kept(given_answer: ModelAnswer) -> None:
    office = Office()
    await office.learn(office.question(), given_answer)
    assert await office.hit(office.question()) is None


async def test_calls_of_tools_are_given_again_as_they_were() -> None:
    office = Office()
    call = ToolCall(call_id="c1", name="look", arguments='{"n": 1}')
    calling = answer(parts=(call,), finish=Finish(reason="tool_calls"))
    await office.learn(office.question(), calling)
    found = await office.hit(office.question())
    assert found is not None
    assert found.answer == calling


async def test_a_question_that_is_alike_is_given_the_answer_where_the_route_asks_for_that() -> None:
    office = Office()
    await office.learn(office.question(cache=SIMILAR))
    found = await office.hit(office.question(ALIKE, cache=SIMILAR))
    assert found is not None
    assert (found.how, found.answer, found.saved_usd_micros) == ("similar", answer(), 120)
    assert 75 <= found.likeness_percent < 100
    strict = {"similar": {"ttl_s": 60, "threshold": 0.99}}
    assert await office.hit(office.question(ALIKE, cache=strict)) is None
    await office.learn(office.question(cache=EXACT))
    assert await office.hit(office.question(ALIKE, cache=EXACT)) is None
    office.clock.forward(timedelta(seconds=60))
    assert await office.hit(office.question(ALIKE, cache=SIMILAR)) is None


def test_questions_with_other_numbers_are_not_alike_however_much_else_is() -> None:
    one, other = (
        likeness(request("Pay 100 euros to account 4711 today")),
        likeness(request("Pay 900 euros to account 4711 today")),
    )
    assert one is not None
    assert other is not None
    assert one.same != other.same
    assert likeness(request("Too short")) is None
    assert likeness(request("word " * 401)) is None


def test_what_lies_behind_an_address_is_not_the_same_tomorrow() -> None:
    seen = Message(role="user", parts=(Text(text="What is it?"), Image(url="https://pictures.example/1")))
    assert is_kept(request())
    assert not is_kept(ModelRequest(model="", messages=(seen,)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["who", "pays", "the", "invoice", "of", "march", "late"]), min_size=3, max_size=40))
def test_a_question_is_like_itself_in_any_case_and_spacing(words: list[str]) -> None:
    one, other = likeness(request(" ".join(words))), likeness(request("  ".join(words).upper() + "?"))
    assert one is not None
    assert one == other
    assert alike(one.words, one.words) == 1
