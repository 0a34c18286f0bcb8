"""Answers of OpenAI's chat completions, whole and streamed, read and written."""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.models.answer import (
    Began,
    Delta,
    Ended,
    Finish,
    Finished,
    FinishReason,
    ModelAnswer,
    Noted,
    PartBegan,
    PartGrew,
    Passed,
    Usage,
    UsageSeen,
)
from fairlead.domain.models.content import Extra, Opaque, Refusal, Text, Thinking, ToolCall
from fairlead.domain.models.errors import Unreadable, Untranslatable
from fairlead.domain.models.fields import Fields, Writing
from fairlead.domain.models.openai_chat import WIRE, message_parts, parts_body
from fairlead.domain.models.writing import Written

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_refused",
}
_WORDS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_refused": "content_filter",
    "context_too_long": "length",
    "paused": "stop",
    "other": "stop",
}


def read_answer(body: Any) -> ModelAnswer:
    """Raises Unreadable."""
    found = Fields(WIRE, body, "")
    choices = found.many("choices")
    if len(choices) != 1:
        raise Unreadable("/choices", "this holds one answer")
    choice = Fields(WIRE, choices[0], "/choices/0")
    choice.take("index", int)
    message = choice.inner("message")
    message.take("role", str)
    parts = message_parts(message)
    finish = finish_of(choice.need("finish_reason", str))
    usage = found.take("usage", dict)
    found.take("object", str)
    answer = ModelAnswer(
        answer_id=found.text("id"),
        model=found.text("model"),
        created_s=found.take("created", int),
        parts=parts,
        finish=finish,
        usage=None if usage is None else read_usage(usage),
    )
    choice.keep("message", message.left)
    found.keep("choices", [choice.left] if choice.left else [])
    return replace(answer, extra=found.extra())


def finish_of(word: str) -> Finish:
    reason = _REASONS.get(word)
    return Finish(reason=reason) if reason else Finish(reason="other", said=word, wire=WIRE)


def read_usage(body: Any) -> Usage:
    found = Fields(WIRE, body, "/usage")
    read, written = found.inner("prompt_tokens_details"), found.inner("completion_tokens_details")
    usage = Usage(
        input_tokens=found.take("prompt_tokens", int) or 0,
        cached_input_tokens=read.take("cached_tokens", int) or 0,
        output_tokens=found.take("completion_tokens", int) or 0,
        reasoning_tokens=written.take("reasoning_tokens", int) or 0,
    )
    found.take("total_tokens", int)
    found.keep("prompt_tokens_details", read.left)
    found.keep("completion_tokens_details", written.left)
    return replace(usage, extra=found.extra())


def write_answer(answer: ModelAnswer) -> Written:
    """Raises Untranslatable."""
    out = Writing(WIRE)
    message = {"role": "assistant", "content": None} | parts_body(answer.parts, out, "/choices/0/message")
    choice = {"index": 0, "message": message, "finish_reason": answer.finish.word(WIRE, _WORDS)}
    body = {
        "id": answer.answer_id,
        "object": "chat.completion",
        "created": answer.created_s or 0,
        "model": answer.model,
        "choices": [choice],
    }
    if answer.usage is not None:
        body["usage"] = usage_body(answer.usage, out)
    return Written(body=out.merged(body, answer.extra, "answer"), left_out=tuple(out.left_out))


def usage_body(usage: Usage, out: Writing) -> dict[str, Any]:
    if usage.cache_write_tokens:
        out.leave("usage.cache_write_tokens")
    body = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    return out.merged(body, usage.extra, "usage")


