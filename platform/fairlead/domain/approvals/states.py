"""What is remembered of an approval, and how each fact changes it."""

from collections.abc import Mapping, Sequence
from typing import Literal

from fairlead_tenants.ids import PrincipalId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.approvals.events import (
    ApprovalChangesRequested,
    ApprovalClaimed,
    ApprovalDenied,
    ApprovalEdited,
    ApprovalEscalated,
    ApprovalEvent,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalWithdrawn,
)
from fairlead.domain.instant import Instant

Outcome = Literal["granted", "denied", "changes_requested", "edited", "expired", "withdrawn"]


class NotRequested(Struct, frozen=True):
    pass


class Pending(Struct, frozen=True, kw_only=True):
    """`level` is how often it was escalated; `roles` are those that may answer by now. `spent` are the people behind
    the signatures: a signature on behalf of somebody is that of both."""

    asked: ApprovalRequested
    roles: tuple[str, ...]
    signed_by: tuple[PrincipalId, ...] = ()
    spent: frozenset[PrincipalId] = frozenset()
    level: int = 0
    claim: ApprovalClaimed | None = None

    def claimed_by_another(self, who: PrincipalId, now: Instant) -> bool:
        return self.claim is not None and self.claim.claimed_by != who and now < self.claim.until

    @property
    def due_at(self) -> Instant:
        """When something happens by itself."""
        later = self.asked.escalations[self.level :]
        return later[0].at if later else self.asked.deadline_at


class Settled(Struct, frozen=True, kw_only=True):
    asked: ApprovalRequested
    outcome: Outcome
    signed_by: tuple[PrincipalId, ...]


ApprovalState = NotRequested | Pending | Settled


def initial() -> ApprovalState:
    return NotRequested()


def subject(state: ApprovalState, facts: Sequence[ApprovalEvent]) -> str:
    """Whose content it is: that of its run."""
    if isinstance(state, NotRequested):
        return next((fact.data_subject for fact in facts if isinstance(fact, ApprovalRequested)), "")
    return state.asked.data_subject


def evolve(state: ApprovalState, event: ApprovalEvent) -> ApprovalState:
    if isinstance(event, ApprovalRequested):
        return Pending(asked=event, roles=event.roles)
    assert isinstance(state, Pending), "a request comes first and an outcome comes last"
    match event:
        case ApprovalSigned(signed_by=signer, on_behalf_of=other):
            people = {signer} if other is None else {signer, other}
            return replace(state, signed_by=(*state.signed_by, signer), spent=state.spent | people)
        case ApprovalClaimed():
            return replace(state, claim=event)
        case ApprovalEscalated(level=level, roles=roles):
            return replace(state, level=level, roles=tuple(dict.fromkeys((*state.roles, *roles))))
        case _:
            return Settled(asked=state.asked, outcome=_OUTCOMES[type(event)], signed_by=state.signed_by)


_OUTCOMES: Mapping[type[ApprovalEvent], Outcome] = {
    ApprovalGranted: "granted",
    ApprovalDenied: "denied",
    ApprovalChangesRequested: "changes_requested",
    ApprovalEdited: "edited",
    ApprovalExpired: "expired",
    ApprovalWithdrawn: "withdrawn",
}
