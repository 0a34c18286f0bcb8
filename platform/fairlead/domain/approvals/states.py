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
    ApprovalDueSoon,
    ApprovalEdited,
    ApprovalEscalated,
    ApprovalEvent,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalWithdrawn,
    ReviewersTold,
    Told,
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
    is_due_soon: bool = False
    notices: Mapping[str, ReviewersTold] = {}

    def claimed_by_another(self, who: PrincipalId, now: Instant) -> bool:
        return self.claim is not None and self.claim.claimed_by != who and now < self.claim.until

    @property
    def due_at(self) -> Instant:
        """When something happens by itself."""
        later = [each.at for each in self.asked.escalations[self.level :]]
        if self.asked.remind_at is not None and not self.is_due_soon:
            later.append(self.asked.remind_at)
        return min([*later, self.asked.deadline_at])

    def told_with(self, link_hash: str) -> Told | None:
        """Whose link it is. None: nobody's here, or one of somebody whose say is in."""
        for notice in self.notices.values():
            for told in notice.told:
                if told.link_hash == link_hash:
                    return None if {told.principal_id, told.on_behalf_of} & self.spent else told
        return None


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
        case ApprovalDueSoon():
            return replace(state, is_due_soon=True)
        case ReviewersTold(notice=notice):
            return replace(state, notices={**state.notices, notice: event})
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
