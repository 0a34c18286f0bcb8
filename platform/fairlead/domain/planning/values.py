"""Values of a document, compiled once: literals stand for themselves, expressions are given only what they read."""

import json
from collections.abc import Callable
from typing import Any

from fairlead.domain.expressions import Expression, ExpressionFailed, Expressions
from fairlead.domain.planning.seam import Fail
from fairlead.domain.planning.walk import RunEnds, Walk
from fairlead.domain.workflow.document import MAX_PROMPT_CHARS
from fairlead.domain.workflow.references import (
    MAX_EXPRESSION_CHARS,
    ROOTS,
    Embedded,
    Reads,
    expression_of,
    reads,
    sentence_parts,
)

MAX_SENTENCE_CHARS = 8_000
MAX_FILLED_CHARS = 1_000_000  # of a prompt with what its expressions came to
Value = Callable[[Walk], Any]
Variables = Callable[[Walk], dict[str, Any]]


class Compiler:
    """Raises ExpressionInvalid only for a document that was not validated."""

    def __init__(self, expressions: Expressions) -> None:
        self._expressions = expressions

    def value(self, raw: Any, items: frozenset[str]) -> Value:
        """`items` are the names of the items of the `each`es around."""
        return self._expressions_in(raw, items) or (lambda _: raw)

    def expression(self, text: str, items: frozenset[str]) -> Value:
        expression, variables = self._compile(expression_of(text) or "", items)
        return lambda walk: expression.value(variables(walk))

    def condition(self, text: str, items: frozenset[str]) -> Callable[[Walk], bool]:
        expression, variables = self._compile(expression_of(text) or "", items)
        return lambda walk: expression.holds(variables(walk))

    def prompt(self, text: str, items: frozenset[str]) -> Callable[[Walk], str]:
        """As a sentence. One that comes to more than MAX_FILLED_CHARS is none: half of a question is another one."""
        said = self.sentence(text, items, MAX_PROMPT_CHARS, MAX_FILLED_CHARS + 1)

        def whole(walk: Walk) -> str:
            prompt = said(walk)
            if len(prompt) > MAX_FILLED_CHARS:
                raise ExpressionFailed(f"it comes to more than {MAX_FILLED_CHARS} characters")
            return prompt

        return whole

    def sentence(
        self,
        text: str,
        items: frozenset[str],
        most_chars: int = MAX_EXPRESSION_CHARS,
        most_filled_chars: int = MAX_SENTENCE_CHARS,
    ) -> Callable[[Walk], str]:
        """Text within stays as it is, other values read as JSON; the whole is cut."""
        parts = [
            self.expression(f"${{{part.source}}}", items) if isinstance(part, Embedded) else part
            for part in sentence_parts(text, most_chars)
        ]
        return lambda walk: "".join(part if isinstance(part, str) else _spoken(part(walk)) for part in parts)[
            :most_filled_chars
        ]

    def _expressions_in(self, raw: Any, items: frozenset[str]) -> Value | None:
        """None for a literal without any: it needs no work per call."""
        if expression_of(raw) is not None:
            return self.expression(raw, items)
        if isinstance(raw, dict):
            fields = {key: self._expressions_in(inner, items) for key, inner in raw.items()}
            if any(fields.values()):
                return lambda walk: {key: field(walk) if field else raw[key] for key, field in fields.items()}
        if isinstance(raw, list):
            parts = [self._expressions_in(inner, items) for inner in raw]
            if any(parts):
                return lambda walk: [part(walk) if part else raw[index] for index, part in enumerate(parts)]
        return None

    def _compile(self, source: str, items: frozenset[str]) -> tuple[Expression, Variables]:
        return self._expressions.compile(source, sorted(ROOTS | items)), _variables(reads(source), items)


def _variables(used: Reads, items: frozenset[str]) -> Variables:
    """Only what the source reads: turning a whole run's outputs into CEL values for every expression would be dear."""
    names = used.names & (ROOTS | items)

    def gather(walk: Walk) -> dict[str, Any]:
        found: dict[str, Any] = {name: walk.items[name] for name in names - ROOTS}
        if "input" in names:
            found["input"] = walk.input
        if "run" in names:
            found["run"] = walk.run
        if "steps" in names:
            found["steps"] = {step_id: walk.step(step_id) for step_id in used.steps}
        return found

    return gather


def evaluated(walk: Walk, path: str, value: Callable[[Walk], Any]) -> Any:
    """The value, or the end of the run. The message names the step, says what went wrong, and quotes no value."""
    try:
        return value(walk)
    except ExpressionFailed as failure:
        where = f"step {path}" if path else "the result"
        message = f"an expression of {where} could not be evaluated: {failure}"
        raise RunEnds(Fail(code="expression_failed", message=message, step=path)) from None


def _spoken(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
