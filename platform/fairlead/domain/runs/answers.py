"""What a run makes of a model's answer, as it was recorded: the output of the step that asked."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from fairlead.domain.runs.events import Purpose

_FENCE = "```"


def output_of(answer: Any, finish: str, *, purpose: Purpose, checked: bool) -> dict[str, Any]:
    """`text`, `finish` and `tool_calls`; `value` where the answer is checked JSON, and the whole `answer` for a planner
    that goes on with it. Of an answer that was erased there is no more than `finish`."""
    calls = [
        {"id": part.get("call_id", ""), "name": part.get("name", ""), "arguments": part.get("arguments", "")}
        for part in _parts(answer, "tool_call")
    ]
    text = text_of(answer)
    output: dict[str, Any] = {"text": text, "finish": finish, "tool_calls": calls}
    if checked:
        output["value"] = value_in(text)[0]
    if purpose != "step":
        output["answer"] = answer
    return output


def text_of(answer: Any) -> str:
    """All that it says, without what it thought."""
    return "".join(str(part.get("text", "")) for part in _parts(answer, "text"))


def value_in(text: str) -> tuple[Any, bool]:
    """The JSON that the text is, alone or in a fence, and whether it is any."""
    plain = text.strip()
    if plain.startswith(_FENCE) and plain.endswith(_FENCE) and len(plain) > 2 * len(_FENCE):
        plain = plain.removeprefix(_FENCE).removesuffix(_FENCE).removeprefix("json").strip()
    try:
        return msgspec.json.decode(plain), True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, False


def _parts(answer: Any, kind: str) -> Iterator[Mapping[str, Any]]:
    parts = answer.get("parts") if isinstance(answer, Mapping) else None
    for part in parts if isinstance(parts, list | tuple) else ():
        if isinstance(part, Mapping) and part.get("type") == kind:
            yield part
