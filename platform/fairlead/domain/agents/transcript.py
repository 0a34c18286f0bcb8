"""What a model is shown: its instructions, the task, and the turns so far, with everything that others wrote fenced.

Guardrails look at each text before it is shown. Their findings are told once, with the first request that holds the
text.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct

from fairlead.domain.agents import preamble
from fairlead.domain.agents.fencing import Fence, cut, shown
from fairlead.domain.agents.history import Turn
from fairlead.domain.guardrails.findings import Finding
from fairlead.domain.guardrails.inspecting import Inspected, Inspector
from fairlead.domain.models.content import Message, Part, Text, Thinking, ToolCall, ToolResult

KEPT_INSPECTIONS = 2_000
_encode = msgspec.json.Encoder().encode


class Shown(Struct, frozen=True):
    """Of one turn: its messages, and what was found in the results that are in them."""

    messages: tuple[Message, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def chars(self) -> int:
        return sum(len(_encode(message)) for message in self.messages)


class Reader:
    """Shows texts of others: cut, looked through, fenced. Texts that were looked through once are known."""

    def __init__(self, inspector: Inspector, most_chars: int) -> None:
        self._most_chars = most_chars
        self._inspect = lru_cache(KEPT_INSPECTIONS)(inspector.inspect)

    def fenced(self, text: str, source: str, where: str, fence: Fence) -> tuple[str, tuple[Finding, ...]]:
        found: Inspected = self._inspect(cut(text, self._most_chars), where)
        return fence.around(str(found.value), source, warned=found.marked), found.findings


def turn_shown(turn: Turn, reader: Reader, fence: Fence, last_word: str = "", *, withheld: bool = False) -> Shown:
    """A turn and what came of it. `last_word` is what we say to it; what is `withheld` is not said again."""
    said = tuple(_said(turn, withheld=withheld)) or (Text(text="(nothing)"),)
    messages = [Message(role="assistant", parts=said)] if turn.outcome.status == "completed" else []
    findings: list[Finding] = []
    for want, result in zip(turn.wants, turn.results, strict=True):
        text, is_error = preamble.NOT_USED, True
        if result is not None:
            text, is_error = shown(result.value) or preamble.NOT_OVER, result.is_error
        if result is not None and result.source:
            where = f"/turn/{turn.index}/result/{want.at}"
            text, found = reader.fenced(text, result.source, where, fence)
            findings += found
        answer = ToolResult(call_id=_call_id(turn.index, want.at), content=(Text(text=text),), is_error=is_error)
        messages.append(Message(role="tool", parts=(answer,)))
    if last_word:
        messages.append(Message(role="user", parts=(Text(text=last_word),)))
    return Shown(tuple(messages), tuple(findings))


def _said(turn: Turn, *, withheld: bool) -> list[Part]:
    """As the model wrote it, but for calls that no wire could carry, and with call ids of our own."""
    said: list[Part] = []
    calls = iter(turn.wants)
    for part in turn.parts:
        if isinstance(part, ToolCall):
            want = next(calls)
            unfit = withheld or want.fault in ("not_json", "no_such_tool")
            arguments = "{}" if unfit else part.arguments
            said.append(
                ToolCall(call_id=_call_id(turn.index, want.at), name=_safe(part.name), arguments=arguments or "{}")
            )
        elif withheld:
            continue
        elif isinstance(part, Thinking):
            said.append(part)
        elif isinstance(part, Text) and part.text:
            said.append(Text(text=part.text))
    return said


def _call_id(turn: int, at: int) -> str:
    return f"call_{turn}_{at}"


def _safe(name: str) -> str:
    """Wires refuse requests with other names, even where a model made them up."""
    clean = "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "_" for each in name)
    return clean[:64] or "unnamed"


def tokens(chars: int) -> int:
    """About so many: four characters each."""
    return -(-chars // 4)


def chars_of(turns: Sequence[Shown]) -> int:
    return sum(each.chars for each in turns)
