"""Random documents driven with random outcomes: they end, nothing is decided twice, and the planner is a function."""

from collections.abc import Callable
from copy import deepcopy
from itertools import count
from typing import Any, Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from fairlead.domain.planning.seam import Choose, DeclareImpossible, Fail, Finish, StepError, StepOutcome
from tests.support.documents import Plain, Plans, ask, call, each, end, parallel

CONDITIONS = ["${true}", "${false}", "${input.n > 2}", "${run.version == 7}", "${input.missing}"]
LISTS = ["${input.items}", "${[]}", "${[1, 2]}", "${input.n}", "${[1, 2, 3, 4]}"]
Status = Literal["completed", "failed", "denied", "skipped", "timed_out"]
STATUSES: list[Status] = ["completed", "completed", "completed", "failed", "denied", "skipped", "timed_out"]


@st.composite
def documents(draw: DrawFn) -> list[Plain]:
    number = count()

    def block(depth: int, least: int = 0) -> list[Plain]:
        return [step(depth) for _ in range(draw(st.integers(least, 3)))]

    def step(depth: int) -> Plain:
        step_id = f"s{next(number)}"
        kinds = ["call", "ask", "wait"] if depth == 0 else ["call", "ask", "wait", "if", "parallel", "each"]
        return builders[draw(st.sampled_from(kinds))](step_id, depth)

    def calls(step_id: str, depth: int) -> Plain:
        rest: Plain = draw(st.sampled_from([{}, {"continue": True}, {"on_failure": None}]))
        handler = {"on_failure": block(depth - 1)} if "on_failure" in rest and depth else {}
        return call(step_id, **{"with": {"x": "${input.n}"}}, **(handler or {k: v for k, v in rest.items() if v}))

    def asks(step_id: str, depth: int) -> Plain:
        return ask(step_id, timeout_s=5, on_timeout=block(depth - 1) if depth else "fail")

    def waits(step_id: str, _: int) -> Plain:
        return {"id": step_id, "wait": draw(st.sampled_from([{"seconds": 1}, {"signal": "go"}]))}

    def ifs(step_id: str, depth: int) -> Plain:
        last = draw(st.sampled_from(["completed", "failed", "impossible", None, None, None]))
        ending = [end(f"s{next(number)}", last)] if last else []
        then = [*block(depth - 1), *ending]
        return {"id": step_id, "if": draw(st.sampled_from(CONDITIONS)), "then": then, "else": block(depth - 1)}

    def parallels(step_id: str, depth: int) -> Plain:
        return parallel(step_id, draw(st.integers(0, 2)), left=block(depth - 1), right=block(depth - 1))

    def eaches(step_id: str, depth: int) -> Plain:
        source, width = draw(st.sampled_from(LISTS)), draw(st.integers(1, 3))
        return each(step_id, *block(depth - 1, 1), **{"in": source, "as": f"{step_id}_item", "concurrency": width})

    builders: dict[str, Callable[[str, int], Plain]] = {
        "call": calls,
        "ask": asks,
        "wait": waits,
        "if": ifs,
        "parallel": parallels,
        "each": eaches,
    }
    return block(3, 1)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps=documents(), data=st.data())
def test_every_run_ends_and_nothing_is_decided_twice(steps: list[Plain], data: st.DataObject) -> None:
    plans = Plans(*steps)
    outcomes: dict[str, StepOutcome] = {}
    choices: dict[str, Any] = {}
    waiting: set[str] = set()
    while True:
        decisions = asked_twice(plans, outcomes, choices, waiting)
        last = decisions[-1] if decisions else None
        if isinstance(last, Finish | Fail | DeclareImpossible):
            assert all(isinstance(decision, Choose) for decision in decisions[:-1])
            return
        for decision in decisions:
            assert decision.step not in outcomes.keys() | choices.keys() | waiting, "nothing is decided twice"
            if isinstance(decision, Choose):
                choices[decision.step] = decision.choice
            else:
                waiting.add(decision.step)
        assert waiting, "a run that does not end waits for something"
        assert asked_twice(plans, outcomes, choices, waiting) == [], "what is on record is not decided again"
        settled = data.draw(st.sampled_from(sorted(waiting)))
        waiting.remove(settled)
        outcomes[settled] = outcome(data.draw(st.sampled_from(STATUSES)))


def asked_twice(plans: Plans, outcomes: Plain, choices: Plain, waiting: set[str]) -> list[Any]:
    """The same view gives the same answer and is left as it was."""
    view = plans.view(outcomes, choices, waiting, {"n": 3, "items": ["a", "b"]})
    before = deepcopy((view.outcomes, view.choices, view.open, view.input))
    first = plans.planner.plan(view)
    assert plans.planner.plan(view) == first
    assert (view.outcomes, view.choices, view.open, view.input) == before
    return list(first)


def outcome(status: Status) -> StepOutcome:
    error = StepError(error_class="permanent", code="refused", message="no")
    return StepOutcome(status=status, output={"n": 1}, error=error if status == "failed" else None)
