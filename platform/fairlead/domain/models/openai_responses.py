"""Requests of OpenAI's responses, read and written.

What this wire has as items of a list is one message of ours as long as the model speaks. Fields of the item that a text
came in stay with the first text of it, under `item`.
"""

from collections.abc import Iterable
from typing import Any

from fairlead_sdk.models import Wire
from msgspec.structs import replace

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
from fairlead.domain.models.errors import Unreadable, Untranslatable
from fairlead.domain.models.fields import Fields, Writing, own, present
from fairlead.domain.models.request import AnswerSchema, ModelRequest, Sampling, ToolChoice, ToolOffer
from fairlead.domain.models.writing import STANDARD, Dialect, Written

WIRE = Wire.OPENAI_RESPONSES


def read_request(body: Any) -> ModelRequest:
    """Raises Unreadable."""
    found = Fields(WIRE, body, "")
    instructions = found.take("instructions", str)
    said = found.any("input")
    items = [{"role": "user", "content": said}] if isinstance(said, str) else said or []
    if not isinstance(items, list):
        raise Unreadable("/input", "this is a text or a list")
    first = [] if instructions is None else [Message(role="system", parts=(Text(text=instructions),))]
    text, reasoning = found.inner("text"), found.inner("reasoning")
    request = ModelRequest(
        model=found.need("model", str),
        messages=(*first, *messages_of(items, "/input")),
        tools=tuple(_tool(each, f"/tools/{at}") for at, each in enumerate(found.many("tools"))),
        tool_choice=_choice(found.any("tool_choice")),
        parallel_tool_calls=found.take("parallel_tool_calls", bool),
        answer=_schema(text),
        sampling=Sampling(
            max_output_tokens=found.take("max_output_tokens", int),
            temperature=found.take("temperature", float),
            top_p=found.take("top_p", float),
            effort=reasoning.take("effort", str),
        ),
        stream=found.take("stream", bool) or False,
    )
    found.keep("text", text.left)
    found.keep("reasoning", reasoning.left)
    return replace(request, extra=found.extra())


def messages_of(items: list[Any], path: str) -> list[Message]:
    messages: list[Message] = []
    for at, each in enumerate(items):
        message = _item(Fields(WIRE, each, f"{path}/{at}"), each)
        if messages and message.role == messages[-1].role == "assistant":
            messages[-1] = replace(messages[-1], parts=(*messages[-1].parts, *message.parts))
        else:
            messages.append(message)
    return messages


def _item(found: Fields, body: Any) -> Message:
    match found.text("type") or "message":
        case "message":
            return _message(found)
        case "function_call":
            return Message(role="assistant", parts=(call_of(found),))
        case "function_call_output":
            return Message(role="tool", parts=(_result(found),))
        case "reasoning" if (thinking := thinking_of(found)) is not None:
            return Message(role="assistant", parts=(thinking,))
    return Message(role="assistant", parts=(Opaque(WIRE, body),))


def _message(found: Fields) -> Message:
    role: Any = found.need("role", str)
    if role not in ("system", "developer", "user", "assistant"):
        raise Unreadable(f"{found.path}/role", "there is no such role")
    parts = contents(found.any("content"), f"{found.path}/content")
    found.take("status", str)
    if role != "assistant":
        return Message(role=role, parts=tuple(parts), extra=found.extra())
    return Message(role=role, parts=tuple(in_item(parts, found.left)))


def in_item(parts: list[Part], item: dict[str, Any]) -> list[Part]:
    """Where one item ends and the next begins is worth keeping only where an item says something of itself."""
    if not item or not parts or not isinstance(parts[0], Text | Refusal):
        return parts
    known = parts[0].extra.fields if parts[0].extra else {}
    return [replace(parts[0], extra=Extra(WIRE, {**known, "item": item})), *parts[1:]]


def contents(value: Any, path: str) -> list[Part]:
    if isinstance(value, str):
        return [Text(text=value)]
    if not isinstance(value, list):
        raise Unreadable(path, "this is a text or a list")
    return [content(each, f"{path}/{at}") for at, each in enumerate(value)]


