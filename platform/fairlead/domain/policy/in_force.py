"""Which policies decided about a run, and who its principals were meanwhile: found again in the tenant's history."""

from collections.abc import Iterable, Sequence
from typing import Any

from fairlead_tenants.ids import PrincipalId, WorkspaceId
from msgspec import Struct

from fairlead.domain.envelope import Recorded
from fairlead.domain.ids import PolicyId
from fairlead.domain.policies import ScopeKind
from fairlead.domain.policy.proposed import Who
from fairlead.domain.tenants.people import person_of
from fairlead.domain.tenants.states import Absent, PolicyChoice, TenantState, evolve, initial


class LayerInForce(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version of a policy as it was published. `document_hash` is that of its canonical JSON."""

    kind: ScopeKind
    version: int
    document_hash: str
    document: dict[str, Any]


class PolicyInForce(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What decided from the place `since` of the log on, outermost first. `version` is what judgements name.

    `tried` is there where a policy was only tried: all layers with those in place of what decided. `people` are the
    run's agent and whoever started it, with the roles that they held.
    """

    version: str
    since: int
    layers: list[LayerInForce]
    people: list[Who]
    tried: list[LayerInForce] | None = None


class Setting(Struct, frozen=True):
    """What the tenant said from `since` on, by scope from the outermost."""

    since: int
    chosen: tuple[PolicyChoice | None, ...]
    people: tuple[Who, ...]


class Wanted(Struct, frozen=True, kw_only=True):
    """Of whom and what the tenant is asked: the policies that apply in a place, and a run's principals there."""

    policies: tuple[PolicyId, ...]
    workspace_id: WorkspaceId
    principals: tuple[PrincipalId, ...]


def settings(tenant: Iterable[Recorded[Any]], wanted: Wanted, first: int, last: int) -> list[Setting]:
    """Those that counted between two places of the log, oldest first. A decision may have known the tenant as it was a
    moment before, so the one before is among them."""
    found: list[Setting] = []
    state: TenantState = initial()
    for recorded in tenant:
        if recorded.sequence > last:
            break
        for event in recorded.commit.events:
            state = evolve(state, event)
        now = _setting(recorded.sequence, state, wanted)
        if found and (found[-1].chosen, found[-1].people) == (now.chosen, now.people):
            continue
        found = [*found[-1:], now] if recorded.sequence <= first else [*found, now]
    return found


def deciding(in_force: Sequence[PolicyInForce], sequence: int, versions: frozenset[str]) -> PolicyInForce | None:
    """What a commit at this place was decided by: of those that its judgements name the newest, else of all."""
    earlier = [each for each in in_force if each.since <= sequence]
    found = [each for each in earlier if each.version in versions] or earlier
    return found[-1] if found else None


def _setting(sequence: int, state: TenantState, wanted: Wanted) -> Setting:
    choices = {} if isinstance(state, Absent) else state.policies
    return Setting(
        since=sequence,
        chosen=tuple(choices.get(each) for each in wanted.policies),
        people=tuple(person_of(state, wanted.workspace_id, each) for each in wanted.principals),
    )
