"""What a decision of policy costs in process: by the number of rules, spread over tools or all about the same one."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import PrincipalId

from benchmarks.load import percentile
from fairlead.adapters.cel import CelExpressions
from fairlead.adapters.clock import SystemClock
from fairlead.domain.ids import CallId, RunId
from fairlead.domain.policy.compiled import Policy, compile_policy
from fairlead.domain.policy.document import PolicyDocument, ScopePolicy
from fairlead.domain.policy.judge import judge
from fairlead.domain.policy.layers import Layer
from fairlead.domain.policy.proposed import ProposedCall, RunSoFar
from fairlead.domain.policy.sequences import Past
from fairlead.domain.tallies import Place, PlacesWanted

DECISIONS = 5_000
WARM = 200
TOOLS = [f"bench.tool_{chr(97 + number)}" for number in range(15)]
EXPRESSIONS = CelExpressions()


def measure() -> Iterator[tuple[str, dict[str, Any]]]:
    """A decision of one call with three arguments. Each rule has a condition, and none of the denials applies."""
    for count in (1, 100, 1_000):
        yield f"{count} rules over 15 tools", _timed(_policy(_spread(count)), _call())
    for count in (10, 100):
        yield f"{count} rules about one tool", _timed(_policy(_about_one(count)), _call())
    counting = [*_spread(99), {"id": "most", "verdict": "deny", "at_most": {"count": 3, "per": "args.customer"}}]
    yield "100 rules, one of them counts", _timed(_policy(counting), _known(_policy(counting), _call()))
    after = [*_spread(99), {"id": "after", "verdict": "deny", "after": {"tools": [TOOLS[1]]}}]
    yield "100 rules, one of them looks back", _timed(_policy(after), _call())


def _timed(policy: Policy, call: ProposedCall) -> dict[str, Any]:
    took_ms: list[float] = []
    cpu_ms: list[float] = []  # what the machine does besides is not in it
    for number in range(WARM + DECISIONS):
        began, spent = time.perf_counter(), time.thread_time()
        judged = judge(policy, call)
        took_ms.append((time.perf_counter() - began) * 1_000)
        cpu_ms.append((time.thread_time() - spent) * 1_000)
        assert judged.verdict == "allow", number
    return {
        "decisions": DECISIONS,
        "ms_p50": round(percentile(took_ms[WARM:], 50), 4),
        "ms_p99": round(percentile(took_ms[WARM:], 99), 4),
        "cpu_ms_p99": round(percentile(cpu_ms[WARM:], 99), 4),
    }


def _spread(count: int) -> list[dict[str, Any]]:
    return [_rule(number, TOOLS[number % len(TOOLS)]) for number in range(count)]


def _about_one(count: int) -> list[dict[str, Any]]:
    return [_rule(number, TOOLS[0]) for number in range(count)]


def _rule(number: int, tool: str) -> dict[str, Any]:
    return {"id": f"r{number}", "verdict": "deny", "tools": [tool], "when": f"args.amount > {1_000 + number}"}


def _policy(rules: list[dict[str, Any]]) -> Policy:
    allow = {"id": "fine", "verdict": "allow"}
    plain = {"fairlead_policy": 1, "rules": [{"reason": "bench", **rule} for rule in (*rules[:999], allow)]}
    layer = Layer(kind="tenant", version=1, document_hash="", document=msgspec.convert(plain, ScopePolicy))
    return compile_policy(PolicyDocument(), TOOLS, [], ["record"], EXPRESSIONS, [layer])


def _call(**places: Place) -> ProposedCall:
    return ProposedCall(
        tool=TOOLS[0],
        effect=Effect.WRITE,
        arguments={"amount": 40, "currency": "EUR", "customer": "c-4711"},
        writes=("record",),
        principal_id=PrincipalId("prn_bench"),
        environment="live",
        run=RunSoFar(id=RunId("run_1"), input={"n": 1}, workflow="bench", version=1, calls={TOOLS[0]: 1}),
        now=SystemClock().now(),
        past=Past(call_id=CallId("tcl_1-1"), run_id="run_1", places=places, counts=True),
    )


def _known(policy: Policy, call: ProposedCall) -> ProposedCall:
    """The call, as it is judged once the tally has been asked."""
    try:
        judge(policy, call)
    except PlacesWanted as asked:
        return _call(**{want.tally: Place(rank=1, others=False) for want in asked.wants})
    return call