def content(body: Any, path: str) -> Part:
    found = Fields(WIRE, body, path)
    match found.text("type"):
        case "input_text" | "output_text":
            found.keep("annotations", found.any("annotations"))
            found.keep("logprobs", found.any("logprobs"))
            return Text(text=found.need("text", str), extra=found.extra())
        case "refusal":
            return Refusal(text=found.need("refusal", str), extra=found.extra())
        case "input_image" if isinstance(body.get("image_url"), str):
            return Image(url=found.need("image_url", str), detail=found.text("detail"), extra=found.extra())
    return Opaque(WIRE, body)


def call_of(found: Fields) -> ToolCall:
    call_id, name, arguments = found.need("call_id", str), found.need("name", str), found.text("arguments")
    found.take("status", str)
    return ToolCall(call_id=call_id, name=name, arguments=arguments, extra=found.extra())


def _result(found: Fields) -> ToolResult:
    parts = contents(found.any("output"), f"{found.path}/output")
    kept = tuple(part for part in parts if isinstance(part, Text | Image | Opaque))
    if len(kept) != len(parts):
        raise Unreadable(f"{found.path}/output", "no result of a tool holds this")
    call_id = found.need("call_id", str)
    found.take("status", str)
    return ToolResult(call_id=call_id, content=kept, extra=found.extra())


def thinking_of(found: Fields) -> Thinking | None:
    """None for thinking in several pieces, or with more than a summary: it stays as it is."""
    if found.left.get("content"):
        return None
    match found.many("summary"):
        case []:
            text = ""
        case [{"type": "summary_text", "text": str(text), **rest}] if not rest:
            pass
        case _:
            return None
    found.any("content")
    found.take("status", str)
    return Thinking(text=text, signature=found.text("encrypted_content"), wire=WIRE, extra=found.extra())


def _tool(body: Any, path: str) -> ToolOffer | Opaque:
    found = Fields(WIRE, body, path)
    if found.text("type") != "function":
        return Opaque(WIRE, body)
    return ToolOffer(
        name=found.need("name", str),
        description=found.text("description"),
        parameters=found.take("parameters", dict),
        strict=found.take("strict", bool),
        extra=found.extra(),
    )


def _choice(value: Any) -> ToolChoice | Opaque | None:
    match value:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(mode=value)
        case {"type": "function", "name": str(name)}:
            return ToolChoice(mode="named", name=name)
    return Opaque(WIRE, value)


def _schema(text: Fields) -> AnswerSchema | None:
    form = text.inner("format")
    match form.text("type"):
        case "json_object":
            return AnswerSchema()
        case "json_schema":
            return AnswerSchema(
                document=form.need("schema", dict),
                name=form.need("name", str),
                description=form.text("description"),
                strict=form.take("strict", bool),
            )
        case "" | "text":
            return None
    raise Unreadable("/text/format/type", "there is no such form of an answer")


def write_request(request: ModelRequest, dialect: Dialect = STANDARD) -> Written:  # noqa: ARG001  # as each wire's
    """Raises Untranslatable."""
    out = Writing(WIRE)
    sampling = request.sampling
    for name in ("top_k", "seed", "stop"):
        if getattr(sampling, name):
            out.leave(f"sampling.{name}")
    instructions, messages = _instructions(request.messages)
    schema = _schema_body(request.answer)
    body = present(
        model=request.model,
        instructions=instructions,
        input=[item for at, each in enumerate(messages) for item in _items(each, out, f"/messages/{at}")],
        tools=[_tool_body(each, out, f"/tools/{at}") for at, each in enumerate(request.tools)] or None,
        tool_choice=_choice_body(request.tool_choice, out),
        parallel_tool_calls=request.parallel_tool_calls,
        text={"format": schema} if schema else None,
        max_output_tokens=sampling.max_output_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        reasoning={"effort": sampling.effort} if sampling.effort else None,
        stream=True if request.stream else None,
    )
    return Written(body=out.merged(body, request.extra, "request"), left_out=tuple(out.left_out))


def _instructions(messages: tuple[Message, ...]) -> tuple[str | None, tuple[Message, ...]]:
    match messages:
        case (Message(role="system", parts=(Text(text=text, extra=None),), name="", extra=None), *_):
            return text, messages[1:]
    return None, messages


