"""Random workflow documents for runs: every construct, calls that need people, retries, limits and deadlines."""

from collections.abc import Callable
from itertools import count
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.support.documents import Plain, ask, call, each, end, parallel
from tests.support.runs import OPEN_POLICY

INPUT = {"n": 3, "items": ["a", "b"], "long": "x" * 11}
TWO_SIGN = {
    "rules": [
        {
            "id": "two",
            "effects": ["write"],
            "verdict": "require_approval",
            "reason": "test",
            "approvals": {"count": 2, "roles": ["reviewer"], "deadline_s": 60},
        }
    ]
}
RETRIES = [{}, {"retry": {"attempts": 1}}, {"retry": {"attempts": 3, "initial_ms": 10, "max_ms": 1_000}}]
LIMITS = [
    {},
    {"deadline_s": 90},
    {"tool_calls": 2},
    {"steps": 3},
    {"tool_calls": 1, "on_limit": "ask"},
    {"steps": 2, "on_limit": "ask"},
]
TOOLS: list[Plain] = [
    {"call": "test.read"},
    {"call": "test.read", "with": {"n": "${input.n}"}},
    {"call": "test.stage"},
    {"call": "test.stage"},
    {"call": "test.post"},
    {"call": "test.reserve"},
    {"call": "test.reserve"},
    {"call": "test.reserve", "compensate": False},
    {"call": "test.post", "on_mismatch": "continue"},
    {"call": "test.post", "on_mismatch": "compensate"},
    {"call": "test.greet", "with": {"name": "${input.long}"}},  # breaks its schema once it is evaluated
]


@st.composite
def run_documents(draw: DrawFn) -> tuple[list[Plain], dict[str, Any]]:
    """The steps and the other fields of a valid document."""
    steps = _Steps(draw).block(2, 1)
    fields: dict[str, Any] = {"limits": draw(st.sampled_from(LIMITS)), "result": {}}
    policy = draw(st.sampled_from([None, OPEN_POLICY, TWO_SIGN]))
    return steps, fields if policy is None else {**fields, "policy": policy}


class _Steps:
    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw
        self._number = count()
        self._builders: dict[str, Callable[[str, int], Plain]] = {
            "call": self._call,
            "ask": self._ask,
            "wait": self._wait,
            "if": self._if,
            "parallel": self._parallel,
            "each": self._each,
        }

    def block(self, depth: int, least: int = 0) -> list[Plain]:
        return [self._step(depth) for _ in range(self._draw(st.integers(least, 3)))]

    def _step(self, depth: int) -> Plain:
        kinds = ["call", "call", "ask", "wait"] + (["if", "parallel", "parallel", "each"] if depth else [])
        return self._builders[self._draw(st.sampled_from(kinds))](f"s{next(self._number)}", depth)

    def _call(self, step_id: str, depth: int) -> Plain:
        after = self._draw(st.sampled_from(["nothing", "continue", "on_failure"]))
        rest: Plain = {"continue": True} if after == "continue" else {}
        if after == "on_failure" and depth:
            rest = {"on_failure": self.block(depth - 1)}
        return {**call(step_id), **self._draw(st.sampled_from(TOOLS)), **self._draw(st.sampled_from(RETRIES)), **rest}

    def _ask(self, step_id: str, depth: int) -> Plain:
        late = {"timeout_s": 5, "on_timeout": self.block(depth - 1) if depth else "fail"}
        return ask(step_id, **self._draw(st.sampled_from([{}, late])))

    def _wait(self, step_id: str, _: int) -> Plain:
        waits = [{"seconds": 1}, {"signal": "go"}, {"signal": "go", "timeout_s": 5}]
        return {"id": step_id, "wait": self._draw(st.sampled_from(waits))}

    def _if(self, step_id: str, depth: int) -> Plain:
        last = self._draw(st.sampled_from(["completed", "failed", "impossible", None, None, None]))
        ending = [end(f"s{next(self._number)}", last)] if last else []
        condition = self._draw(st.sampled_from(["${true}", "${input.n > 5}", "${input.missing}"]))
        return {"id": step_id, "if": condition, "then": [*self.block(depth - 1), *ending], "else": []}

    def _parallel(self, step_id: str, depth: int) -> Plain:
        tolerate = self._draw(st.integers(0, 2))
        return parallel(step_id, tolerate, left=self.block(depth - 1, 1), right=self.block(depth - 1))

    def _each(self, step_id: str, depth: int) -> Plain:
        width = self._draw(st.integers(1, 3))
        return each(step_id, *self.block(depth - 1, 1), **{"as": f"{step_id}_item", "concurrency": width})
