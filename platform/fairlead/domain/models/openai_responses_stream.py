"""Streamed answers of OpenAI's responses, read and written. Its last event repeats the whole answer."""

from typing import Any

from fairlead.domain.models.answer import (
    Began,
    Delta,
    Ended,
    Finished,
    Noted,
    PartBegan,
    PartGrew,
    Passed,
    UsageSeen,
)
from fairlead.domain.models.assembling import Assembly
from fairlead.domain.models.content import Opaque, Part, Refusal, Text, Thinking, ToolCall
from fairlead.domain.models.errors import Unreadable, Untranslatable
from fairlead.domain.models.fields import Fields, Writing
from fairlead.domain.models.openai_responses import WIRE, call_of, content, in_item, output_items
from fairlead.domain.models.openai_responses_answer import read_answer, write_answer

_GROWTH = {
    "response.output_text.delta",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
}
_KNOWN_ALREADY = {
    "response.in_progress",
    "response.queued",
    "response.content_part.done",
    "response.output_text.done",
    "response.refusal.done",
    "response.function_call_arguments.done",
}


class ResponsesReader:
    """Events of one streamed answer become pieces. What only the last event tells is told at the end."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, int], int] = {}
        self._items: dict[int, dict[str, Any]] = {}

    def read(self, event: Any) -> list[Delta]:
        """Raises Unreadable."""
        found = Fields(WIRE, event, "")
        match found.text("type"):
            case "response.created":
                return self._created(found.inner("response"))
            case "response.output_item.added":
                return self._item(found)
            case "response.content_part.added":
                return self._part(found)
            case "response.output_item.done":
                return self._done(found)
            case "response.completed" | "response.incomplete":
                return self._end(found.any("response"))
            case kind if kind in _GROWTH:
                return self._grew(found)
            case kind if kind in _KNOWN_ALREADY:
                return []
        return [Passed(wire=WIRE, body=event)]

    def _created(self, response: Fields) -> list[Delta]:
        created = response.take("created_at", float)
        created_s = None if created is None else int(created)
        return [Began(answer_id=response.text("id"), model=response.text("model"), created_s=created_s)]

    def _item(self, found: Fields) -> list[Delta]:
        at, item = found.need("output_index", int), found.inner("item")
        match item.text("type"):
            case "function_call":
                return [self._place((at, 0), call_of(item))]
            case "message":
                for known in ("role", "content", "status"):
                    item.any(known)
                self._items[at] = item.left
        return []

    def _part(self, found: Fields) -> list[Delta]:
        at, inner = found.need("output_index", int), found.need("content_index", int)
        part = content(found.any("part"), "/part")
        if inner == 0:
            (part,) = in_item([part], self._items.get(at, {}))
        return [self._place((at, inner), part)]

    def _place(self, key: tuple[int, int], part: Part) -> PartBegan:
        self._places[key] = len(self._places)
        return PartBegan(at=self._places[key], part=part)

    def _grew(self, found: Fields) -> list[Delta]:
        key = (found.need("output_index", int), found.take("content_index", int) or 0)
        if key not in self._places:
            raise Unreadable("/output_index", "nothing has begun there")
        return [PartGrew(at=self._places[key], text=found.need("delta", str))]

    def _done(self, found: Fields) -> list[Delta]:
        """Thinking, and kinds that we do not know, are taken when they are whole; listeners of this wire hear all."""
        at = found.need("output_index", int)
        if at in self._items or (at, 0) in self._places:
            return []
        messages = read_answer({"status": "completed", "output": [found.any("item")]}).parts
        return [self._place((at, inner), part) for inner, part in enumerate(messages)]

    def _end(self, response: Any) -> list[Delta]:
        answer = read_answer(response)
        deltas: list[Delta] = [Noted(extra=answer.extra)] if answer.extra else []
        if answer.usage is not None:
            deltas.append(UsageSeen(usage=answer.usage))
        return [*deltas, Finished(finish=answer.finish), Ended()]


class ResponsesWriter:
    """Pieces become events, numbered. Each part is an item of its own, and comes again when it is whole."""

    def __init__(self) -> None:
        self._assembly = Assembly()
        self._head: dict[str, Any] = {}
        self._open: tuple[int, Part] | None = None  # its place in the answer, and how it began
        self._numbers = 0
        self._done: list[dict[str, Any]] = []
        self._out = Writing(WIRE)

    def write(self, delta: Delta) -> list[dict[str, Any]]:
        """Raises Untranslatable."""
        self._assembly.add(delta)
        match delta:
            case Began():
                self._head = {"id": delta.answer_id, "object": "response", "created_at": delta.created_s or 0}
                self._head |= {"model": delta.model, "status": "in_progress", "output": []}
                return [self._event("response.created", response=self._head)]
            case PartBegan(at=at, part=part):
                return [*self._close(), *self._began(at, part)]
            case PartGrew(at=at, text=text):
                return self._grew(at, text)
            case Passed(wire=wire, body=body) if wire is WIRE:
                return [body]
            case Ended():
                return [*self._close(), self._end()]
        return []

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._numbers += 1
        return {"type": kind, "sequence_number": self._numbers - 1, **fields}

    def _item(self, part: Part) -> dict[str, Any] | None:
        """None for what this wire has no place for."""
        items = output_items([part], self._out, "/output")
        return {"id": f"item_{len(self._done)}", **items[0]} if items else None

    def _began(self, at: int, part: Part) -> list[dict[str, Any]]:
        item = self._item(part)
        self._open = (at, part) if item is not None else None
        if item is None or isinstance(part, Opaque | Thinking):
            return []  # it comes when it is whole
        place, said = len(self._done), {**item, "status": "in_progress"}
        if isinstance(part, ToolCall):
            return [self._event("response.output_item.added", output_index=place, item=said)]
        added = self._event("response.output_item.added", output_index=place, item={**said, "content": []})
        return [added, self._event("response.content_part.added", **self._where(item), part=item["content"][0])]

    def _where(self, item: dict[str, Any]) -> dict[str, Any]:
        return {"item_id": item["id"], "output_index": len(self._done), "content_index": 0}

    def _grew(self, at: int, text: str) -> list[dict[str, Any]]:
        if self._open is None or not text:
            return []
        place, part = self._open
        if place != at:
            raise Untranslatable(f"/output/{at}", "this part grows after another has begun")
        item = self._item(part)
        if item is None or isinstance(part, Opaque | Thinking):
            return []
        where = self._where(item)
        match part:
            case ToolCall():
                del where["content_index"]
                return [self._event("response.function_call_arguments.delta", **where, delta=text)]
            case Refusal():
                return [self._event("response.refusal.delta", **where, delta=text)]
        return [self._event("response.output_text.delta", **where, delta=text, logprobs=[])]

    def _close(self) -> list[dict[str, Any]]:
        if self._open is None:
            return []
        at, _ = self._open
        part, self._open = self._assembly.part(at), None
        item = self._item(part)
        if item is None:
            return []
        events = self._whole(part, item)
        events.append(self._event("response.output_item.done", output_index=len(self._done), item=item))
        self._done.append(item)
        return events

    def _whole(self, part: Part, item: dict[str, Any]) -> list[dict[str, Any]]:
        where = self._where(item)
        match part:
            case ToolCall(arguments=arguments, name=name):
                del where["content_index"]
                return [self._event("response.function_call_arguments.done", **where, name=name, arguments=arguments)]
            case Text(text=text):
                said = self._event("response.output_text.done", **where, text=text, logprobs=[])
            case Refusal(text=text):
                said = self._event("response.refusal.done", **where, refusal=text)
            case _:
                return [self._event("response.output_item.added", output_index=len(self._done), item=item)]
        return [said, self._event("response.content_part.done", **where, part=item["content"][0])]

    def _end(self) -> dict[str, Any]:
        body = {**write_answer(self._assembly.answer()).body, "output": self._done}
        kind = "response.completed" if body["status"] == "completed" else "response.incomplete"
        return self._event(kind, response=body)
