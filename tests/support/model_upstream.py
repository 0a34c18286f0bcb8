"""A server that speaks the wires of models over real sockets, and has moods.

It answers with a text, or with a call of the first tool that it is offered. It knows nothing of the platform's own
codecs: what it sends is written out as the vendors' documents have it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Literal

from tests.support.flaky_http import Answer, Asked, FlakyServer, Wire, raw, reply

Mood = Literal[
    "well",
    "silent",  # takes the request, and says nothing until released
    "slow_first_token",  # says that it lives, and nothing else until released
    "cut",  # stops in the middle of the answer
    "cut_before_last_word",
    "aborted",  # the connection breaks in the middle
    "limited",
    "limited_without_headers",
    "broken",
    "overloaded_in_stream",
    "garbage",
    "oversized",
    "too_long",
    "refusing",
    "unauthorized",
    "unknown_fields",
    "echoing",  # an error that repeats what was asked
]
HELLO = "Good morning — ☕"
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LIMITS = {
    CHAT: {
        "x_ratelimit_limit_requests": "60",
        "x_ratelimit_remaining_requests": "0",
        "x_ratelimit_reset_requests": "1m30s",
        "retry_after": "20",
    },
    MESSAGES: {
        "anthropic_ratelimit_requests_limit": "60",
        "anthropic_ratelimit_requests_remaining": "0",
        "anthropic_ratelimit_requests_reset": "2030-01-01T00:01:30Z",
        "retry_after": "20",
    },
}
_LIMITS[RESPONSES] = _LIMITS[CHAT]
_ERRORS: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "limited": (
        429,
        {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"},
        {"type": "rate_limit_error", "message": "slow down"},
    ),
    "broken": (
        500,
        {"message": "oh", "type": "server_error", "code": None},
        {"type": "api_error", "message": "oh"},
    ),
    "too_long": (
        400,
        {"message": "maximum context length", "type": "invalid_request_error", "code": "context_length_exceeded"},
        {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
    ),
    "refusing": (
        400,
        {"message": "no", "type": "invalid_request_error", "code": "content_policy_violation"},
        {"type": "invalid_request_error", "message": "no"},
    ),
    "unauthorized": (
        401,
        {"message": "who?", "type": "invalid_request_error", "code": "invalid_api_key"},
        {"type": "authentication_error", "message": "who?"},
    ),
}
_ERRORS["limited_without_headers"] = _ERRORS["limited"]


class ModelUpstream:
    """`mood` is for the next requests."""

    def __init__(self, server: FlakyServer) -> None:
        self.server = server
        self.mood: Mood = "well"
        self.arrived = asyncio.Event()  # a request is there
        server.answers = {path: self._answer(path) for path in (CHAT, RESPONSES, MESSAGES)}

    @classmethod
    @asynccontextmanager
    async def at(cls) -> AsyncIterator["ModelUpstream"]:
        async with FlakyServer.at() as server:
            yield cls(server)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(asked.body) for asked in self.server.asked]

    def _answer(self, path: str) -> Answer:
        async def answer(writer: Wire, asked: Asked) -> None:
            self.arrived.set()
            body = json.loads(asked.body)
            await self._in_mood(path, body)(writer, asked)

        return answer

    def _in_mood(self, path: str, body: dict[str, Any]) -> Answer:
        if self.mood in _ERRORS:
            return _error(path, self.mood)
        match self.mood:
            case "echoing":
                error = {"message": json.dumps(body), "type": "invalid_request_error", "code": json.dumps(body)}
                return reply(400, json.dumps({"type": "error", "error": error}).encode())
            case "silent":
                return self._stalled()
            case "garbage":
                return (
                    reply(200, b"<html>good morning</html>") if not body.get("stream") else _streamed([b"data: {\n\n"])
                )
            case "oversized":
                return _streamed([b"data: " + b"x" * 1_000_000] * 3) if body.get("stream") else _huge()
        if not body.get("stream"):
            return self._whole(path, body)
        return self._stream(path, body)

    def _whole(self, path: str, body: dict[str, Any]) -> Answer:
        said = json.dumps(_WHOLE[path](body, self.mood == "unknown_fields")).encode()
        if self.mood in ("cut", "cut_before_last_word", "aborted"):
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(said)}\r\n\r\n".encode()
            return raw(head + said[:-10])
        return self._stalled() if self.mood == "slow_first_token" else reply(200, said)

    def _stream(self, path: str, body: dict[str, Any]) -> Answer:
        events = _EVENTS[path](body, self.mood == "unknown_fields")
        match self.mood:
            case "slow_first_token":
                return self._stalled(_STREAM, _chunk(b": here\n\n"), *map(_chunk, events[:1]))
            case "cut":
                return _streamed(events[: len(events) // 2])
            case "cut_before_last_word":
                return _streamed(events[:-1])
            case "aborted":
                return raw(_STREAM, *map(_chunk, events[: len(events) // 2]))
            case "overloaded_in_stream":
                error = {"type": "overloaded_error", "message": "too many people"}
                return _streamed([*events[:2], _event({"type": "error", "error": error}, "error")])
        return _streamed(events)

    def _stalled(self, *pieces: bytes) -> Answer:
        async def answer(writer: Wire, _: Asked) -> None:
            for piece in pieces:
                writer.write(piece)
            await writer.drain()
            await self.server.released.wait()
            writer.close()

        return answer


def _error(path: str, mood: str) -> Answer:
    status, chat, messages = _ERRORS[mood]
    body: dict[str, Any] = {"type": "error", "error": messages} if path == MESSAGES else {"error": chat}
    headers = _LIMITS[path] if mood == "limited" else {}
    return reply(status, json.dumps(body).encode(), **headers)


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _streamed(events: list[bytes]) -> Answer:
    """In pieces that end anywhere, one in the middle of a character."""
    whole = b"".join(events)
    cuts = [*range(0, len(whole), max(7, len(whole) // 400)), len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(cuts)]
    return raw(_STREAM, *map(_chunk, filter(None, pieces)), b"0\r\n\r\n", close=False)


def _huge() -> Answer:
    async def answer(writer: Wire, _: Asked) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        piece = _chunk(b" " * 1024 * 1024)
        for _piece in range(40):
            writer.write(piece)
            await writer.drain()
        writer.close()

    return answer


def _event(body: dict[str, Any], name: str = "") -> bytes:
    data = b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"
    return (f"event: {name}\n".encode() if name else b"") + data


def _tool(body: dict[str, Any]) -> str | None:
    if not body.get("tools"):
        return None
    first = body["tools"][0]
    name: str = first["function"]["name"] if "function" in first else first["name"]
    return name


def _chat(body: dict[str, Any], more: bool) -> dict[str, Any]:
    tool = _tool(body)
    call = {"id": "call_1", "type": "function", "function": {"name": tool, "arguments": '{"city": "Bergen"}'}}
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
    if tool is None:
        message = {"role": "assistant", "content": HELLO, "refusal": None}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "tool_calls" if tool else "stop"}
    if more:
        message["x_mood"], choice["x_score"] = "sunny", 0.5
    extra = {"x_region": "north"} if more else {}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body["model"],
        "choices": [choice],
        "usage": _chat_usage(),
        **extra,
    }


def _chat_usage() -> dict[str, Any]:
    return {
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def _chat_events(body: dict[str, Any], more: bool) -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": body["model"]}
    if more:
        head["x_region"] = "north"

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None})

    tool = _tool(body)
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": tool, "arguments": ""}}
    grown = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"city": ', '"Bergen"}')]
    said = (
        [{"content": HELLO[:5]}, {"content": HELLO[5:]}]
        if tool is None
        else [{"tool_calls": [each]} for each in (first, *grown)]
    )
    events = [chunk({"role": "assistant", "content": "" if tool is None else None}), *map(chunk, said)]
    events.append(chunk({}, "stop" if tool is None else "tool_calls"))
    if body.get("stream_options", {}).get("include_usage"):
        events.append(_event({**head, "choices": [], "usage": _chat_usage()}))
    return [*events, b"data: [DONE]\n\n"]


def _response(body: dict[str, Any], more: bool) -> dict[str, Any]:
    tool = _tool(body)
    text = {"type": "output_text", "text": HELLO, "annotations": []}
    item: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant", "content": [text]}
    if tool is not None:
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": tool}
        item["arguments"] = '{"city": "Bergen"}'
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": body["model"],
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "output": [{**item, "status": "completed"} | ({"x_mood": "sunny"} if more else {})],
        "usage": {
            "input_tokens": 11,
            "output_tokens": 7,
            "total_tokens": 18,
            "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 2},
        },
        **({"x_region": "north"} if more else {}),
    }


def _response_events(body: dict[str, Any], more: bool) -> list[bytes]:
    whole = _response(body, more)
    (item,) = whole["output"]
    begun: dict[str, Any] = {**whole, "status": "in_progress", "output": [], "usage": None}
    where: dict[str, Any] = {"item_id": item["id"], "output_index": 0}
    empty: dict[str, Any] = {"arguments": ""} if "arguments" in item else {"content": []}
    opened = {**item, **empty, "status": "in_progress"}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": opened},
    ]
    if "arguments" in item:
        kind = "response.function_call_arguments"
        events += [{"type": f"{kind}.delta", **where, "delta": piece} for piece in ('{"city": ', '"Bergen"}')]
        events.append({"type": f"{kind}.done", **where, "name": item["name"], "arguments": item["arguments"]})
    else:
        (text,) = item["content"]
        where["content_index"] = 0
        kind = "response.output_text"
        events.append({"type": "response.content_part.added", **where, "part": {**text, "text": ""}})
        pieces = (HELLO[:5], HELLO[5:])
        events += [{"type": f"{kind}.delta", **where, "delta": piece, "logprobs": []} for piece in pieces]
        events.append({"type": f"{kind}.done", **where, "text": HELLO, "logprobs": []})
        events.append({"type": "response.content_part.done", **where, "part": text})
    events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    events += [{"type": "x_new_event", "x": 1}] if more else []
    events.append({"type": "response.completed", "response": whole})
    return [_event({**event, "sequence_number": at}, event["type"]) for at, event in enumerate(events)]


def _message(body: dict[str, Any], more: bool) -> dict[str, Any]:
    tool = _tool(body)
    block: dict[str, Any] = {"type": "text", "text": HELLO}
    if tool is not None:
        block = {"type": "tool_use", "id": "toolu_1", "name": tool, "input": {"city": "Bergen"}}
    extra = {"x_region": "north"} if more else {}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [block | ({"x_mood": "sunny"} if more else {})],
        "stop_reason": "tool_use" if tool else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 8,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 2},
        },
        **extra,
    }


def _message_events(body: dict[str, Any], more: bool) -> list[bytes]:
    whole = _message(body, more)
    used = {"input_tokens": 8, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0, "output_tokens": 1}
    start = {**whole, "content": [], "stop_reason": None, "usage": used}
    (block,) = whole["content"]
    empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
    grown: list[dict[str, Any]] = [{"type": "text_delta", "text": text} for text in (HELLO[:5], HELLO[5:])]
    if block["type"] == "tool_use":
        grown = [{"type": "input_json_delta", "partial_json": text} for text in ("", '{"city": ', '"Bergen"}')]
    last = {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 2}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in grown),
        {"type": "content_block_stop", "index": 0},
        *([{"type": "x_new_event", "x": 1}] if more else []),
        {"type": "message_delta", "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None}, "usage": last},
        {"type": "message_stop"},
    ]
    return [_event(event, event["type"]) for event in events]


_Whole = Callable[[dict[str, Any], bool], dict[str, Any]]
_Events = Callable[[dict[str, Any], bool], list[bytes]]
_WHOLE: dict[str, _Whole] = {CHAT: _chat, RESPONSES: _response, MESSAGES: _message}
_EVENTS: dict[str, _Events] = {CHAT: _chat_events, RESPONSES: _response_events, MESSAGES: _message_events}


def whole_answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
    return _WHOLE[path](body, False)
