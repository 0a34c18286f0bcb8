"""Providers of models over real sockets: every wire, streamed and not, and on their bad days."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from fairlead_sdk.models import ModelTimes, Wire
from fairlead_sdk.outbound import Credential

from fairlead.adapters.models import FileRecordings, RecordedModels, WireModels
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.domain.models.answer import Delta, ModelAnswer, PartGrew, Passed
from fairlead.domain.models.assembling import Assembly
from fairlead.domain.models.content import Message, Text, ToolCall
from fairlead.domain.models.failures import ModelFailed, Window
from fairlead.domain.models.request import ModelRequest, ToolOffer
from fairlead.ports import ModelOrder, Models, WayOut
from fairlead_anthropic import AnthropicConnector
from fairlead_openai_compatible import OpenAICompatibleConnector
from tests.support.clock import ManualClock
from tests.support.model_upstream import HELLO, ModelUpstream, Mood

KEY = "sk-a-key-that-nobody-sees"
SECRET = "the patient's name is Ada"
TOOL = ToolOffer(name="weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
SERVICE = OpenAICompatibleConnector.manifest.models
assert SERVICE is not None
MANIFESTS = {
    Wire.OPENAI_CHAT: OpenAICompatibleConnector.manifest,
    Wire.OPENAI_RESPONSES: msgspec.structs.replace(
        OpenAICompatibleConnector.manifest, models=msgspec.structs.replace(SERVICE, wire=Wire.OPENAI_RESPONSES)
    ),
    Wire.ANTHROPIC_MESSAGES: AnthropicConnector.manifest,
}
every = pytest.mark.parametrize("wire", MANIFESTS)
each_way = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])


@pytest.fixture
async def upstream() -> AsyncIterator[ModelUpstream]:
    async with ModelUpstream.at() as server:
        yield server


@pytest.fixture
async def models(upstream: ModelUpstream) -> AsyncIterator[Models]:
    plain = [upstream.server.authority]
    async with GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=plain) as outbound:
        yield WireModels(outbound, CLOCK)


CLOCK = ManualClock()


def order(upstream: ModelUpstream, wire: Wire, *tools: ToolOffer, **times: float) -> ModelOrder:
    manifest = MANIFESTS[wire]
    service = manifest.models
    assert service is not None
    patient = {"connect_s": 5.0, "first_token_s": 20.0, "between_s": 20.0, "total_s": 30.0}
    base = upstream.server.url("" if wire is Wire.ANTHROPIC_MESSAGES else "/v1")
    here = msgspec.structs.replace(service, base_url="{base_url}", times=ModelTimes(**(patient | times)))
    return ModelOrder(
        request=ModelRequest(model="m-1", messages=(Message(role="user", parts=(Text(text=SECRET),)),), tools=tools),
        service=here,
        way=WayOut(
            owner="con_a",
            egress=("{base_url}",),
            config={"base_url": base},
            timeout_s=60.0,
            auth=manifest.auth,
            credential=Credential(secret=KEY),
        ),
    )


async def answered(models: Models, asked: ModelOrder, streaming: bool) -> ModelAnswer:
    if not streaming:
        return await models.ask(asked)
    assembly = Assembly()
    for delta in await heard(models, asked):
        assembly.add(delta)
    return assembly.answer()


async def heard(models: Models, asked: ModelOrder) -> list[Delta]:
    async with models.stream(asked) as answering:
        return [delta async for delta in answering]


async def failed(models: Models, asked: ModelOrder, streaming: bool) -> ModelFailed:
    with pytest.raises(ModelFailed) as raised:
        await answered(models, asked, streaming)
    return raised.value


@every
@each_way
async def test_a_text_is_answered_with_its_usage_and_the_key_goes_where_the_wire_wants_it(
    upstream: ModelUpstream, models: Models, wire: Wire, streaming: bool
) -> None:
    answer = await answered(models, order(upstream, wire), streaming)
    (said,) = answer.parts
    assert isinstance(said, Text)
    assert said.text == HELLO
    assert answer.finish.reason == "stop"
    assert answer.usage is not None
    used = answer.usage
    assert (used.input_tokens, used.cached_input_tokens, used.output_tokens, used.reasoning_tokens) == (11, 3, 7, 2)
    headers = upstream.server.asked[0].headers
    if wire is not Wire.ANTHROPIC_MESSAGES:
        assert headers["authorization"] == f"Bearer {KEY}"
    else:
        assert (headers["x-api-key"], headers["anthropic-version"]) == (KEY, "2023-06-01")


@every
@each_way
async def test_a_call_of_a_tool_comes_whole(
    upstream: ModelUpstream, models: Models, wire: Wire, streaming: bool
) -> None:
    answer = await answered(models, order(upstream, wire, TOOL), streaming)
    (call,) = answer.parts
    assert isinstance(call, ToolCall)
    assert (call.name, msgspec.json.decode(call.arguments)) == ("weather", {"city": "Bergen"})
    assert answer.finish.reason == "tool_calls"


@every
async def test_a_streamed_answer_comes_in_pieces(upstream: ModelUpstream, models: Models, wire: Wire) -> None:
    pieces = [delta.text for delta in await heard(models, order(upstream, wire)) if isinstance(delta, PartGrew)]
    assert pieces == [HELLO[:5], HELLO[5:]]


@every
@each_way
async def test_what_a_provider_makes_up_is_kept(
    upstream: ModelUpstream, models: Models, wire: Wire, streaming: bool
) -> None:
    upstream.mood = "unknown_fields"
    answer = await answered(models, order(upstream, wire), streaming)
    assert answer.parts[0].text == HELLO  # type: ignore[union-attr]  # it is a text
    assert answer.extra is not None
    assert answer.extra.fields["x_region"] == "north"
    if streaming and wire is not Wire.OPENAI_CHAT:
        passed = [delta for delta in await heard(models, order(upstream, wire)) if isinstance(delta, Passed)]
        assert [delta.body["type"] for delta in passed] == ["x_new_event"]


BAD_DAYS: list[tuple[Mood, str, str, str]] = [
    ("broken", "transient", "server_error", "api_error"),
    ("limited", "rate_limited", "rate_limit_exceeded", "rate_limit_error"),
    ("limited_without_headers", "rate_limited", "rate_limit_exceeded", "rate_limit_error"),
    ("too_long", "context_too_long", "context_length_exceeded", "invalid_request_error"),
    ("unauthorized", "permission", "invalid_api_key", "authentication_error"),
    ("garbage", "transient", "bad_answer", "bad_answer"),
    ("oversized", "permanent", "answer_too_large", "answer_too_large"),
    ("aborted", "transient", "connection_broken", "connection_broken"),
]


@every
@each_way
@pytest.mark.parametrize(("mood", "error_class", "chat", "messages"), BAD_DAYS, ids=[day[0] for day in BAD_DAYS])
async def test_a_bad_day_says_what_can_be_done(
    upstream: ModelUpstream,
    models: Models,
    wire: Wire,
    streaming: bool,
    mood: Mood,
    error_class: str,
    chat: str,
    messages: str,
) -> None:
    upstream.mood = mood
    failure = await failed(models, order(upstream, wire), streaming)
    code = messages if wire is Wire.ANTHROPIC_MESSAGES else chat
    assert (failure.error_class, failure.code) == (error_class, code)


@every
@pytest.mark.parametrize("mood", ["cut", "cut_before_last_word"])
async def test_a_stream_that_is_cut_off_is_an_error_and_may_have_cost_something(
    upstream: ModelUpstream, models: Models, wire: Wire, mood: Mood
) -> None:
    upstream.mood = mood
    failure = await failed(models, order(upstream, wire), streaming=True)
    assert (failure.error_class, failure.code, failure.may_be_charged) == ("transient", "stream_cut_off", True)


@every
async def test_a_provider_that_gives_up_in_the_middle_says_so(
    upstream: ModelUpstream, models: Models, wire: Wire
) -> None:
    upstream.mood = "overloaded_in_stream"
    failure = await failed(models, order(upstream, wire), streaming=True)
    assert (failure.error_class, failure.code) == ("transient", "overloaded_error")


@every
@pytest.mark.parametrize("mood", ["slow_first_token", "silent"])
async def test_signs_of_life_do_not_put_the_first_token_off(
    upstream: ModelUpstream, models: Models, wire: Wire, mood: Mood
) -> None:
    upstream.mood = mood
    failure = await failed(models, order(upstream, wire, first_token_s=0.3), streaming=True)
    assert failure.error_class == "timeout"


@every
async def test_a_whole_answer_has_its_time(upstream: ModelUpstream, models: Models, wire: Wire) -> None:
    upstream.mood = "silent"
    assert (await failed(models, order(upstream, wire, total_s=0.3), streaming=False)).error_class == "timeout"


@every
async def test_limits_are_learned_from_the_headers_of_either_vendor(
    upstream: ModelUpstream, models: Models, wire: Wire
) -> None:
    upstream.mood = "limited"
    failure = await failed(models, order(upstream, wire), streaming=False)
    assert failure.retry_after_s == 20.0
    (window,) = failure.windows
    assert window == Window(kind="requests", limit=60, remaining=0, resets_in_s=window.resets_in_s)
    assert window.resets_in_s == (
        24 * 3600.0 if wire is Wire.ANTHROPIC_MESSAGES else 90.0
    )  # a date far away is bounded


@every
@each_way
async def test_an_error_repeats_neither_the_question_nor_the_key(
    upstream: ModelUpstream, models: Models, wire: Wire, streaming: bool, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.mood = "echoing"
    failure = await failed(models, order(upstream, wire), streaming)
    assert SECRET not in f"{failure} {failure.code} {caplog.text}"
    assert KEY not in f"{failure} {failure.code} {caplog.text}"


async def test_a_provider_at_a_private_address_is_reached_only_where_it_is_listed(upstream: ModelUpstream) -> None:
    async with GuardedOutbound(plain_http=[upstream.server.authority]) as outbound:
        failure = await failed(WireModels(outbound, CLOCK), order(upstream, Wire.OPENAI_CHAT), streaming=True)
    assert (failure.error_class, failure.code) == ("permanent", "egress_denied")
    assert upstream.server.asked == []


async def test_whoever_stops_listening_frees_the_connection(upstream: ModelUpstream, models: Models) -> None:
    upstream.mood = "slow_first_token"
    async with models.stream(order(upstream, Wire.OPENAI_CHAT)) as answering:
        async for _ in answering:
            break
    upstream.mood = "well"
    assert (await models.ask(order(upstream, Wire.OPENAI_CHAT))).parts == (Text(text=HELLO),)


@every
@each_way
async def test_what_was_recorded_is_answered_again_without_the_provider(
    upstream: ModelUpstream, models: Models, wire: Wire, streaming: bool, tmp_path: Any
) -> None:
    asked = order(upstream, wire, TOOL)
    first = await answered(RecordedModels(FileRecordings(tmp_path), through=models), asked, streaming)
    again = RecordedModels(FileRecordings(tmp_path))
    assert await answered(again, asked, streaming) == first
    assert (await answered(again, asked, not streaming)).parts == first.parts
    assert len(upstream.server.asked) == 1


async def test_what_was_not_recorded_is_an_error_and_asks_nobody(
    upstream: ModelUpstream, models: Models, tmp_path: Any
) -> None:
    asked = order(upstream, Wire.OPENAI_CHAT)
    recorded = RecordedModels(FileRecordings(tmp_path))
    for streaming in (False, True):
        failure = await failed(recorded, asked, streaming)
        assert (failure.error_class, failure.code) == ("permanent", "recording_missing")
    assert upstream.server.asked == []


async def test_an_answer_that_was_cut_off_is_not_recorded(
    upstream: ModelUpstream, models: Models, tmp_path: Any
) -> None:
    upstream.mood = "cut"
    await failed(RecordedModels(FileRecordings(tmp_path), through=models), order(upstream, Wire.OPENAI_CHAT), True)
    assert list(tmp_path.iterdir()) == []
