"""The messages of the next request: instructions, task, what was summed up, and the turns since.

A summary is asked for as `summary[0]`, `summary[1]`, … and what it stands for is recorded beside it as the choice
`left_out[0]`: the turns it covers, and about how many tokens they were. How many are left is `summed_up[0]`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.agents import preamble
from fairlead.domain.agents.answers import Reading
from fairlead.domain.agents.fencing import Fence, shown
from fairlead.domain.agents.history import Turn
from fairlead.domain.agents.thresholds import Handover
from fairlead.domain.agents.transcript import Reader, Shown, chars_of, tokens, turn_shown
from fairlead.domain.expressions import Expressions
from fairlead.domain.guardrails.findings import Finding
from fairlead.domain.guardrails.inspecting import Inspector
from fairlead.domain.models.asking import PromptUsed
from fairlead.domain.models.content import Message, Text
from fairlead.domain.models.request import ModelRequest, Sampling
from fairlead.domain.planning.seam import AskModel, Choose, Decision, PlanView
from fairlead.domain.planning.values import Compiler, Value, evaluated
from fairlead.domain.planning.walk import RunEnds, Walk
from fairlead.domain.prompts import PinnedPrompt
from fairlead.domain.workflow.agent_section import Agent
from fairlead.domain.workflow.document import Workflow
from fairlead.domain.workflow.references import sentence_parts

SUMMARY_TOKENS = 1_500
_encode = msgspec.json.Encoder().encode


class Context(Struct, frozen=True, kw_only=True):
    """What the next request says; or, where that is not known yet, what has to be decided first."""

    messages: tuple[Message, ...] = ()
    findings: tuple[Finding, ...] = ()
    before: tuple[Decision, ...] = ()
    decisions: list[Decision] | None = None


class _Summed(Struct, frozen=True, kw_only=True):
    """Turns before `upto` are told by `text` alone. `pending`: so many more are to be, by the next."""

    number: int = 0
    pending: int = 0
    upto: int = 0
    text: str = ""
    before_tokens: int = 0


class ContextMaker:
    def __init__(self, workflow: Workflow, agent: Agent, prompt: PinnedPrompt, expressions: Expressions) -> None:
        self._workflow = workflow
        self._agent = agent
        self._prompt = prompt
        self._reader = Reader(Inspector(agent.guardrails.input), agent.result_chars)
        compiler = Compiler(expressions)
        self._task: list[str | tuple[str, Value]] = [
            part if isinstance(part, str) else (part.source, compiler.expression(f"${{{part.source}}}", frozenset()))
            for part in sentence_parts(prompt.document.task)
        ]

    def made(
        self,
        view: PlanView,
        turns: Sequence[Turn],
        fence: Fence,
        handed: Sequence[Handover],
        readings: Sequence[Reading],
    ) -> Context:
        """`readings` are those of the turns."""
        try:
            task, findings = self._task_of(view, fence)
        except RunEnds as end:
            return Context(decisions=[end.ending])
        summed = _summed(view)
        if summed.pending and f"summary[{summed.number}]" in view.open:
            return Context(decisions=[])
        told = [self._told(view, turn, fence, handed, readings) for turn in turns[summed.upto :]]
        head = [self._instructions(fence), Message(role="user", parts=(Text(text=task),))]
        if summed.upto:
            text, _ = self._reader.fenced(summed.text, "summary of your work so far", "/summary", fence)
            head.append(Message(role="user", parts=(Text(text=text),)))
        size = chars_of(told) + sum(len(_encode(message)) for message in head)
        covered = summed.pending or len(told) - self._agent.keep_turns
        if summed.pending or (size > self._agent.context_chars and covered > 0):
            return Context(decisions=self._sum_up(summed, told[:covered], head, fence))
        messages = (*head, *(message for each in told for message in each.messages))
        fresh = findings if not turns else told[-1].findings if told else ()
        return Context(messages=messages, findings=tuple(fresh), before=_after_summary(view, summed, size))

    def _instructions(self, fence: Fence) -> Message:
        text = preamble.instructions(self._workflow, self._prompt.document.system, fence.name)
        return Message(role="system", parts=(Text(text=text),))

    def _task_of(self, view: PlanView, fence: Fence) -> tuple[str, list[Finding]]:
        """What an expression gives is data, unless it is a number or a truth."""
        walk, said, findings = Walk(view), list[str](), list[Finding]()
        for part in self._task:
            if isinstance(part, str):
                said.append(part)
                continue
            source, value = part
            given = evaluated(walk, "", value)
            if given is None or isinstance(given, bool | int | float):
                said.append(shown(given))
                continue
            text, found = self._reader.fenced(shown(given), _place(source), f"/task/{_place(source)}", fence)
            said.append(f"\n{text}\n")
            findings += found
        return "".join(said), findings

    def _told(
        self,
        view: PlanView,
        turn: Turn,
        fence: Fence,
        handed: Sequence[Handover],
        readings: Sequence[Reading],
    ) -> Shown:
        """With the last word to it: what was wrong, or what a person said who was asked."""
        reading = readings[turn.index]
        word = reading.why
        for number, each in enumerate(handed):
            if each.turn == turn.index and each.then == "person":
                outcome = view.outcomes.get(f"handover[{number}]")
                note = outcome.output.get("note", "") if outcome and isinstance(outcome.output, dict) else ""
                word = fence.around(str(note), "a person who looks after you") if note else preamble.GO_ON
            elif each.turn == turn.index and each.then == "read_only":
                word = preamble.UNSURE if each.reason == "confidence" else preamble.GO_ON
        return turn_shown(turn, self._reader, fence, word, withheld=reading.wrong == "blocked")

    def _sum_up(self, summed: _Summed, told: Sequence[Shown], head: Sequence[Message], fence: Fence) -> list[Decision]:
        upto = summed.upto + len(told)
        size = chars_of(told) + (len(summed.text) if summed.upto else 0)
        rendered = "\n".join(_plain(message) for each in told for message in each.messages)
        request = ModelRequest(
            model="",
            messages=(
                Message(role="system", parts=(Text(text=preamble.SUMMARY.format(fence=fence.name)),)),
                *head[2:],
                Message(
                    role="user",
                    parts=(Text(text=f"{preamble.SUMMARY_ASKED}\n{fence.around(rendered, 'turns of an agent')}"),),
                ),
            ),
            sampling=Sampling(max_output_tokens=SUMMARY_TOKENS, temperature=self._agent.temperature),
        )
        left_out: list[Any] = [summed.upto, upto, tokens(size)]
        recorded = [] if summed.pending else [Choose(step=f"left_out[{summed.number}]", choice=left_out)]
        return [
            *recorded,
            AskModel(
                step=f"summary[{summed.number}]",
                request=request,
                route=self._agent.route,
                candidates=self._agent.candidates,
                purpose="summary",
                prompt=PromptUsed(name=self._prompt.name, version=self._prompt.version),
                timeout_s=self._agent.timeout_s,
            ),
        ]


def _summed(view: PlanView) -> _Summed:
    """The newest summary. Where none came of it, what it was to tell is left out."""
    found = _Summed()
    while isinstance(choice := view.choices.get(f"left_out[{found.number}]"), list):
        outcome = view.outcomes.get(f"summary[{found.number}]")
        if outcome is None:
            return replace(found, pending=choice[1] - found.upto)
        said = outcome.output.get("text") if isinstance(outcome.output, dict) else None
        earlier = f"{found.text}\n" if found.text else ""
        text = said or f"{earlier}[turns {choice[0]} to {choice[1] - 1} were left out, and could not be summed up]"
        found = _Summed(number=found.number + 1, upto=choice[1], text=text, before_tokens=choice[2])
    return found


def _after_summary(view: PlanView, summed: _Summed, size: int) -> tuple[Decision, ...]:
    """Said once: about how many tokens stood there before, and stand there now."""
    step = f"summed_up[{summed.number - 1}]"
    if summed.number == 0 or step in view.choices:
        return ()
    return (Choose(step=step, choice=[summed.before_tokens, tokens(len(summed.text)), tokens(size)]),)


def _place(source: str) -> str:
    """An expression in the words of a path: no quotes, nothing long."""
    return "".join(each if each.isalnum() or each in "._-" else "_" for each in source)[:80]


def _plain(message: Message) -> str:
    return _encode(msgspec.to_builtins(message)).decode()