class ChatReader:
    """Chunks of one streamed answer become pieces. `None` is the last word, `[DONE]`."""

    def __init__(self) -> None:
        self._began = False
        self._finished = False
        self._places: dict[str, int] = {}

    def read(self, chunk: Any) -> list[Delta]:
        """Raises Unreadable."""
        if chunk is None:
            return [Ended()] if self._finished else []
        found = Fields(WIRE, chunk, "")
        deltas: list[Delta] = []
        answer_id, model, created = found.text("id"), found.text("model"), found.take("created", int)
        usage, choices = found.take("usage", dict), found.many("choices")
        found.take("object", str)
        if not self._began:
            self._began = True
            deltas.append(Began(answer_id=answer_id, model=model, created_s=created))
        if len(choices) > 1:
            raise Unreadable("/choices", "this holds one answer")
        if choices:
            choice = Fields(WIRE, choices[0], "/choices/0")
            deltas += self._choice(choice)
            found.keep("choices", [choice.left] if choice.left else [])
        if (extra := found.extra()) is not None:
            deltas.append(Noted(extra=extra))
        if usage is not None:
            deltas.append(UsageSeen(usage=read_usage(usage)))
        return deltas

    def _choice(self, choice: Fields) -> list[Delta]:
        if choice.take("index", int) not in (None, 0):
            raise Unreadable("/choices/0/index", "this holds one answer")
        delta = choice.inner("delta")
        delta.take("role", str)
        deltas: list[Delta] = []
        for field, part in (("reasoning_content", Thinking(text="")), ("content", Text(text=""))):
            if (text := delta.take(field, str)) is not None:
                deltas += self._grown(field, part, text)
        if (text := delta.take("refusal", str)) is not None:
            deltas += self._grown("refusal", Refusal(text=""), text)
        for at, call in enumerate(delta.many("tool_calls")):
            deltas += self._call(Fields(WIRE, call, f"/choices/0/delta/tool_calls/{at}"))
        choice.keep("message", delta.left)  # where a whole answer has them
        if (reason := choice.take("finish_reason", str)) is not None:
            self._finished = True
            deltas.append(Finished(finish=finish_of(reason)))
        return deltas

    def _grown(self, key: str, part: Text | Thinking | Refusal, text: str) -> list[Delta]:
        """An empty text begins nothing: the first chunk often has one beside the role."""
        if key not in self._places and not text:
            return []
        return [*self._place(key, part), PartGrew(at=self._places[key], text=text)]

    def _place(self, key: str, part: Text | Thinking | Refusal | ToolCall) -> list[Delta]:
        if key in self._places:
            return []
        self._places[key] = len(self._places)
        return [PartBegan(at=self._places[key], part=part)]

    def _call(self, found: Fields) -> list[Delta]:
        """Some servers send no index, and each call whole."""
        function = found.inner("function")
        call_id, index = found.text("id"), found.take("index", int)
        key = f"call {call_id if index is None else index}"
        name, arguments = function.text("name"), function.text("arguments")
        found.take("type", str)
        if key not in self._places and not (name and call_id):
            raise Unreadable(found.path, "a call begins with an id and a name")
        found.keep("function", function.left)
        began = self._place(key, ToolCall(call_id=call_id, name=name, arguments="", extra=found.extra()))
        return [*began, PartGrew(at=self._places[key], text=arguments)] if arguments else began


class _Open(Struct, frozen=True):
    field: str
    index: int = 0


class ChatWriter:
    """Pieces become chunks, each a JSON object; `None` stands for `[DONE]`. Usage comes in a chunk of its own."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._open: dict[int, _Open] = {}
        self._calls = 0
        self._usage: Usage | None = None
        self._noted: Extra | None = None
        self._out = Writing(WIRE)

    def write(self, delta: Delta) -> list[dict[str, Any] | None]:
        """Raises Untranslatable."""
        match delta:
            case Began():
                return [self._began(delta)]
            case PartBegan(at=at, part=part):
                return self._part(at, part)
            case PartGrew(at=at, text=text):
                return self._grew(at, text)
            case UsageSeen(usage=usage):
                self._usage = usage
            case Finished(finish=finish):
                return [self._chunk({}, finish.word(WIRE, _WORDS))]
            case Noted(extra=extra):
                return [self._out.merged(self._chunk({}), _streamed(extra), "answer")]
            case Passed():
                self._out.leave("event")
            case Ended():
                return [*self._last(), None]
        return []

    def _began(self, began: Began) -> dict[str, Any]:
        self._head = {
            "id": began.answer_id,
            "object": "chat.completion.chunk",
            "created": began.created_s or 0,
            "model": began.model,
        }
        return self._out.merged(self._chunk({"role": "assistant"}), _streamed(began.extra), "answer")

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    def _part(self, at: int, part: Any) -> list[dict[str, Any] | None]:
        match part:
            case Text(text=text):
                self._open[at] = _Open("content")
            case Refusal(text=text):
                self._open[at] = _Open("refusal")
            case Thinking(text=text):
                self._open[at] = _Open("reasoning_content")
            case ToolCall():
                return [self._call(at, part)]
            case Opaque():
                raise Untranslatable("/choices/0/delta", "streamed chat completions have no form for this")
            case _:
                raise Untranslatable("/choices/0/delta", "this is no part of an answer")
        return [self._chunk({self._open[at].field: text})] if text else []

    def _call(self, at: int, call: ToolCall) -> dict[str, Any]:
        self._open[at] = _Open("tool_calls", self._calls)
        self._calls += 1
        function = {"name": call.name, "arguments": call.arguments}
        head = {"index": self._open[at].index, "id": call.call_id, "type": "function", "function": function}
        return self._chunk({"tool_calls": [self._out.merged(head, call.extra, "tool_call")]})

    def _grew(self, at: int, text: str) -> list[dict[str, Any] | None]:
        place = self._open[at]
        if not text:
            return []
        if place.field != "tool_calls":
            return [self._chunk({place.field: text})]
        return [self._chunk({"tool_calls": [{"index": place.index, "function": {"arguments": text}}]})]

    def _last(self) -> list[dict[str, Any] | None]:
        if self._usage is None:
            return []
        return [{**self._head, "choices": [], "usage": usage_body(self._usage, self._out)}]


def _streamed(extra: Extra | None) -> Extra | None:
    """Where a chunk has what a whole answer has in its message."""
    if extra is None or extra.wire is not WIRE or "choices" not in extra.fields:
        return extra
    choices = [
        {("delta" if name == "message" else name): value for name, value in choice.items()}
        for choice in extra.fields["choices"]
    ]
    return Extra(WIRE, {**extra.fields, "choices": choices})