def _items(message: Message, out: Writing, path: str) -> list[dict[str, Any]]:
    if message.name:
        out.leave("message.name")
    if message.role == "assistant":
        out.merged({}, message.extra if message.extra and message.extra.wire is not WIRE else None, "message")
        return output_items(message.parts, out, path)
    results = [_result_body(part, out, path) for part in message.parts if isinstance(part, ToolResult)]
    said = [part_body(part, out, path, "input") for part in message.parts if not isinstance(part, ToolResult)]
    if results and not said:
        return results
    body = {"type": "message", "role": message.role, "content": said}
    return [*results, out.merged(body, message.extra, "message")]


def output_items(parts: Iterable[Part], out: Writing, path: str) -> list[dict[str, Any]]:
    """Texts that stand together are one item, unless they came in several."""
    items: list[dict[str, Any]] = []
    is_open = False
    for part in parts:
        if isinstance(part, Text | Refusal | Image):
            item = part.extra.fields.get("item") if part.extra and part.extra.wire is WIRE else None
            if item is not None or not is_open:
                head = {"type": "message", "role": "assistant", "status": "completed", "content": []}
                items.append({**(item or {}), **head})
            items[-1]["content"].append(part_body(part, out, path, "output"))
            is_open = True
            continue
        items += _item_body(part, out, path)
        is_open = False
    return items


def _item_body(part: Part, out: Writing, path: str) -> list[dict[str, Any]]:
    match part:
        case ToolCall(call_id=call_id, name=name, arguments=arguments):
            call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
            return [out.merged({**call, "status": "completed"}, part.extra, "tool_call")]
        case Thinking(text=text, signature=signature, wire=wire):
            if wire is not WIRE:
                out.leave("thinking")
                return []
            summary = [{"type": "summary_text", "text": text}] if text else []
            thought = {"type": "reasoning", "summary": summary}
            return [
                out.merged(thought | ({"encrypted_content": signature} if signature else {}), part.extra, "thinking")
            ]
        case Opaque():
            return [own(part, out, path)]
    raise Untranslatable(path, "this is no part of an answer")


def part_body(part: Part, out: Writing, path: str, way: str) -> dict[str, Any]:
    extra = _without_item(getattr(part, "extra", None))
    match part:
        case Text(text=text):
            body: dict[str, Any] = {"type": f"{way}_text", "text": text}
            if way == "output" and (extra is None or "annotations" not in extra.fields):
                body["annotations"] = []
            return out.merged(body, extra, "text")
        case Refusal(text=text):
            return out.merged({"type": "refusal", "refusal": text}, extra, "refusal")
        case Image(url=url, detail=detail):
            return out.merged(present(type="input_image", image_url=url, detail=detail or None), extra, "image")
        case Opaque():
            found: dict[str, Any] = own(part, out, path)
            return found
    raise Untranslatable(path, "this kind of content has no form in responses")


def _without_item(extra: Extra | None) -> Extra | None:
    if extra is None or extra.wire is not WIRE:
        return extra
    return Extra(WIRE, {name: value for name, value in extra.fields.items() if name != "item"})


def _result_body(result: ToolResult, out: Writing, path: str) -> dict[str, Any]:
    if result.is_error:
        out.leave("tool_result.is_error")
    output: Any = [part_body(part, out, path, "input") for part in result.content]
    if len(output) == 1 and output[0].keys() == {"type", "text"}:
        output = output[0]["text"]
    body = {"type": "function_call_output", "call_id": result.call_id, "output": output}
    return out.merged(body, result.extra, "tool_result")


def _tool_body(tool: ToolOffer | Opaque, out: Writing, path: str) -> Any:
    if isinstance(tool, Opaque):
        return own(tool, out, path)
    body = present(
        type="function",
        name=tool.name,
        description=tool.description or None,
        parameters=tool.parameters,
        strict=tool.strict,
    )
    return out.merged(body, tool.extra, "tool")


def _choice_body(choice: ToolChoice | Opaque | None, out: Writing) -> Any:
    if isinstance(choice, Opaque):
        return own(choice, out, "/tool_choice")
    if choice is None or choice.mode != "named":
        return choice and choice.mode
    return {"type": "function", "name": choice.name}


def _schema_body(answer: AnswerSchema | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    if answer.document is None:
        return {"type": "json_object"}
    return present(
        type="json_schema",
        name=answer.name,
        description=answer.description or None,
        schema=answer.document,
        strict=answer.strict,
    )
