"""Answers of OpenAI's responses, whole, read and written."""

from typing import Any

from fairlead_sdk.models import Wire
from msgspec.structs import replace

from fairlead.domain.models.answer import Finish, FinishReason, ModelAnswer, Usage
from fairlead.domain.models.content import ToolCall
from fairlead.domain.models.errors import Unreadable
from fairlead.domain.models.fields import Fields, Writing
from fairlead.domain.models.openai_responses import WIRE, messages_of, output_items
from fairlead.domain.models.writing import Written

_INCOMPLETE: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_refused"}


def read_answer(body: Any) -> ModelAnswer:
    """Raises Unreadable, also for a response that has failed or is not over."""
    found = Fields(WIRE, body, "")
    messages = messages_of(found.many("output"), "/output")
    if len(messages) > 1 or any(message.role != "assistant" for message in messages):
        raise Unreadable("/output", "this is what one model says")
    parts = messages[0].parts if messages else ()
    usage = found.take("usage", dict)
    finish = _finish(found, any(isinstance(part, ToolCall) for part in parts))
    found.take("object", str)
    created = found.take("created_at", float)
    answer = ModelAnswer(
        answer_id=found.text("id"),
        model=found.text("model"),
        created_s=None if created is None else int(created),
        parts=parts,
        finish=finish,
        usage=None if usage is None else read_usage(usage),
    )
    return replace(answer, extra=found.extra())


def _finish(found: Fields, calls: bool) -> Finish:
    status, details = found.need("status", str), found.inner("incomplete_details")
    found.keep("error", found.any("error"))
    if status == "completed":
        return Finish(reason="tool_calls" if calls else "stop")
    word = details.text("reason")
    if status != "incomplete" or not word:
        raise Unreadable("/status", "there is no answer: it has failed, or is not over")
    reason = _INCOMPLETE.get(word)
    return Finish(reason=reason) if reason else Finish(reason="other", said=word, wire=Wire.OPENAI_RESPONSES)


def read_usage(body: Any) -> Usage:
    found = Fields(WIRE, body, "/usage")
    read, written = found.inner("input_tokens_details"), found.inner("output_tokens_details")
    usage = Usage(
        input_tokens=found.take("input_tokens", int) or 0,
        cached_input_tokens=read.take("cached_tokens", int) or 0,
        cache_write_tokens=read.take("cache_write_tokens", int) or 0,
        output_tokens=found.take("output_tokens", int) or 0,
        reasoning_tokens=written.take("reasoning_tokens", int) or 0,
    )
    found.take("total_tokens", int)
    found.keep("input_tokens_details", read.left)
    found.keep("output_tokens_details", written.left)
    return replace(usage, extra=found.extra())


def write_answer(answer: ModelAnswer) -> Written:
    """Raises Untranslatable."""
    out = Writing(WIRE)
    body = {**head_of(answer), "output": output_items(answer.parts, out, "/output")}
    body |= _status_body(answer.finish)
    if answer.usage is not None:
        body["usage"] = _usage_body(answer.usage, out)
    return Written(body=out.merged(body, answer.extra, "answer"), left_out=tuple(out.left_out))


def head_of(answer: ModelAnswer) -> dict[str, Any]:
    return {
        "id": answer.answer_id,
        "object": "response",
        "created_at": answer.created_s or 0,
        "model": answer.model,
    }


def _status_body(finish: Finish) -> dict[str, Any]:
    words = {reason: word for word, reason in _INCOMPLETE.items()} | {"context_too_long": "max_output_tokens"}
    word = finish.said if finish.said and finish.wire is WIRE else words.get(finish.reason)
    if word is None:
        return {"status": "completed"}
    return {"status": "incomplete", "incomplete_details": {"reason": word}}


def _usage_body(usage: Usage, out: Writing) -> dict[str, Any]:
    read = {"cached_tokens": usage.cached_input_tokens}
    if usage.cache_write_tokens:
        read["cache_write_tokens"] = usage.cache_write_tokens
    body = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens_details": read,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    return out.merged(body, usage.extra, "usage")
