"""What goes over a wire and comes back is the same, whatever was said, unknown things included."""

import msgspec
import pytest
from fairlead_sdk.models import Wire
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.domain.models.answer import Delta, ModelAnswer, Passed
from fairlead.domain.models.assembling import Assembly, pieces
from fairlead.domain.models.content import Image, Message, Text, Thinking, ToolCall, ToolResult
from fairlead.domain.models.errors import CutOff, Unreadable, Untranslatable
from fairlead.domain.models.request import ModelRequest, Sampling
from fairlead.domain.models.wires import FORMS
from fairlead.domain.models.writing import STANDARD
from tests.support import model_calls

EACH = [pytest.param(wire, id=wire.value) for wire in FORMS]
often = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def through_json(body: object) -> object:
    found: object = msgspec.json.decode(msgspec.json.encode(body))
    return found


@pytest.mark.parametrize("wire", EACH)
@given(data=st.data())
@often
def test_a_request_comes_back_as_it_went(wire: Wire, data: st.DataObject) -> None:
    request = data.draw(model_calls.requests(wire))
    written = FORMS[wire].write_request(request, STANDARD)
    assert written.left_out == ()
    assert FORMS[wire].read_request(through_json(written.body)) == request


@pytest.mark.parametrize("wire", EACH)
@given(data=st.data())
@often
def test_an_answer_comes_back_as_it_went(wire: Wire, data: st.DataObject) -> None:
    answer = data.draw(model_calls.answers(wire))
    written = FORMS[wire].write_answer(answer)
    assert written.left_out == ()
    assert FORMS[wire].read_answer(through_json(written.body)) == answer


@pytest.mark.parametrize("wire", EACH)
@given(data=st.data())
@often
def test_a_streamed_answer_comes_back_as_the_whole_one(wire: Wire, data: st.DataObject) -> None:
    answer = data.draw(model_calls.answers(wire))
    heard = model_calls.as_streamed(wire, assembled(streamed(wire, answer)))
    assert heard == model_calls.as_streamed(wire, answer)


def streamed(wire: Wire, answer: ModelAnswer) -> list[Delta]:
    reader, writer = FORMS[wire].reader(), FORMS[wire].writer()
    events = [event for delta in pieces(answer) for event in writer.write(delta)]
    return [delta for event in events for delta in reader.read(through_json(event))]


def assembled(deltas: list[Delta]) -> ModelAnswer:
    assembly = Assembly()
    for delta in deltas:
        assembly.add(delta)
    return assembly.answer()


@pytest.mark.parametrize("wire", EACH)
def test_a_stream_without_its_last_word_is_no_answer(wire: Wire) -> None:
    answer = FORMS[wire].read_answer(WHOLE[wire])
    deltas = streamed(wire, answer)
    assert assembled(deltas).parts == answer.parts
    for cut in range(len(deltas)):
        with pytest.raises(CutOff):
            assembled(deltas[:cut])


WHOLE = {
    Wire.OPENAI_CHAT: {
        "id": "a",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello", "annotations": [{"type": "x"}]},
                "logprobs": {"content": []},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    },
    Wire.OPENAI_RESPONSES: {
        "id": "a",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "service_tier": "default",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "abc"},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "hello", "annotations": [{"type": "x"}]}],
            },
        ],
        "usage": {
            "input_tokens": 3,
            "output_tokens": 2,
            "total_tokens": 5,
            "input_tokens_details": {"cached_tokens": 1},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    },
    Wire.ANTHROPIC_MESSAGES: {
        "id": "a",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hello", "citations": [{"type": "x"}]}],
        "stop_reason": "stop_sequence",
        "stop_sequence": "END",
        "usage": {
            "input_tokens": 2,
            "cache_read_input_tokens": 1,
            "cache_creation_input_tokens": 0,
            "output_tokens": 2,
            "service_tier": "standard",
        },
    },
}


@pytest.mark.parametrize("wire", EACH)
def test_an_answer_keeps_what_we_have_no_word_for_where_it_stood(wire: Wire) -> None:
    assert FORMS[wire].write_answer(FORMS[wire].read_answer(WHOLE[wire])).body == WHOLE[wire]


def test_usage_means_the_same_on_every_wire() -> None:
    chat, messages = (FORMS[wire].read_answer(WHOLE[wire]).usage for wire in (model_calls.CHAT, model_calls.MESSAGES))
    assert chat is not None
    assert messages is not None
    assert (
        (chat.input_tokens, chat.cached_input_tokens) == (messages.input_tokens, messages.cached_input_tokens) == (3, 1)
    )


TALK = ModelRequest(
    model="m",
    messages=(
        Message(role="system", parts=(Text(text="be brief"),)),
        Message(role="user", parts=(Text(text="what is this?"), Image(url="data:image/png;base64,iVBORw0KGgo="))),
        Message(
            role="assistant",
            parts=(
                ToolCall(call_id="1", name="a", arguments='{"x":1}'),
                ToolCall(call_id="2", name="b", arguments="{}"),
            ),
        ),
        Message(role="tool", parts=(ToolResult(call_id="1", content=(Text(text="one"),)),)),
        Message(role="tool", parts=(ToolResult(call_id="2", content=(Text(text="two"),)),)),
        Message(role="user", parts=(Text(text="go on"),)),
    ),
    sampling=Sampling(max_output_tokens=9),
)


@pytest.mark.parametrize("there", EACH)
@pytest.mark.parametrize("here", EACH)
def test_a_talk_with_tools_and_images_crosses_from_one_wire_to_another(here: Wire, there: Wire) -> None:
    first = FORMS[here].read_request(FORMS[here].write_request(TALK, STANDARD).body)
    second = FORMS[there].read_request(FORMS[there].write_request(first, STANDARD).body)
    assert second == TALK


