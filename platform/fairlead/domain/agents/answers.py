"""What of an answer can be used: guardrails of what goes out, and the schema of the result."""

from typing import Any

from jsonschema_rs import Draft202012Validator
from msgspec import Struct

from fairlead.domain.agents import preamble
from fairlead.domain.agents.history import Turn, Wrong, turn_path
from fairlead.domain.agents.offering import ASK, FINISH, GIVE_UP
from fairlead.domain.guardrails.findings import Finding
from fairlead.domain.guardrails.inspecting import SCHEMA_VERSION, Inspector
from fairlead.domain.planning.seam import Choose, Found
from fairlead.domain.workflow.schemas import faults

MAX_PROBLEMS = 10


class Reading(Struct, frozen=True, kw_only=True):
    """`wrong` is empty for an answer that can be used; otherwise `why` is what the model is told."""

    wrong: Wrong = ""
    why: str = ""
    findings: tuple[Finding, ...] = ()

    def recorded(self, turn: int) -> tuple[Choose, Found]:
        """Once: the choice says that it was done."""
        noted = Choose(step=f"checked[{turn}]", choice=[len(self.findings)])
        return noted, Found(step=turn_path(turn), findings=self.findings)


def read_answer(turn: Turn, schema: Draft202012Validator, guard: Inspector) -> Reading:
    """The same answer always reads alike. Where there is none, nothing is wrong with it."""
    if turn.outcome.status != "completed":
        return Reading()
    where = f"/turn/{turn.index}"
    found = list(guard.inspect(turn.text, f"{where}/text").findings)
    for want in turn.wants:
        found += guard.inspect(want.arguments, f"{where}/call/{want.at}").findings
    findings = tuple(found)
    if any(each.action == "blocked" for each in findings):
        kinds = ", ".join(sorted({each.detector for each in findings if each.action == "blocked"}))
        return Reading(wrong="blocked", why=preamble.BLOCKED.format(kinds=kinds), findings=findings)
    if not turn.wants:
        return Reading(wrong="no_call", why=preamble.NO_CALL, findings=findings)
    finish = turn.only(FINISH)
    if finish is None:
        return _well_formed(turn, findings)
    problems = faults(schema, finish.arguments.get("output"), ("output",))[:MAX_PROBLEMS]
    if not problems:
        return Reading(findings=findings)
    told = "\n".join(f"- {each.path}: {each.message}" for each in problems)
    broken = Finding(
        detector="schema.output", version=SCHEMA_VERSION, where=f"{where}{problems[0].path}", action="blocked"
    )
    return Reading(wrong="answer_invalid", why=preamble.INVALID.format(problems=told), findings=(*findings, broken))


def _well_formed(turn: Turn, findings: tuple[Finding, ...]) -> Reading:
    """A question and a reason are texts."""
    for name, field in ((ASK, "question"), (GIVE_UP, "reason")):
        for want in turn.wants:
            if want.tool == name and not want.fault and not _is_text(want.arguments.get(field)):
                return Reading(wrong="answer_invalid", why=f"`{name}` needs a text as `{field}`.", findings=findings)
    return Reading(findings=findings)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
