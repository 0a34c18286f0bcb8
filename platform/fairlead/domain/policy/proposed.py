"""A call before it is made, and what is known of its run and its people."""

from collections.abc import Callable, Mapping
from typing import Any

from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.ids import RunId
from fairlead.domain.instant import Instant
from fairlead.domain.policy.sequences import Past

NO_PAST = Past()


class RunSoFar(Struct, frozen=True, kw_only=True):
    """What a condition can know of the run. `calls` counts per tool and includes the call that is judged."""

    id: RunId
    input: Any
    workflow: str
    version: int
    calls: Mapping[str, int]
    labels: Mapping[str, str] = {}


class Who(Struct, frozen=True, kw_only=True):
    """A principal as conditions see it."""

    id: PrincipalId
    kind: str = "unknown"
    roles: tuple[str, ...] = ()


People = Callable[[PrincipalId], Who]


def nobody(principal_id: PrincipalId) -> Who:
    """Where nothing is known of principals but their ids."""
    return Who(id=principal_id)


class ProposedCall(Struct, frozen=True, kw_only=True):
    """A call before it is made. `effect` and `writes` are the tool's own declaration; `environment` is its kind."""

    tool: str
    effect: Effect
    arguments: Any
    writes: tuple[str, ...]
    principal_id: PrincipalId
    environment: str
    run: RunSoFar
    now: Instant
    agent: Who | None = None
    starter: Who | None = None
    can_verify: bool = True
    past: Past = NO_PAST


def variables_of(call: ProposedCall) -> dict[str, Any]:
    """What conditions read, by the names in `CONDITION_VARIABLES`."""
    run = call.run
    return {
        "args": call.arguments,
        "tool": call.tool,
        "effect": call.effect.value,
        "connector": call.tool.partition(".")[0],
        "kinds": list(call.writes),
        "run": {
            "id": run.id,
            "input": run.input,
            "workflow": run.workflow,
            "version": run.version,
            "calls": dict(run.calls),
            "labels": dict(run.labels),
        },
        "principal": call.principal_id,
        "agent": _who(call.agent or Who(id=call.principal_id)),
        "starter": _who(call.starter or Who(id=PrincipalId(""))),
        "env": call.environment,
        "now": call.now.isoformat(),
    }


def _who(who: Who) -> dict[str, Any]:
    return {"id": who.id, "kind": who.kind, "roles": list(who.roles)}
