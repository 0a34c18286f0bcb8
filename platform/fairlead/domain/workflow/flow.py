"""What the steps do: names, order, what each may read, and what it hands to its tool.

A step may read steps that can have completed before it: earlier ones of its own sequence and of the sequences around
it, and everything within an earlier `if` or `parallel`. A branch cannot read its siblings, and nothing outside an
`each` can read into it: its output is the list.
"""

from collections.abc import Generator, Iterator, Mapping
from typing import Any

from fairlead_sdk.contract import Effect
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.errors import Problem
from fairlead.domain.expressions import ExpressionInvalid, Expressions
from fairlead.domain.policy.checks import texts
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.arguments import argument_problems
from fairlead.domain.workflow.document import MAX_EXPRESSIONS, MAX_NESTING, MAX_PROMPT_CHARS, MAX_STEPS, Retry
from fairlead.domain.workflow.plain import pointer
from fairlead.domain.workflow.reading import Place, kind_of, steps_in, walk_steps
from fairlead.domain.workflow.references import (
    MAX_EXPRESSION_CHARS,
    RESERVED_WORDS,
    ROOTS,
    Embedded,
    expression_of,
    reads,
    sentence_parts,
)
from fairlead.domain.workflow.schemas import schema_problems

Checked = Generator[Problem, None, frozenset[str]]
"""Yields what is wrong and returns the steps that can be read afterwards."""


def flow_problems(
    document: Mapping[str, Any], tools: Mapping[str, ToolFacts], expressions: Expressions
) -> Iterator[Problem]:
    """Anything of the wrong type is left to the shape check. With too many steps nothing else is looked at."""
    steps = list(walk_steps(document.get("steps"), ("steps",)))
    if len(steps) > MAX_STEPS:
        yield _problem(("steps",), "too_many_steps", f"{len(steps)} steps, at most {MAX_STEPS} are allowed")
        return
    yield from _identity_problems(steps)
    yield from _Flow(document, tools, expressions).check()


