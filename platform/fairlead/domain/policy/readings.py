"""A call as conditions read it: as it is, and as a person would read it where that is something else.

What forbids, asks people or adds terms applies when it does in either reading, and what allows only when it does in
both: no spelling leads around a rule.
"""

from collections.abc import Iterator
from typing import Any

from fairlead.domain.expressions import Expression, ExpressionFailed
from fairlead.domain.policy.compiled import BoundRule, Policy, Together
from fairlead.domain.policy.proposed import ProposedCall, variables_of
from fairlead.domain.policy.spelling import plainly


class Readings:
    """Made when a condition is first asked: many calls meet none."""

    def __init__(self, policy: Policy, call: ProposedCall) -> None:
        self._policy = policy
        self._call = call
        self._read: list[tuple[dict[str, Any], dict[str, bool]]] = []

    @property
    def variables(self) -> dict[str, Any]:
        """As the call is."""
        return self._all()[0][0]

    def hold(self, bound: BoundRule) -> bool:
        """Whether the rule's condition does. Raises ExpressionFailed."""
        assert bound.condition is not None, "there is something to ask"
        found = [_holds(bound.name, bound.condition, *reading) for reading in self._read or self._all()]
        return found[0] if len(found) == 1 else all(found) if bound.rule.verdict == "allow" else any(found)

    def _all(self) -> list[tuple[dict[str, Any], dict[str, bool]]]:
        if not self._read:
            together = self._policy.together.get((self._call.tool, self._call.effect), ())
            self._read = [(each, _asked_together(together, each)) for each in self._spellings()]
        return self._read

    def _spellings(self) -> Iterator[dict[str, Any]]:
        variables = variables_of(self._call)
        yield variables
        args, run = plainly(variables["args"]), variables["run"]
        if (self._call.tool, self._call.effect) in self._policy.reading_runs:
            run = plainly(run)
        if args is not variables["args"] or run is not variables["run"]:
            yield {**variables, "args": args, "run": run}


def _holds(name: str, condition: Expression, variables: dict[str, Any], known: dict[str, bool]) -> bool:
    holds = known.get(name)
    return condition.holds(variables) if holds is None else holds


def _asked_together(together: tuple[Together, ...], variables: dict[str, Any]) -> dict[str, bool]:
    """What conditions give, by rule. Where one of them fails each is asked alone, so that it is known which."""
    known: dict[str, bool] = {}
    for each in together:
        try:
            if each.any is not None and not each.any.holds(variables):
                known.update(each.none)
                continue
            given = each.conditions.value(variables)
        except ExpressionFailed:
            continue
        known |= {name: holds for name, holds in zip(each.names, given, strict=True) if isinstance(holds, bool)}
    return known
