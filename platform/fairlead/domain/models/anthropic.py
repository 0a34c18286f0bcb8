"""Requests of Anthropic's messages, read and written."""

from collections.abc import Sequence
from typing import Any

import msgspec
from fairlead_sdk.models import Wire
from msgspec.structs import replace

from fairlead.domain.models.content import (
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

WIRE = Wire.ANTHROPIC_MESSAGES
_encode = msgspec.json.Encoder().encode


def read_request(body: Any) -> ModelRequest:
    """Raises Unreadable."""
    found = Fields(WIRE, body, "")
    system = blocks(found.any("system"), "/system")
    messages = [Message(role="system", parts=tuple(system))] if system else []
    for at, each in enumerate(found.many("messages")):
        messages += _messages(each, f"/messages/{at}")
    choice, parallel = _choice(found.take("tool_choice", dict))
    config = found.inner("output_config")
    request = ModelRequest(
        model=found.need("model", str),
        messages=tuple(messages),
        tools=tuple(_tool(each, f"/tools/{at}") for at, each in enumerate(found.many("tools"))),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        answer=_schema(config),
        sampling=_sampling(found, config),
        stream=found.take("stream", bool) or False,
    )
    found.keep("output_config", config.left)
    return replace(request, extra=found.extra())


def _sampling(found: Fields, config: Fields) -> Sampling:
    stops = found.many("stop_sequences")
    if not all(isinstance(each, str) for each in stops):
        raise Unreadable("/stop_sequences", "this is a list of texts")
    return Sampling(
        max_output_tokens=found.need("max_tokens", int),
        temperature=found.take("temperature", float),
        top_p=found.take("top_p", float),
        top_k=found.take("top_k", int),
        stop=tuple(stops),
        effort=config.take("effort", str),
    )


def _schema(config: Fields) -> AnswerSchema | None:
    form = config.take("format", dict)
    if form is None:
        return None
    if form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
        raise Unreadable("/output_config/format", "this is a JSON Schema under `schema`")
    return AnswerSchema(document=form["schema"])


def _messages(body: Any, path: str) -> list[Message]:
    """Results of tools become messages of their own; what stands around them keeps its order."""
    found = Fields(WIRE, body, path)
    role: Any = found.need("role", str)
    if role not in ("user", "assistant", "system"):
        raise Unreadable(f"{path}/role", "there is no such role")
    parts = blocks(found.any("content"), f"{path}/content")
    messages: list[Message] = []
    gathered: list[Part] = []
    for part in parts:
        if isinstance(part, ToolResult):
            messages += _gathered(role, gathered)
            gathered = []
            messages.append(Message(role="tool", parts=(part,)))
        else:
            gathered.append(part)
    messages += _gathered(role, gathered) if gathered or not messages else []
    return [replace(messages[0], extra=found.extra()), *messages[1:]] if messages else []


def _gathered(role: Role, parts: list[Part]) -> list[Message]:
    return [Message(role=role, parts=tuple(parts))] if parts or role == "assistant" else []


def blocks(value: Any, path: str) -> list[Part]:
    """Of a message in a request, and of an answer."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(text=value)]
    if not isinstance(value, list):
        raise Unreadable(path, "this is a text or a list")
    return [block(each, f"{path}/{at}") for at, each in enumerate(value)]


def block(body: Any, path: str) -> Part:
    found = Fields(WIRE, body, path)
    match found.text("type"):
        case "text":
            return Text(text=found.need("text", str), extra=found.extra())
        case "image" if (url := _image_url(found.take("source", dict))) is not None:
            return Image(url=url, extra=found.extra())
        case "thinking":
            thought, signature = found.text("thinking"), found.text("signature")
            return Thinking(text=thought, signature=signature, wire=WIRE, extra=found.extra())
        case "tool_use":
            call_id, name, arguments = found.need("id", str), found.need("name", str), found.any("input")
            written = _encode({} if arguments is None else arguments).decode()
            return ToolCall(call_id=call_id, name=name, arguments=written, extra=found.extra())
        case "tool_result":
            return _result(found)
    return Opaque(WIRE, body)


def _result(found: Fields) -> ToolResult:
    parts = blocks(found.any("content"), f"{found.path}/content")
    content = tuple(part for part in parts if isinstance(part, Text | Image | Opaque))
    if len(content) != len(parts):
        raise Unreadable(f"{found.path}/content", "no result of a tool holds this")
    return ToolResult(
        call_id=found.need("tool_use_id", str),
        content=content,
        is_error=found.take("is_error", bool) or False,
        extra=found.extra(),
    )


def _image_url(source: dict[str, Any] | None) -> str | None:
    match source:
        case {"type": "url", "url": str(url), **rest} if not rest:
            return url
        case {"type": "base64", "media_type": str(media), "data": str(data), **rest} if not rest and ";" not in media:
            return f"data:{media};base64,{data}"
    return None


def _image_source(url: str) -> dict[str, Any]:
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        return {"type": "base64", "media_type": head[len("data:") : -len(";base64")], "data": data}
    return {"type": "url", "url": url}


def _tool(body: Any, path: str) -> ToolOffer | Opaque:
    found = Fields(WIRE, body, path)
    if found.take("type", str) not in (None, "custom"):
        return Opaque(WIRE, body)
    return ToolOffer(
        name=found.need("name", str),
        description=found.text("description"),
        parameters=found.take("input_schema", dict),
        strict=found.take("strict", bool),
        extra=found.extra(),
    )


def _choice(body: dict[str, Any] | None) -> tuple[ToolChoice | Opaque | None, bool | None]:
    if body is None:
        return None, None
    serial = body.get("disable_parallel_tool_use")
    parallel = not serial if isinstance(serial, bool) else None
    match {name: value for name, value in body.items() if name != "disable_parallel_tool_use"}:
        case {"type": "auto", **rest} if not rest:
            return ToolChoice(mode="auto"), parallel
        case {"type": "any", **rest} if not rest:
            return ToolChoice(mode="required"), parallel
        case {"type": "none", **rest} if not rest:
            return ToolChoice(mode="none"), parallel
        case {"type": "tool", "name": str(name), **rest} if not rest:
            return ToolChoice(mode="named", name=name), parallel
    return Opaque(WIRE, body), None


def write_request(request: ModelRequest, dialect: Dialect = STANDARD) -> Written:
    """Raises Untranslatable."""
    out = Writing(WIRE)
    system, messages = _system_first(request.messages, out)
    sampling = request.sampling
    if sampling.seed is not None:
        out.leave("sampling.seed")
    bound = sampling.max_output_tokens
    body = present(
        model=request.model,
        max_tokens=dialect.default_max_tokens if bound is None else bound,
        system=[block_body(part, out, "/system") for part in system] or None,
        messages=_turns(messages, out),
        tools=[_tool_body(each, out, f"/tools/{at}") for at, each in enumerate(request.tools)] or None,
        tool_choice=_choice_body(request, out),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        stop_sequences=list(sampling.stop) or None,
        output_config=_config_body(request, out) or None,
        stream=True if request.stream else None,
    )
    return Written(body=out.merged(body, request.extra, "request"), left_out=tuple(out.left_out))


def _system_first(messages: Sequence[Message], out: Writing) -> tuple[list[Part], list[Message]]:
    """Instructions go before everything else, wherever they stood."""
    system: list[Part] = []
    others: list[Message] = []
    for message in messages:
        if message.role not in ("system", "developer"):
            others.append(message)
            continue
        if others:
            out.leave("place of a system message")
        system += message.parts
    return system, others


def _turns(messages: Sequence[Message], out: Writing) -> list[dict[str, Any]]:
    """Results of tools and what a person says after them are one turn."""
    turns: list[dict[str, Any]] = []
    takes_results = False
    for at, message in enumerate(messages):
        if message.name:
            out.leave("message.name")
        role = "assistant" if message.role == "assistant" else "user"
        content = [block_body(part, out, f"/messages/{at}") for part in message.parts if _has_place(part, out)]
        if takes_results and role == "user" and (message.extra is None or message.extra.wire is not WIRE):
            turns[-1] = {**turns[-1], "content": [*turns[-1]["content"], *content]}
            out.merged({}, message.extra, "message")
        else:  # what is said of a message would not be said of the turn
            turns.append(out.merged({"role": role, "content": content}, message.extra, "message"))
        takes_results = message.role == "tool"
    return turns


def _has_place(part: Part, out: Writing) -> bool:
    """Thinking that this provider did not sign is none that it takes back."""
    if isinstance(part, Thinking) and part.wire is not WIRE:
        out.leave("thinking")
        return False
    return True


def block_body(part: Part, out: Writing, path: str) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return out.merged({"type": "text", "text": text}, part.extra, "text")
        case Refusal(text=text):
            out.leave("refusal")  # that it is one; its words stay
            return {"type": "text", "text": text}
        case Image(url=url):
            if part.detail:
                out.leave("image.detail")
            return out.merged({"type": "image", "source": _image_source(url)}, part.extra, "image")
        case Thinking(text=text, signature=signature):
            thought = {"type": "thinking", "thinking": text, "signature": signature}
            return out.merged(thought, part.extra, "thinking")
        case ToolCall():
            return _call_body(part, out, path)
        case ToolResult():
            content = [block_body(each, out, path) for each in part.content]
            body: dict[str, Any] = {"type": "tool_result", "tool_use_id": part.call_id, "content": content}
            return out.merged(body | ({"is_error": True} if part.is_error else {}), part.extra, "tool_result")
        case Opaque():
            found: dict[str, Any] = own(part, out, path)
            return found


def _call_body(call: ToolCall, out: Writing, path: str) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        raise Untranslatable(path, "the arguments of this call are no JSON") from None
    body = {"type": "tool_use", "id": call.call_id, "name": call.name, "input": arguments}
    return out.merged(body, call.extra, "tool_call")


def _tool_body(tool: ToolOffer | Opaque, out: Writing, path: str) -> Any:
    if isinstance(tool, Opaque):
        return own(tool, out, path)
    schema = {"type": "object", "properties": {}} if tool.parameters is None else tool.parameters
    body = present(name=tool.name, description=tool.description or None, input_schema=schema, strict=tool.strict)
    return out.merged(body, tool.extra, "tool")


def _choice_body(request: ModelRequest, out: Writing) -> Any:
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    if isinstance(choice, Opaque):
        return own(choice, out, "/tool_choice")
    if choice is None and (parallel is None or not request.tools):
        return None
    body = _mode_body(choice or ToolChoice(mode="auto"))
    if parallel is None or body["type"] == "none":
        return body
    return {**body, "disable_parallel_tool_use": not parallel}


def _mode_body(choice: ToolChoice) -> dict[str, Any]:
    if choice.mode == "named":
        return {"type": "tool", "name": choice.name}
    return {"type": "any" if choice.mode == "required" else choice.mode}


def _config_body(request: ModelRequest, out: Writing) -> dict[str, Any]:
    config = present(effort=request.sampling.effort)
    if request.answer is not None and request.answer.document is not None:
        config["format"] = {"type": "json_schema", "schema": request.answer.document}
    elif request.answer is not None:
        out.leave("answer: any JSON object")
    return config
