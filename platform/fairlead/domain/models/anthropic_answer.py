"""Answers of Anthropic's messages, whole and streamed, read and written."""

from typing import Any

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
from fairlead.domain.models.anthropic import WIRE, block, block_body, blocks
from fairlead.domain.models.content import Extra, Part, Refusal, Text, Thinking, ToolCall
from fairlead.domain.models.errors import Unreadable, Untranslatable
from fairlead.domain.models.fields import Fields, Writing, beneath
from fairlead.domain.models.writing import Written

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_refused",
    "model_context_window_exceeded": "context_too_long",
    "pause_turn": "paused",
}
_SAME = {"stop_sequence": "stop"}
_WORDS: dict[FinishReason, str] = {reason: word for word, reason in _REASONS.items()} | {"other": "end_turn"}


def read_answer(body: Any) -> ModelAnswer:
    """Raises Unreadable."""
    found = Fields(WIRE, body, "")
    found.take("type", str), found.take("role", str)
    usage = found.take("usage", dict)
    answer = ModelAnswer(
        answer_id=found.text("id"),
        model=found.text("model"),
        parts=tuple(blocks(found.any("content"), "/content")),
        finish=finish_of(found.need("stop_reason", str)),
        usage=None if usage is None else read_usage(usage),
    )
    found.keep("stop_sequence", found.any("stop_sequence"))  # null where none was met
    return replace(answer, extra=found.extra())


def finish_of(word: str) -> Finish:
    reason = _REASONS.get(word)
    if reason is not None:
        return Finish(reason=reason)
    return Finish(reason="stop" if word in _SAME else "other", said=word, wire=WIRE)


def read_usage(body: Any) -> Usage:
    """Anthropic counts what was read from a cache, and what was put there, beside the input."""
    found = Fields(WIRE, body, "/usage")
    cached = found.take("cache_read_input_tokens", int) or 0
    kept = found.take("cache_creation_input_tokens", int) or 0
    lasting = found.take("cache_creation", dict)
    found.keep("cache_creation", lasting)  # what it says is shown again as it stood
    long = Fields(WIRE, lasting or {}, "/usage/cache_creation").take("ephemeral_1h_input_tokens", int) or 0
    details = found.inner("output_tokens_details")
    usage = Usage(
        input_tokens=(found.take("input_tokens", int) or 0) + cached + kept,
        cached_input_tokens=cached,
        cache_write_tokens=kept,
        long_cache_write_tokens=min(long, kept),
        output_tokens=found.take("output_tokens", int) or 0,
        reasoning_tokens=details.take("thinking_tokens", int) or 0,
    )
    found.keep("output_tokens_details", details.left)
    return replace(usage, extra=found.extra())


def write_answer(answer: ModelAnswer) -> Written:
    """Raises Untranslatable."""
    out = Writing(WIRE)
    body = {
        "id": answer.answer_id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [block_body(part, out, f"/content/{at}") for at, part in enumerate(answer.parts)],
        "stop_reason": answer.finish.word(WIRE, _WORDS),
        "usage": usage_body(answer.usage or Usage(), out),
    }
    if answer.usage is None:
        out.leave("that usage is unknown")
    if answer.created_s is not None:
        out.leave("created")
    return Written(body=out.merged(body, answer.extra, "answer"), left_out=tuple(out.left_out))


