"""Requests of OpenAI's chat completions, read and written."""

from collections.abc import Iterable, Sequence
from typing import Any, get_args

from fairlead_sdk.models import Wire
from msgspec.structs import replace

from fairlead.domain.models.content import (
    Extra,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from fairlead.domain.models.errors import Unreadable, Untranslatable
from fairlead.domain.models.fields import Fields, Writing, own, present
from fairlead.domain.models.request import AnswerSchema, ModelRequest, Sampling, ToolChoice, ToolOffer
from fairlead.domain.models.writing import STANDARD, Dialect, Written

WIRE = Wire.OPENAI_CHAT
_ROLES: tuple[Role, ...] = get_args(Role)


def read_request(body: Any) -> ModelRequest:
    """Raises Unreadable."""
    found = Fields(WIRE, body, "")
    if found.take("n", int) not in (None, 1):
        raise Unreadable("/n", "one answer is given to one request")
    options = found.inner("stream_options")
    options.take("include_usage", bool)
    request = ModelRequest(
        model=found.need("model", str),
        messages=tuple(_message(each, f"/messages/{at}") for at, each in enumerate(found.many("messages"))),
        tools=tuple(_tool(each, f"/tools/{at}") for at, each in enumerate(found.many("tools"))),
        tool_choice=_choice(found.any("tool_choice")),
        parallel_tool_calls=found.take("parallel_tool_calls", bool),
        answer=_schema(found),
        sampling=_sampling(found),
        stream=found.take("stream", bool) or False,
    )
    found.keep("stream_options", options.left)
    return replace(request, extra=found.extra())


def _sampling(found: Fields) -> Sampling:
    """Both names of the bound are taken, so that none of them passes by what governs it."""
    older, bound = found.take("max_tokens", int), found.take("max_completion_tokens", int)
    return Sampling(
        max_output_tokens=bound if bound is not None else older,
        temperature=found.take("temperature", float),
        top_p=found.take("top_p", float),
        seed=found.take("seed", int),
        stop=_stops(found.any("stop")),
        effort=found.take("reasoning_effort", str),
    )


def _stops(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value or []
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise Unreadable("/stop", "this is a text or a list of texts")
    return tuple(listed)


def _message(body: Any, path: str) -> Message:
    found = Fields(WIRE, body, path)
    role = found.need("role", str)
    if role not in _ROLES:
        raise Unreadable(f"{path}/role", "there is no such role")
    if role == "tool":
        call_id = found.need("tool_call_id", str)
        content = tuple(_result_part(each) for each in _content(found.any("content"), path))
        result = ToolResult(call_id=call_id, content=content)
        return Message(role="tool", parts=(result,), extra=found.extra())
    return Message(role=role, parts=message_parts(found), name=found.text("name"), extra=found.extra())


def _result_part(part: Part) -> Text | Image | Opaque:
    if isinstance(part, Text | Image | Opaque):
        return part
    return Opaque(WIRE, {"type": "refusal", "refusal": getattr(part, "text", "")})


def message_parts(found: Fields) -> tuple[Part, ...]:
    """Of a message in a request, and of one in an answer."""
    thinking = found.take("reasoning_content", str)
    parts: list[Part] = [] if thinking is None else [Thinking(text=thinking)]
    parts += _content(found.any("content"), found.path)
    refusal = found.take("refusal", str)
    if refusal is not None:
        parts.append(Refusal(text=refusal))
    calls = found.many("tool_calls")
    return (*parts, *(_call(each, f"{found.path}/tool_calls/{at}") for at, each in enumerate(calls)))


def _content(value: Any, path: str) -> list[Part]:
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(text=value)]
    if not isinstance(value, list):
        raise Unreadable(f"{path}/content", "this is a text or a list")
    return [_part(each, f"{path}/content/{at}") for at, each in enumerate(value)]


def _part(body: Any, path: str) -> Part:
    found = Fields(WIRE, body, path)
    match found.text("type"):
        case "text":
            return Text(text=found.need("text", str), extra=found.extra())
        case "refusal":
            return Refusal(text=found.need("refusal", str), extra=found.extra() or Extra(WIRE, {}))
        case "image_url":
            image = found.inner("image_url")
            url, detail = image.need("url", str), image.text("detail")
            found.keep("image_url", image.left)
            return Image(url=url, detail=detail, extra=found.extra())
    return Opaque(WIRE, body)


def _call(body: Any, path: str) -> ToolCall | Opaque:
    found = Fields(WIRE, body, path)
    if (found.text("type") or "function") != "function":
        return Opaque(WIRE, body)
    function = found.inner("function")
    name, arguments = function.need("name", str), function.text("arguments")
    found.keep("function", function.left)
    return ToolCall(call_id=found.need("id", str), name=name, arguments=arguments, extra=found.extra())


def _tool(body: Any, path: str) -> ToolOffer | Opaque:
    found = Fields(WIRE, body, path)
    if found.text("type") != "function":
        return Opaque(WIRE, body)
    function = found.inner("function")
    name, description = function.need("name", str), function.text("description")
    parameters, strict = function.take("parameters", dict), function.take("strict", bool)
    found.keep("function", function.left)
    return ToolOffer(name=name, description=description, parameters=parameters, strict=strict, extra=found.extra())


def _choice(value: Any) -> ToolChoice | Opaque | None:
    match value:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(mode=value)
        case {"type": "function", "function": {"name": str(name)}}:
            return ToolChoice(mode="named", name=name)
    return Opaque(WIRE, value)


def _schema(found: Fields) -> AnswerSchema | None:
    wanted = found.inner("response_format")
    match wanted.text("type"):
        case "json_object":
            return AnswerSchema()
        case "json_schema":
            inner = wanted.inner("json_schema")
            return AnswerSchema(
                document=inner.need("schema", dict),
                name=inner.need("name", str),
                description=inner.text("description"),
                strict=inner.take("strict", bool),
            )
        case "" | "text":
            return None
    raise Unreadable("/response_format/type", "there is no such form of an answer")


def write_request(request: ModelRequest, dialect: Dialect = STANDARD) -> Written:
    """Usage is asked for in every stream, whether whoever asks wants to see it or not. Raises Untranslatable."""
    out = Writing(WIRE)
    body = present(
        model=request.model,
        messages=[_message_body(each, out, f"/messages/{at}") for at, each in enumerate(_together(request.messages))],
        tools=[_tool_body(each, out, f"/tools/{at}") for at, each in enumerate(request.tools)] or None,
        tool_choice=_choice_body(request.tool_choice, out),
        parallel_tool_calls=request.parallel_tool_calls,
        response_format=_schema_body(request.answer),
        stream=True if request.stream else None,
        stream_options={"include_usage": True} if request.stream else None,
    )
    body |= _sampling_body(request.sampling, dialect, out)
    return Written(body=out.merged(body, request.extra, "request"), left_out=tuple(out.left_out))


def _together(messages: Sequence[Message]) -> list[Message]:
    """Results of tools in messages of their own, in front of what else a person's message says."""
    found: list[Message] = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        if message.role == "tool" or not results:
            found.append(message)
            continue
        found += [Message(role="tool", parts=(result,)) for result in results]
        rest = tuple(part for part in message.parts if not isinstance(part, ToolResult))
        if rest:
            found.append(Message(role=message.role, parts=rest, name=message.name, extra=message.extra))
    return found


def _sampling_body(sampling: Sampling, dialect: Dialect, out: Writing) -> dict[str, Any]:
    if sampling.top_k is not None:
        out.leave("sampling.top_k")
    body = present(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        stop=list(sampling.stop) or None,
        reasoning_effort=sampling.effort,
    )
    if sampling.max_output_tokens is not None:
        body[dialect.max_tokens_field] = sampling.max_output_tokens
    return body


def _message_body(message: Message, out: Writing, path: str) -> dict[str, Any]:
    if message.role == "tool":
        return _result_body(message, out, path)
    body: dict[str, Any] = {"role": message.role}
    if message.name:
        body["name"] = message.name
    body |= parts_body(message.parts, out, path)
    if "content" not in body and message.role != "assistant":
        body["content"] = []
    return out.merged(body, message.extra, "message")


def parts_body(parts: Iterable[Part], out: Writing, path: str) -> dict[str, Any]:
    """Thinking, content, refusal and calls, each in its own field: their order among each other has no place."""
    body: dict[str, Any] = {}
    content: list[Any] = []
    calls: list[Any] = []
    for part in parts:
        if calls and not isinstance(part, ToolCall | Opaque):
            out.leave("order of text and tool calls")
        match part:
            case Thinking(text=text, wire=None):
                body["reasoning_content"] = body.get("reasoning_content", "") + text
            case Thinking():
                out.leave("thinking")
            case ToolCall():
                calls.append(_call_body(part, out))
            case Opaque(wire=wire, body=opaque) if wire is WIRE and _is_call(opaque):
                calls.append(opaque)
            case Refusal(text=text, extra=None) if "refusal" not in body:
                body["refusal"] = text
            case _:
                content.append(_part_body(part, out, path))
    if content:
        plain = len(content) == 1 and content[0].keys() == {"type", "text"}
        body["content"] = content[0]["text"] if plain else content
    if calls:
        body["tool_calls"] = calls
    return body


def _is_call(body: Any) -> bool:
    return isinstance(body, dict) and "id" in body and body.get("type") == "custom"


def _part_body(part: Part, out: Writing, path: str) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return out.merged({"type": "text", "text": text}, part.extra, "text")
        case Refusal(text=text):
            return out.merged({"type": "refusal", "refusal": text}, part.extra, "refusal")
        case Image(url=url, detail=detail):
            image = present(url=url, detail=detail or None)
            return out.merged({"type": "image_url", "image_url": image}, part.extra, "image")
        case Opaque(wire=wire, body=body) if wire is WIRE:
            found: dict[str, Any] = body
            return found
    raise Untranslatable(path, "this kind of content has no form in chat completions")


def _call_body(call: ToolCall, out: Writing) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return out.merged({"id": call.call_id, "type": "function", "function": function}, call.extra, "tool_call")


def _result_body(message: Message, out: Writing, path: str) -> dict[str, Any]:
    (result,) = (part for part in message.parts if isinstance(part, ToolResult))
    if result.is_error:
        out.leave("tool_result.is_error")
    content = parts_body(result.content, out, path).get("content", [])
    body = out.merged({"role": "tool", "tool_call_id": result.call_id, "content": content}, result.extra, "tool_result")
    return out.merged(body, message.extra, "message")


def _tool_body(tool: ToolOffer | Opaque, out: Writing, path: str) -> Any:
    if isinstance(tool, Opaque):
        return own(tool, out, path)
    function = present(
        name=tool.name, description=tool.description or None, parameters=tool.parameters, strict=tool.strict
    )
    return out.merged({"type": "function", "function": function}, tool.extra, "tool")


def _choice_body(choice: ToolChoice | Opaque | None, out: Writing) -> Any:
    if isinstance(choice, Opaque):
        return own(choice, out, "/tool_choice")
    if choice is None or choice.mode != "named":
        return choice and choice.mode
    return {"type": "function", "function": {"name": choice.name}}


def _schema_body(answer: AnswerSchema | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    if answer.document is None:
        return {"type": "json_object"}
    schema = present(
        name=answer.name, description=answer.description or None, schema=answer.document, strict=answer.strict
    )
    return {"type": "json_schema", "json_schema": schema}
