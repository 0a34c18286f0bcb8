"""The constructs of declared steps. Each node walks what is under it and gives its output, or WAITING."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from fairlead.domain.planning.seam import AwaitTime, Decision, DeclareImpossible, Fail, StepOutcome
from fairlead.domain.planning.values import Value, evaluated
from fairlead.domain.planning.walk import RunCompletes, RunEnds, StepFailed, Walk

WAITING: Final = object()
"""Instead of an output: something under this node has no outcome yet."""

Decide = Callable[[Walk, str], Decision]


class Node(Protocol):
    def walk(self, walk: Walk) -> Any:
        """The output, or WAITING. Raises StepFailed, RunEnds, RunCompletes, TooManySteps."""


class Sequence:
    """One after the other; its output is that of the last."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._nodes = nodes

    def walk(self, walk: Walk) -> Any:
        output: Any = None
        for node in self._nodes:
            walk.count()
            output = node.walk(walk)
            if output is WAITING:
                return WAITING
        return output


class Leaf:
    """A step that the world answers. `handler` takes over after one of the statuses `handled`."""

    def __init__(self, step_id: str, decide: Decide, handled: frozenset[str], handler: Sequence | None) -> None:
        self._id = step_id
        self._decide = decide
        self._handled = handled
        self._handler = handler

    def walk(self, walk: Walk) -> Any:
        path = self._id + walk.suffix
        outcome = walk.outcomes.get(path)
        if outcome is None:
            if path not in walk.open:
                walk.decisions.append(self._decide(walk, path))
            return WAITING
        walk.known[self._id] = outcome
        if outcome.status in ("completed", "skipped"):
            return outcome.output
        if self._handler is not None and outcome.status in self._handled:
            return self._handler.walk(walk)
        raise StepFailed(path, outcome)


class If:
    def __init__(self, step_id: str, holds: Callable[[Walk], bool], then: Sequence, otherwise: Sequence) -> None:
        self._id = step_id
        self._holds = holds
        self._branches = {"then": then, "else": otherwise}

    def walk(self, walk: Walk) -> Any:
        path = self._id + walk.suffix
        taken = walk.choices.get(path)
        if taken is None:
            taken = "then" if evaluated(walk, path, self._holds) else "else"
            walk.choose(path, taken)
        assert isinstance(taken, str), "an `if` records the name of a branch"
        return _completed(walk, self._id, self._branches[taken].walk(walk))


class Parallel:
    def __init__(self, step_id: str, branches: dict[str, Sequence], tolerate: int) -> None:
        self._id = step_id
        self._branches = branches
        self._tolerate = tolerate

    def walk(self, walk: Walk) -> Any:
        """Fails as soon as one branch too many has failed; a failed branch that is tolerated has no output."""
        suffix = walk.suffix
        failed = 0
        outputs: dict[str, Any] = {}
        for name, branch in self._branches.items():
            try:
                outputs[name] = branch.walk(walk)
            except StepFailed:
                failed += 1
                if failed > self._tolerate:
                    raise
                walk.suffix = suffix
                outputs[name] = None
        waiting = any(output is WAITING for output in outputs.values())
        return _completed(walk, self._id, WAITING if waiting else outputs)


class Each:
    def __init__(
        self, step_id: str, items: Value, name: str, bounds: tuple[int, int], body: Sequence, inner_ids: tuple[str, ...]
    ) -> None:
        self._id = step_id
        self._items = items
        self._name = name
        self._max_items, self._concurrency = bounds
        self._body = body
        self._inner_ids = inner_ids

    def walk(self, walk: Walk) -> Any:
        """Items begin in order, so those that wait at the front are the ones under way."""
        suffix = walk.suffix
        waiting = 0
        outputs = []
        for index, item in enumerate(self._chosen(walk, self._id + suffix)):
            self._enter(walk, f"{suffix}[{index}]", item)
            outputs.append(self._body.walk(walk))
            if outputs[-1] is WAITING:
                waiting += 1
                if waiting == self._concurrency:
                    break
        walk.suffix = suffix
        return _completed(walk, self._id, WAITING if waiting else outputs)

    def _enter(self, walk: Walk, suffix: str, item: Any) -> None:
        walk.suffix = suffix
        walk.items[self._name] = item
        for step_id in self._inner_ids:
            walk.known.pop(step_id, None)

    def _chosen(self, walk: Walk, path: str) -> list[Any]:
        items = walk.choices.get(path)
        if items is None:
            items = self._listed(evaluated(walk, path, self._items), path)
            walk.choose(path, items)
        assert isinstance(items, list), "an `each` records its items"
        return items

    def _listed(self, items: Any, path: str) -> list[Any]:
        if not isinstance(items, list):
            raise RunEnds(Fail(code="not_a_list", message=f"what step {path} goes through is not a list", step=path))
        if len(items) > self._max_items:
            message = f"step {path} has {len(items)} items, at most {self._max_items} are allowed"
            raise RunEnds(Fail(code="too_many_items", message=message, step=path))
        return items


class End:
    def __init__(self, step_id: str, outcome: str, reason: Callable[[Walk], str]) -> None:
        self._id = step_id
        self._outcome = outcome
        self._reason = reason

    def walk(self, walk: Walk) -> Any:
        path = self._id + walk.suffix
        if self._outcome == "completed":
            raise RunCompletes
        reason = evaluated(walk, path, self._reason)
        if self._outcome == "impossible":
            raise RunEnds(DeclareImpossible(reason=reason))
        raise RunEnds(Fail(code="ended_as_failed", message=reason, step=path))


def await_instant(path: str, text: Any) -> AwaitTime:
    """`text` is a date and time with an offset, RFC 3339; anything else ends the run."""
    try:
        due_at = datetime.fromisoformat(text)
        if due_at.tzinfo is not None:
            return AwaitTime(step=path, due_at=due_at.astimezone(UTC))
    except (TypeError, ValueError, OverflowError):
        pass  # the same end as for a time without an offset
    message = f"what step {path} waits until is not a date and time with an offset"
    raise RunEnds(Fail(code="not_a_time", message=message, step=path))


def _completed(walk: Walk, step_id: str, output: Any) -> Any:
    if output is not WAITING:
        walk.known[step_id] = StepOutcome(status="completed", output=output)
    return output