def usage_body(usage: Usage, out: Writing) -> dict[str, Any]:
    body: dict[str, Any] = {
        "input_tokens": usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        body["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return out.merged(body, usage.extra, "usage")


class MessagesReader:
    """Events of one streamed answer become pieces."""

    def __init__(self) -> None:
        self._usage: dict[str, Any] = {}
        self._inputs: set[int] = set()

    def read(self, event: Any) -> list[Delta]:
        """Raises Unreadable."""
        found = Fields(WIRE, event, "")
        match found.text("type"):
            case "message_start":
                return self._start(found.inner("message"))
            case "content_block_start":
                return self._block(found)
            case "content_block_delta":
                return self._delta(found, event)
            case "message_delta":
                return self._message_delta(found)
            case "message_stop":
                return [Ended()]
            case "content_block_stop" | "ping":
                return []
        return [Passed(wire=WIRE, body=event)]

    def _start(self, message: Fields) -> list[Delta]:
        for known in ("type", "role", "content", "stop_reason"):
            message.any(known)
        usage = message.take("usage", dict)
        answer_id, model = message.text("id"), message.text("model")
        began = Began(answer_id=answer_id, model=model, extra=message.extra())
        return [began, *self._used(usage)]

    def _used(self, usage: dict[str, Any] | None) -> list[Delta]:
        if usage is None:
            return []
        self._usage = beneath({name: value for name, value in usage.items() if value is not None}, self._usage)
        return [UsageSeen(usage=read_usage(self._usage))]

    def _block(self, found: Fields) -> list[Delta]:
        at, part = found.need("index", int), block(found.any("content_block"), "/content_block")
        if isinstance(part, ToolCall):
            part = replace(part, arguments="" if part.arguments == "{}" else part.arguments)
        return [PartBegan(at=at, part=part)]

    def _delta(self, found: Fields, event: dict[str, Any]) -> list[Delta]:
        at, delta = found.need("index", int), found.inner("delta")
        match delta.text("type"):
            case "text_delta":
                return [PartGrew(at=at, text=delta.need("text", str))]
            case "input_json_delta":
                return [PartGrew(at=at, text=delta.need("partial_json", str))]
            case "thinking_delta":
                return [PartGrew(at=at, text=delta.need("thinking", str))]
            case "signature_delta":
                return [PartGrew(at=at, signature=delta.need("signature", str))]
        return [Passed(wire=WIRE, body=event)]

    def _message_delta(self, found: Fields) -> list[Delta]:
        delta = found.inner("delta")
        reason = delta.take("stop_reason", str)
        delta.keep("stop_sequence", delta.any("stop_sequence"))
        deltas = self._used(found.take("usage", dict))
        if (extra := delta.extra()) is not None:
            deltas.append(Noted(extra=extra))
        return [*deltas, Finished(finish=finish_of(reason))] if reason is not None else deltas


class MessagesWriter:
    """Pieces become events. One part is open at a time, as this wire has it."""

    def __init__(self) -> None:
        self._open: int | None = None
        self._places: dict[int, int] = {}
        self._parts: dict[int, Part] = {}
        self._usage = Usage()
        self._finish: Finish | None = None
        self._last: dict[str, Any] = {}
        self._out = Writing(WIRE)

    def write(self, delta: Delta) -> list[dict[str, Any]]:
        """Raises Untranslatable."""
        match delta:
            case Began():
                return [self._start(delta)]
            case PartBegan(at=at, part=part):
                return [*self._close(), self._began(at, part)]
            case PartGrew(at=at):
                return [self._event(at, change) for change in self._changes(delta)]
            case UsageSeen(usage=usage):
                self._usage = usage
            case Finished(finish=finish):
                self._finish = finish
            case Noted(extra=Extra(wire=wire, fields=fields)) if wire is WIRE:
                self._last |= fields
            case Passed(wire=wire, body=body) if wire is WIRE:
                return [body]
            case Ended():
                return self._end()
        return []

    def _start(self, began: Began) -> dict[str, Any]:
        message: dict[str, Any] = {
            "id": began.answer_id,
            "type": "message",
            "role": "assistant",
            "model": began.model,
            "content": [],
            "stop_reason": None,
            "usage": usage_body(Usage(), self._out),
        }
        return {"type": "message_start", "message": self._out.merged(message, began.extra, "answer")}

    def _began(self, at: int, part: Part) -> dict[str, Any]:
        self._open = self._places[at] = len(self._places)
        self._parts[at] = part
        head = replace(part, arguments="") if isinstance(part, ToolCall) else part
        body = block_body(head, self._out, f"/content/{at}")
        return {"type": "content_block_start", "index": self._open, "content_block": body}

    def _changes(self, grown: PartGrew) -> list[dict[str, Any]]:
        if self._places.get(grown.at) != self._open or self._open is None:
            raise Untranslatable(f"/content/{grown.at}", "this part grows after another has begun")
        match self._parts[grown.at]:
            case Text() | Refusal():
                return [{"type": "text_delta", "text": grown.text}]
            case ToolCall():
                return [{"type": "input_json_delta", "partial_json": grown.text}]
            case Thinking():
                texts = [{"type": "thinking_delta", "thinking": grown.text}] if grown.text else []
                signed = [{"type": "signature_delta", "signature": grown.signature}] if grown.signature else []
                return texts + signed
        raise Unreadable(f"/content/{grown.at}", "this part does not grow")

    def _event(self, at: int, change: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._places[at], "delta": change}

    def _close(self) -> list[dict[str, Any]]:
        if self._open is None:
            return []
        closed, self._open = self._open, None
        return [{"type": "content_block_stop", "index": closed}]

    def _end(self) -> list[dict[str, Any]]:
        word = self._finish.word(WIRE, _WORDS) if self._finish else "end_turn"
        delta = {"stop_sequence": None, **self._last, "stop_reason": word}
        usage = usage_body(self._usage, self._out)
        last = {"type": "message_delta", "delta": delta, "usage": usage}
        return [*self._close(), last, {"type": "message_stop"}]
