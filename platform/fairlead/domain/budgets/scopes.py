"""Whom a budget is for, and for how long: which accounts a call is counted in."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from fairlead_tenants.ids import PrincipalId, WorkspaceId
from msgspec import Struct

from fairlead.domain.ids import RunId, WorkflowId
from fairlead.domain.instant import Instant

ScopeKind = Literal["tenant", "workspace", "workflow", "run", "principal"]
Period = Literal["none", "day", "week", "month"]
EACH = "*"  # instead of an id: each of them has an account of its own
UTC_ZONE = "UTC"


class Scope(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`id` of a workspace, workflow, run or principal, or `*` for an account for each of them. A tenant has none."""

    kind: ScopeKind
    id: str = ""


class Spender(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose call it is. `principals`: the agent, and who started its run. The run is over by `run_ends_at`.

    `what` is the tool or the model.
    """

    run_id: RunId
    workflow_id: WorkflowId
    workspace_id: WorkspaceId
    principals: tuple[PrincipalId, ...]
    what: str
    run_ends_at: Instant | None = None


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One account of one budget. `period` is the first day of it in the tenant's zone. It takes nothing more after
    `ends_at`."""

    budget: str
    subject: str = ""
    period: str = ""
    ends_at: Instant | None = None

    @property
    def key(self) -> str:
        return f"{self.budget}/{self.period}/{self.subject}"


def subjects(scope: Scope, spender: Spender) -> tuple[str, ...]:
    """Whose accounts a call is counted in. The account of a named scope is under its own id."""
    of_kind: dict[ScopeKind, tuple[str, ...]] = {
        "tenant": ("",),
        "workspace": (spender.workspace_id,),
        "workflow": (spender.workflow_id,),
        "run": (spender.run_id,),
        "principal": tuple(dict.fromkeys(spender.principals)),
    }
    return tuple(each for each in of_kind[scope.kind] if scope.id == EACH or each == scope.id)


def period_of(period: Period, zone: str, now: datetime) -> tuple[str, datetime | None]:
    """The first day of the period and the moment at which it is over. Weeks begin on Monday."""
    if period == "none":
        return "", None
    today = now.astimezone(_zone(zone)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    first, after = today, today + timedelta(days=1)
    if period == "week":
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(days=7)
    elif period == "month":
        first = today.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return first.date().isoformat(), after.astimezone(UTC)


def is_zone(name: str) -> bool:
    try:
        _zone(name)
    except (ValueError, OSError, KeyError):  # one that is not there is a KeyError
        return False
    return True


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