def _identity_problems(steps: list[tuple[Place, dict[str, Any]]]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for place, step in steps:
        if not isinstance(step_id := step.get("id"), str):
            continue
        if step_id in first:
            yield _problem((*place, "id"), "step_repeated", f"{step_id} is already the id of {first[step_id]}")
        if step_id in RESERVED_WORDS:
            yield _problem((*place, "id"), "reserved_word", f"{step_id} means something else in expressions")
        first.setdefault(step_id, pointer(place))


class _Scope(Struct, frozen=True):
    steps: frozenset[str] = frozenset()
    names: frozenset[str] = ROOTS
    depth: int = 1

    def after(self, steps: frozenset[str]) -> "_Scope":
        return replace(self, steps=self.steps | steps)

    def inside(self, *names: str) -> "_Scope":
        return replace(self, names=self.names | set(names), depth=self.depth + 1)


class _Flow:
    """One pass over the steps in the order they run."""

    def __init__(self, document: Mapping[str, Any], tools: Mapping[str, ToolFacts], expressions: Expressions) -> None:
        self._document = document
        self._tools = tools
        self._expressions = expressions
        self._allowed = {name for _, name in texts(document.get("tools"))}
        self._sources = 0
        walked = walk_steps(document.get("steps"), ("steps",))
        self._ids = {step["id"] for _, step in walked if isinstance(step.get("id"), str)}

    def check(self) -> Iterator[Problem]:
        seen = yield from self._block(self._document.get("steps"), ("steps",), _Scope())
        yield from self._values(self._document.get("result"), ("result",), _Scope(steps=seen))
        if self._sources > MAX_EXPRESSIONS:
            message = f"{self._sources} expressions, at most {MAX_EXPRESSIONS} are allowed"
            yield _problem((), "too_many_expressions", message)

    def _block(self, block: Any, place: Place, scope: _Scope) -> Checked:
        """Which steps can be read after the block."""
        if scope.depth > MAX_NESTING and isinstance(block, list) and block:
            yield _problem(place, "too_deep", f"steps nest deeper than {MAX_NESTING} levels")
            return scope.steps
        ended = False
        for where, step in steps_in(block, place):
            if ended:
                yield _problem(where, "unreachable", "the run has ended before this step")
            scope = scope.after((yield from self._step(step, where, scope)))
            ended = ended or "end" in step
        return scope.steps

    def _step(self, step: dict[str, Any], place: Place, scope: _Scope) -> Checked:
        step_id = step.get("id")
        own = frozenset({step_id}) if isinstance(step_id, str) else frozenset()
        match kind_of(step):
            case "call":
                yield from self._call(step, place, scope)
                return (
                    yield from self._block(step.get("on_failure"), (*place, "on_failure"), scope.after(own).inside())
                )
            case "model":
                yield from self._model(step, place, scope)
                return (
                    yield from self._block(step.get("on_failure"), (*place, "on_failure"), scope.after(own).inside())
                )
            case "if":
                yield from self._expression(step["if"], (*place, "if"), scope)
                then = yield from self._block(step.get("then"), (*place, "then"), scope.inside())
                return own | then | (yield from self._block(step.get("else"), (*place, "else"), scope.inside()))
            case "parallel":
                return own | (yield from self._parallel(_object(step["parallel"]), (*place, "parallel"), scope))
            case "each":
                yield from self._each(_object(step["each"]), (*place, "each"), scope)
                return own
            case "ask" | "wait" as kind:
                body = _object(step[kind])
                yield from self._body(kind, body, (*place, kind), scope)
                late = (*place, kind, "on_timeout")
                return (yield from self._block(body.get("on_timeout"), late, scope.after(own).inside()))
            case "end":
                yield from self._sentence(_object(step["end"]).get("reason"), (*place, "end", "reason"), scope)
        return own

    def _call(self, step: dict[str, Any], place: Place, scope: _Scope) -> Iterator[Problem]:
        tool, arguments = step["call"], step.get("with", {})
        if isinstance(tool, str) and tool not in self._allowed:
            yield _problem((*place, "call"), "tool_not_allowed", f"{tool} is not in tools")
        if "on_failure" in step and step.get("continue"):
            yield _problem((*place, "continue"), "exclusive", "either on_failure or continue")
        retry = _object(step.get("retry"))
        low, high = retry.get("initial_ms", Retry().initial_ms), retry.get("max_ms", Retry().max_ms)
        if isinstance(low, int) and isinstance(high, int) and low > high:
            yield _problem((*place, "retry", "initial_ms"), "out_of_bounds", "initial_ms is more than max_ms")
        yield from self._values(arguments, (*place, "with"), scope)
        if isinstance(arguments, dict) and isinstance(tool, str) and tool in self._tools:
            yield from argument_problems(arguments, self._tools[tool].input_schema, (*place, "with"))
            yield from _promises(step, self._tools[tool], place)

    def _model(self, step: dict[str, Any], place: Place, scope: _Scope) -> Iterator[Problem]:
        asked, where = _object(step["model"]), (*place, "model")
        if "on_failure" in step and step.get("continue"):
            yield _problem((*place, "continue"), "exclusive", "either on_failure or continue")
        for name in ("system", "prompt"):
            yield from self._sentence(asked.get(name), (*where, name), scope, MAX_PROMPT_CHARS)
        messages = asked.get("messages")
        for index, said in enumerate(messages if isinstance(messages, list) else ()):
            yield from self._sentence(
                _object(said).get("text"), (*where, "messages", index, "text"), scope, MAX_PROMPT_CHARS
            )
        yield from schema_problems(asked.get("answer"), (*where, "answer"))

    def _parallel(self, parallel: dict[str, Any], place: Place, scope: _Scope) -> Checked:
        seen: frozenset[str] = frozenset()
        for name, block in _object(parallel.get("branches")).items():
            seen |= yield from self._block(block, (*place, "branches", name), scope.inside())
        return seen

    def _each(self, each: dict[str, Any], place: Place, scope: _Scope) -> Iterator[Problem]:
        yield from self._expression(each.get("in"), (*place, "in"), scope)
        name = each.get("as", "item")
        if not isinstance(name, str):
            return
        if name in RESERVED_WORDS:
            yield _problem((*place, "as"), "reserved_word", f"{name} means something else in expressions")
        elif name in scope.names:
            yield _problem((*place, "as"), "name_taken", f"{name} already means something here: choose another `as`")
        yield from self._block(each.get("steps"), (*place, "steps"), scope.inside(name))

    def _body(self, kind: str, body: dict[str, Any], place: Place, scope: _Scope) -> Iterator[Problem]:
        if kind == "ask":
            yield from self._sentence(body.get("question"), (*place, "question"), scope)
            yield from schema_problems(body.get("schema"), (*place, "schema"))
        elif "until" in body:
            yield from self._expression(body["until"], (*place, "until"), scope)

    def _values(self, value: Any, place: Place, scope: _Scope) -> Iterator[Problem]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from self._values(inner, (*place, key), scope)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self._values(inner, (*place, index), scope)
        elif expression_of(value) is not None:
            yield from self._expression(value, place, scope)
        elif isinstance(value, str) and "${" in value:
            message = (
                "${ } within other text is not evaluated here: write one expression, or ${'...'} for the text itself"
            )
            yield _problem(place, "not_evaluated", message)

    def _sentence(
        self, text: Any, place: Place, scope: _Scope, most_chars: int = MAX_EXPRESSION_CHARS
    ) -> Iterator[Problem]:
        if not isinstance(text, str):
            return
        try:
            sources = [part.source for part in sentence_parts(text, most_chars) if isinstance(part, Embedded)]
        except ExpressionInvalid as fault:
            yield _problem(place, "expression_invalid", str(fault))
            return
        for source in sources:
            yield from self._source(source, place, scope)

    def _expression(self, value: Any, place: Place, scope: _Scope) -> Iterator[Problem]:
        if (source := expression_of(value)) is not None:
            yield from self._source(source, place, scope)

    def _source(self, source: str, place: Place, scope: _Scope) -> Iterator[Problem]:
        self._sources += 1
        if self._sources > MAX_EXPRESSIONS:
            return
        try:
            used = reads(source)
            self._expressions.compile(source, sorted(scope.names))
        except ExpressionInvalid as fault:
            yield _problem(place, "expression_invalid", str(fault))
            return
        for step_id in sorted(used.steps - scope.steps):
            if step_id in self._ids:
                yield _problem(place, "step_not_completed", f"{step_id} cannot have completed here")
            else:
                yield _problem(place, "unknown_step", f"there is no step {step_id}")


def _promises(step: dict[str, Any], tool: ToolFacts, place: Place) -> Iterator[Problem]:
    """What a step says that its tool cannot do."""
    if "on_mismatch" in step and not tool.has_verify:
        yield _problem((*place, "on_mismatch"), "no_read_back", f"{tool.name} cannot be read back")
    if step.get("on_outage") == "cached" and tool.effect is not Effect.READ:
        yield _problem((*place, "on_outage"), "no_cached_write", f"{tool.name} does not only read")
    if step.get("compensate") is True and not tool.has_compensate:
        yield _problem((*place, "compensate"), "cannot_be_undone", f"{tool.name} cannot be undone")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _problem(place: Place, code: str, message: str) -> Problem:
    return Problem(path=pointer(place), code=code, message=message)
