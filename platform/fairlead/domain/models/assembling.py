"""Puts a streamed answer together, and takes a whole one apart."""

from collections.abc import Iterator

from msgspec.structs import replace

from fairlead.domain.models.answer import (
    Began,
    Delta,
    Ended,
    Finish,
    Finished,
    ModelAnswer,
    Noted,
    PartBegan,
    PartGrew,
    Passed,
    Usage,
    UsageSeen,
)
from fairlead.domain.models.content import Extra, Opaque, Part, Refusal, Text, Thinking, ToolCall
from fairlead.domain.models.errors import CutOff
from fairlead.domain.models.fields import beneath


class Assembly:
    """One answer under way."""

    def __init__(self) -> None:
        self._began: Began | None = None
        self._parts: dict[int, Part] = {}
        self._grown: dict[int, list[str]] = {}
        self._signatures: dict[int, list[str]] = {}
        self._finish: Finish | None = None
        self._ended = False
        self.usage: Usage | None = None

    def add(self, delta: Delta) -> None:
        match delta:
            case Began():
                self._began = delta
            case PartBegan(at=at, part=part):
                self._parts[at] = part
            case PartGrew(at=at, text=text, signature=signature):
                self._grown.setdefault(at, []).append(text)
                self._signatures.setdefault(at, []).append(signature)
            case UsageSeen(usage=usage):
                self.usage = usage
            case Finished(finish=finish):
                self._finish = finish
            case Noted(extra=extra):
                self._note(extra)
            case Ended():
                self._ended = True
            case Passed():
                pass  # it is for whoever speaks the same wire

    def _note(self, extra: Extra) -> None:
        if self._began is None:
            return
        known = self._began.extra.fields if self._began.extra else {}
        self._began = replace(self._began, extra=Extra(extra.wire, beneath(extra.fields, known)))

    def answer(self) -> ModelAnswer:
        """Raises CutOff."""
        if self._began is None or self._finish is None or not self._ended:
            raise CutOff("the stream ended before the answer did")
        return ModelAnswer(
            answer_id=self._began.answer_id,
            model=self._began.model,
            created_s=self._began.created_s,
            parts=tuple(self._whole(at, part) for at, part in sorted(self._parts.items(), key=lambda item: item[0])),
            finish=self._finish,
            usage=self.usage,
            extra=self._began.extra,
        )

    def part(self, at: int) -> Part:
        """As it is by now."""
        return self._whole(at, self._parts[at])

    def _whole(self, at: int, part: Part) -> Part:
        more, signature = "".join(self._grown.get(at, ())), "".join(self._signatures.get(at, ()))
        match part:
            case Thinking():
                return replace(part, text=part.text + more, signature=part.signature + signature)
            case Text() | Refusal():
                return replace(part, text=part.text + more)
            case ToolCall():
                return replace(
                    part, arguments=part.arguments + more or "{}"
                )  # a call without any is streamed as nothing
        return part


def pieces(answer: ModelAnswer) -> Iterator[Delta]:
    """The whole answer as a stream of few pieces."""
    yield Began(answer_id=answer.answer_id, model=answer.model, created_s=answer.created_s, extra=answer.extra)
    for at, part in enumerate(answer.parts):
        yield from _part(at, part)
    if answer.usage is not None:
        yield UsageSeen(usage=answer.usage)
    yield Finished(finish=answer.finish)
    yield Ended()


def _part(at: int, part: Part) -> Iterator[Delta]:
    match part:
        case Thinking(text=text, signature=signature):
            yield PartBegan(at=at, part=replace(part, text="", signature=""))
            yield PartGrew(at=at, text=text, signature=signature)
        case Text(text=text) | Refusal(text=text):
            yield PartBegan(at=at, part=replace(part, text=""))
            yield PartGrew(at=at, text=text)
        case ToolCall(arguments=arguments):
            yield PartBegan(at=at, part=replace(part, arguments=""))
            yield PartGrew(at=at, text=arguments)
        case Opaque():
            yield PartBegan(at=at, part=part)