def test_results_of_parallel_calls_are_one_turn_where_the_wire_wants_it() -> None:
    turns = FORMS[model_calls.MESSAGES].write_request(TALK, STANDARD).body["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [block["type"] for block in turns[2]["content"]] == ["tool_result", "tool_result", "text"]


def test_what_another_wire_made_up_is_named_when_it_is_left_out() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi", "x_mood": 1}],
        "logit_bias": {"1": 2},
        "seed": 3,
    }
    written = FORMS[model_calls.MESSAGES].write_request(FORMS[model_calls.CHAT].read_request(body), STANDARD)
    assert set(written.left_out) == {"message.x_mood", "request.logit_bias", "sampling.seed"}


def test_content_of_a_kind_that_the_other_wire_lacks_is_refused_and_not_left_out() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    body = {"model": "m", "messages": [{"role": "user", "content": [audio]}]}
    with pytest.raises(Untranslatable):
        FORMS[model_calls.MESSAGES].write_request(FORMS[model_calls.CHAT].read_request(body), STANDARD)


def test_a_call_whose_arguments_are_no_json_is_kept_and_not_mended_in_silence() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "a", "arguments": '{"x":'}}
    body = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
    request = FORMS[model_calls.CHAT].read_request(body)
    assert FORMS[model_calls.CHAT].write_request(request, STANDARD).body["messages"] == body["messages"]
    with pytest.raises(Untranslatable):
        FORMS[model_calls.MESSAGES].write_request(request, STANDARD)


def test_neither_name_of_the_bound_of_an_answer_passes_by_whoever_lowers_it() -> None:
    body = {"model": "m", "messages": [], "max_tokens": 500, "max_completion_tokens": 900}
    request = FORMS[model_calls.CHAT].read_request(body)
    lowered = msgspec.structs.replace(request, sampling=Sampling(max_output_tokens=10))
    assert request.sampling.max_output_tokens == 900
    assert FORMS[model_calls.CHAT].write_request(lowered, STANDARD).body == {
        "model": "m",
        "messages": [],
        "max_completion_tokens": 10,
    }


def test_usage_of_a_stream_is_asked_for_whatever_the_caller_said() -> None:
    options = {"include_usage": False, "include_obfuscation": False}
    body = {"model": "m", "messages": [], "stream": True, "stream_options": options}
    written = FORMS[model_calls.CHAT].write_request(FORMS[model_calls.CHAT].read_request(body), STANDARD).body
    assert written["stream_options"] == {"include_usage": True, "include_obfuscation": False}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        ({"messages": []}, "/model"),
        ({"model": "m", "messages": [{"role": "wizard"}]}, "/messages/0/role"),
        ({"model": "m", "messages": [{"role": "user", "content": 7}]}, "/messages/0/content"),
        ({"model": "m", "messages": [], "n": 2}, "/n"),
        ({"model": "m", "messages": [], "stop": {"a": 1}}, "/stop"),
        ({"model": "m", "messages": [], "max_tokens": True}, "/max_tokens"),
    ],
)
def test_a_request_that_breaks_its_wire_is_refused_by_place(body: object, path: str) -> None:
    with pytest.raises(Unreadable) as raised:
        FORMS[model_calls.CHAT].read_request(body)
    assert raised.value.problems[0].path == path


def test_thinking_is_given_back_to_the_provider_that_signed_it() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "abc"}
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "assistant", "content": [thought]}]}
    request = FORMS[model_calls.MESSAGES].read_request(body)
    assert request.messages[0].parts == (Thinking(text="hm", signature="abc", wire=model_calls.MESSAGES),)
    assert FORMS[model_calls.MESSAGES].write_request(request, STANDARD).body == body
    assert FORMS[model_calls.CHAT].write_request(request, STANDARD).left_out == ("thinking",)


def test_an_event_of_an_unknown_kind_passes_to_whoever_speaks_the_same_wire() -> None:
    event = {"type": "x_new", "value": 1}
    (delta,) = FORMS[model_calls.MESSAGES].reader().read(event)
    assert delta == Passed(wire=model_calls.MESSAGES, body=event)
    assert FORMS[model_calls.MESSAGES].writer().write(delta) == [event]
    assert FORMS[model_calls.CHAT].writer().write(delta) == []


def test_thinking_that_another_provider_signed_is_left_out_and_not_sent_as_its_own() -> None:
    for here in (model_calls.MESSAGES, model_calls.RESPONSES):
        thought = Thinking(text="hm", signature="abc", wire=here)
        request = ModelRequest(
            model="m",
            messages=(Message(role="assistant", parts=(thought, Text(text="so"))),),
            sampling=Sampling(max_output_tokens=9),
        )
        for there in set(FORMS) - {here}:
            written = FORMS[there].write_request(request, STANDARD)
            assert written.left_out == ("thinking",)
            assert "abc" not in str(written.body)


def test_streamed_responses_number_their_events_and_repeat_the_whole_answer() -> None:
    form = FORMS[model_calls.RESPONSES]
    answer = form.read_answer(WHOLE[model_calls.RESPONSES])
    writer = form.writer()
    events = [event for delta in pieces(answer) for event in writer.write(delta)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed"
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [(item["type"], item["id"]) for item in done] == [("reasoning", "rs_1"), ("message", "msg_1")]
    assert form.read_answer(events[-1]["response"]) == answer


@pytest.mark.parametrize("status", ["failed", "in_progress", "cancelled", "incomplete"])
def test_a_response_that_is_not_over_is_no_answer(status: str) -> None:
    with pytest.raises(Unreadable):
        FORMS[model_calls.RESPONSES].read_answer({"id": "a", "model": "m", "status": status, "output": []})
