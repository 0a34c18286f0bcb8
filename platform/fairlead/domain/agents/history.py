"""What a model has said so far and what came of it, read from the outcomes of the run.

Paths: `turn[2]` is the third answer, `call[2][0]` the first call of it, `ask[2][1]` a question in its second place.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.agents.offering import ASK, FINISH, GIVE_UP, OWN, Offers, Want
from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.models.answer import ModelAnswer
from fairlead.domain.models.content import Part, Refusal, Text, Thinking, ToolCall
from fairlead.domain.planning.seam import PlanView, StepOutcome

_ALONE = (FINISH, GIVE_UP)
Wrong = Literal["", "no_call", "blocked", "answer_invalid"]


class Result(Struct, frozen=True, kw_only=True):
    """What a call gave. `source` says whose words `value` are; empty: ours."""

    value: Any
    source: str = ""
    is_error: bool = False
    made: bool = False  # the world was asked


class Turn(Struct, frozen=True, kw_only=True):
    """One answer. `results` stand at the places of `wants`; None: not known yet."""

    index: int
    outcome: StepOutcome
    parts: tuple[Part, ...] = ()
    text: str = ""
    wants: tuple[Want, ...] = ()
    results: tuple[Result | None, ...] = ()
    read_only: bool = False

    @property
    def is_over(self) -> bool:
        return None not in self.results

    def only(self, name: str) -> Want | None:
        """The call of that name, where it is the one that counts."""
        return next((want for want in self.wants if want.tool == name and not want.fault), None)


def turn_path(index: int) -> str:
    return f"turn[{index}]"


def want_path(turn: int, want: Want) -> str:
    return f"{'ask' if want.tool == ASK else 'call'}[{turn}][{want.at}]"


def call_key(want: Want) -> str:
    return canonical_sha256([want.tool, want.arguments])


class History:
    """Reads a view. `most_calls` of one turn are made, the others answered with a fault."""

    def __init__(self, offers: Offers, writes: frozenset[str], most_calls: int) -> None:
        self._offers = offers
        self._writes = writes
        self._most_calls = most_calls

    def read(self, view: PlanView, read_only_from: int | None) -> list[Turn]:
        """Every turn that has an outcome, oldest first."""
        done: set[str] = set()
        turns: list[Turn] = []
        while (outcome := view.outcomes.get(turn_path(len(turns)))) is not None:
            index = len(turns)
            read_only = read_only_from is not None and index >= read_only_from
            turns.append(self._turn(view, index, outcome, done, read_only=read_only))
        return turns

    def _turn(self, view: PlanView, index: int, outcome: StepOutcome, done: set[str], *, read_only: bool) -> Turn:
        said = _said(outcome)
        calls = [part for part in said if isinstance(part, ToolCall)]
        wants = [self._offers.want(at, call.name, call.arguments, read_only=read_only) for at, call in enumerate(calls)]
        judged = tuple(self._judged(wants, done))
        results = tuple(_result(view, index, want) for want in judged)
        for want, result in zip(judged, results, strict=True):
            if want.tool in self._writes and result is not None and result.made and not result.is_error:
                done.add(call_key(want))
        text = "".join(part.text for part in said if isinstance(part, Text | Refusal))
        return Turn(
            index=index, outcome=outcome, parts=said, text=text, wants=judged, results=results, read_only=read_only
        )

    def _judged(self, wants: list[Want], done: set[str]) -> Iterator[Want]:
        """A write that has been made is not made again because a model says the same twice."""
        others = any(want.tool not in _ALONE for want in wants)
        seen: set[str] = set()
        for want in wants:
            if want.fault:
                yield want
            elif want.tool in _ALONE and (others or want.at > 0):
                yield replace(want, fault="not_alone")
            elif want.at >= self._most_calls:
                yield replace(want, fault="too_many_at_once")
            elif want.tool in self._writes and call_key(want) in done | seen:
                yield replace(want, fault="already_done")
            else:
                seen |= {call_key(want)} if want.tool in self._writes else set()
                yield want


def _said(outcome: StepOutcome) -> tuple[Part, ...]:
    """What nobody can read any more, or what another wire alone understands, is left out."""
    answer = outcome.output.get("answer") if isinstance(outcome.output, dict) else None
    try:
        parts = msgspec.convert(answer, ModelAnswer).parts
    except msgspec.ValidationError:
        return ()
    return tuple(part for part in parts if isinstance(part, Text | Refusal | Thinking | ToolCall))


def _result(view: PlanView, turn: int, want: Want) -> Result | None:
    if want.fault:
        return Result(value={"error": want.fault, "message": FAULTS[want.fault]}, is_error=True)
    if want.tool in _ALONE:
        return Result(value="")
    outcome = view.outcomes.get(want_path(turn, want))
    if outcome is None:
        return None
    source = "a person who was asked" if want.tool == ASK else f"tool {want.tool}"
    if outcome.status in ("completed", "skipped"):
        return Result(value=outcome.output, source=source, made=True)
    error = outcome.error
    told = {"error": error.code if error else outcome.status, "message": error.message if error else ""}
    return Result(value={"status": outcome.status, **told}, source=source, is_error=True, made=want.tool not in OWN)


FAULTS = {
    "no_such_tool": "there is no such tool: call only those that are listed",
    "not_json": "the arguments are not a JSON object",
    "not_allowed_now": "only tools that change nothing may be called from now on",
    "too_many_at_once": "too many calls at once: call it again in the next turn",
    "not_alone": "call this alone, after everything else is done",
    "already_done": "the same call has been made and took effect: its result is above",
}
