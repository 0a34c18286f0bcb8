"""Requests and answers of models as hypothesis draws them: all that a wire has a form for, and things it made up."""

from functools import cache
from typing import Any

import msgspec
from fairlead_sdk.models import Wire
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.domain.models.answer import Finish, ModelAnswer, Usage
from fairlead.domain.models.content import (
    Extra,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from fairlead.domain.models.request import AnswerSchema, ModelRequest, Sampling, ToolChoice, ToolOffer

CHAT, RESPONSES, MESSAGES = Wire.OPENAI_CHAT, Wire.OPENAI_RESPONSES, Wire.ANTHROPIC_MESSAGES
words = st.sampled_from(["", "a", "é\u2028", '"quoted"\n', "data: [DONE]", "\U0001f600"])
named = st.sampled_from(["a", "b-1", "c_d", "e"])
values = st.sampled_from([None, True, 7, "é", "", [1, {"a": None}], {"b": [2]}])
objects = st.dictionaries(words, values, max_size=2)
arguments = objects.map(lambda value: msgspec.json.encode(value).decode())
CHOICES = st.sampled_from([ToolChoice(mode="auto"), ToolChoice(mode="required"), ToolChoice(mode="named", name="a")])
urls = st.sampled_from(["https://example.com/a.png", "data:image/png;base64,iVBORw0KGgo="])


@cache
def extras(wire: Wire) -> st.SearchStrategy[Extra | None]:
    """Fields that no wire has."""
    fields = st.dictionaries(named.map("x_{}".format), values.filter(lambda value: value is not None), min_size=1)
    return st.none() | fields.map(lambda found: Extra(wire, found))


@cache
def texts(wire: Wire) -> st.SearchStrategy[Text]:
    return st.builds(Text, text=words, extra=extras(wire))


@cache
def images(wire: Wire) -> st.SearchStrategy[Image]:
    details = st.just("") if wire is MESSAGES else st.sampled_from(["", "low", "high"])
    return st.builds(Image, url=urls, detail=details, extra=extras(wire))


@cache
def calls(wire: Wire) -> st.SearchStrategy[ToolCall]:
    return st.builds(ToolCall, call_id=named, name=named, arguments=arguments, extra=extras(wire))


@cache
def opaques(wire: Wire) -> st.SearchStrategy[Opaque]:
    return objects.map(lambda body: Opaque(wire, {**body, "type": "x_made_up"}))


@cache
def thoughts(wire: Wire) -> st.SearchStrategy[Thinking]:
    if wire is not CHAT:
        return st.builds(Thinking, text=words, signature=words, wire=st.just(wire), extra=extras(wire))
    return st.builds(Thinking, text=words)


@st.composite
def answered(draw: st.DrawFn, wire: Wire) -> tuple[Part, ...]:
    """In an order that the wire can say."""
    said: list[Any] = [*draw(st.lists(thoughts(wire), max_size=1)), *draw(st.lists(texts(wire), max_size=2))]
    if wire is CHAT:
        said += draw(st.lists(st.builds(Refusal, text=words), max_size=1))
    return (*said, *draw(st.lists(calls(wire), max_size=2)))


@st.composite
def messages(draw: st.DrawFn, wire: Wire) -> list[Message]:
    """A talk in which no one speaks twice in a row, but for results of tools."""
    found = draw(st.lists(st.builds(Message, role=st.just("system"), parts=st.tuples(texts(wire))), max_size=1))
    for _ in range(draw(st.integers(0, 2))):
        people = st.lists(texts(wire) | images(wire) | opaques(wire), min_size=1, max_size=2).map(tuple)
        found.append(Message(role="user", parts=draw(people), extra=draw(extras(wire))))
        parts = draw(answered(wire))
        if not parts and wire is RESPONSES:  # nothing said is nothing there
            parts = (Text(text="a"),)
        found.append(Message(role="assistant", parts=parts, extra=None if wire is RESPONSES else draw(extras(wire))))
        for call in (part for part in parts if isinstance(part, ToolCall)):
            content = tuple(draw(st.lists(texts(wire), max_size=2)))
            is_error = wire is MESSAGES and draw(st.booleans())
            result = ToolResult(call_id=call.call_id, content=content, is_error=is_error)
            found.append(Message(role="tool", parts=(result,)))
    return found


@cache
def offers(wire: Wire) -> st.SearchStrategy[ToolOffer]:
    stricts = st.none() | st.booleans()
    return st.builds(ToolOffer, name=named, description=words, parameters=objects, strict=stricts, extra=extras(wire))


@cache
def samplings(wire: Wire) -> st.SearchStrategy[Sampling]:
    numbers = st.none() | st.floats(0, 1)
    bounds = st.integers(1, 9_999)
    return st.builds(
        Sampling,
        max_output_tokens=bounds if wire is MESSAGES else st.none() | bounds,
        temperature=numbers,
        top_p=numbers,
        top_k=st.none() | st.integers(1, 40) if wire is MESSAGES else st.none(),
        seed=st.none() | st.integers(0, 9) if wire is CHAT else st.none(),
        stop=st.just(()) if wire is RESPONSES else st.lists(words, max_size=2).map(tuple),
        effort=st.sampled_from([None, "low", "high"]),
    )


@st.composite
def requests(draw: st.DrawFn, wire: Wire) -> ModelRequest:
    offers = st.builds(
        ToolOffer,
        name=named,
        description=words,
        parameters=objects,
        strict=st.none() | st.booleans(),
        extra=extras(wire),
    )
    tools = draw(st.lists(offers | opaques(wire), max_size=2))
    choices = st.sampled_from(
        [ToolChoice(mode="auto"), ToolChoice(mode="required"), ToolChoice(mode="named", name="a")]
    )
    choice = draw(choices | opaques(wire)) if tools else None
    document = draw(st.none() | objects)
    answer = AnswerSchema(document=document) if document is not None else None
    return ModelRequest(
        model=draw(named),
        messages=tuple(draw(messages(wire))),
        tools=tuple(tools),
        tool_choice=choice,
        parallel_tool_calls=draw(st.none() | st.booleans()) if isinstance(choice, ToolChoice) else None,
        answer=answer,
        sampling=draw(samplings(wire)),
        stream=draw(st.booleans()),
        extra=draw(extras(wire)),
    )


@st.composite
def answers(draw: st.DrawFn, wire: Wire) -> ModelAnswer:
    cached, kept, fresh = (draw(st.integers(0, 99)) for _ in range(3))
    usage = Usage(
        input_tokens=cached + fresh + (kept if wire is MESSAGES else 0),
        cached_input_tokens=cached,
        cache_write_tokens=kept if wire is MESSAGES else 0,
        output_tokens=draw(st.integers(0, 99)),
        reasoning_tokens=draw(st.integers(0, 9)),
        extra=draw(extras(wire)),
    )
    reasons = st.sampled_from(["stop", "length", "content_refused"])
    finishes = st.builds(Finish, reason=reasons) | st.builds(Finish, reason=st.just("tool_calls"))
    made_up = st.just(Finish(reason="other", said="x_made_up", wire=wire))
    parts = draw(answered(wire))
    if wire is RESPONSES:  # which has no word for calls but the calls
        finishes = st.just(Finish(reason="tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "stop"))
        finishes |= st.builds(Finish, reason=st.sampled_from(["length", "content_refused"]))
    return ModelAnswer(
        answer_id=draw(named),
        model=draw(named),
        parts=parts,
        created_s=None if wire is MESSAGES else draw(st.integers(0, 9)),
        finish=draw(finishes | made_up),
        usage=usage if wire is MESSAGES else draw(st.none() | st.just(usage)),
        extra=draw(extras(wire)),
    )


def as_streamed(wire: Wire, answer: ModelAnswer) -> ModelAnswer:
    """Streamed chat completions know one text, with nothing beside it; in streamed responses each item has an id."""
    if wire is MESSAGES:
        return answer
    if wire is RESPONSES:
        return replace(answer, parts=tuple(replace(part, extra=None) for part in answer.parts))
    parts: list[Any] = []
    for part in answer.parts:
        if isinstance(part, Text) and parts and isinstance(parts[-1], Text):
            parts[-1] = Text(text=parts[-1].text + part.text)
        else:
            parts.append(part if isinstance(part, ToolCall) else replace(part, extra=None))
    kept = tuple(part for part in parts if isinstance(part, ToolCall) or part.text)
    return replace(answer, parts=kept)
