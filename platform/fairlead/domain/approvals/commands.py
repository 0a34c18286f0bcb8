"""What can be asked of an approval. `now` is the caller's clock."""

from typing import Any

from fairlead_tenants.access import PrincipalKind
from fairlead_tenants.ids import PrincipalId
from msgspec import Struct

from fairlead.domain.approvals.events import ApprovalRequested, ReviewersTold
from fairlead.domain.instant import Instant

MAX_COMMENT = 2_000
MAX_LEASE_S = 8 * 3_600


class RequestApproval(Struct, frozen=True, kw_only=True):
    requested: ApprovalRequested


class ReviewerCommand(Struct, frozen=True, kw_only=True):
    """`role_names` are the roles that the reviewer holds in the approval's place, looked up by the caller.

    With `on_behalf_of` they are those of whoever has delegated their approving, as far as that reaches.
    `link_hash` is of the link that it came by, instead of a sign-in.
    """

    principal_id: PrincipalId
    principal_kind: PrincipalKind
    role_names: tuple[str, ...]
    now: Instant
    on_behalf_of: PrincipalId | None = None
    link_hash: str | None = None

    @property
    def people(self) -> tuple[PrincipalId, ...]:
        """Whose say this is: whoever gives it, and whoever it is given for."""
        return (self.principal_id,) if self.on_behalf_of is None else (self.principal_id, self.on_behalf_of)


class SignApproval(ReviewerCommand, frozen=True, kw_only=True):
    digest: str
    comment: str


class DenyApproval(ReviewerCommand, frozen=True, kw_only=True):
    """With a `digest` it is for what was looked at and for nothing else."""

    comment: str
    digest: str | None = None


class RequestChanges(ReviewerCommand, frozen=True, kw_only=True):
    comment: str


class EditApproval(ReviewerCommand, frozen=True, kw_only=True):
    """`digest` is of what was looked at. The caller has seen to it that `arguments` fit the tool."""

    digest: str
    arguments: Any
    comment: str


class ClaimApproval(ReviewerCommand, frozen=True, kw_only=True):
    """`until` None gives a claim back."""

    until: Instant | None


class TellReviewers(Struct, frozen=True, kw_only=True):
    """Once for each notice."""

    told: ReviewersTold


class ExpireApproval(Struct, frozen=True, kw_only=True):
    """The time has come for whatever is due: the next role, a reminder, or the end."""

    now: Instant


class WithdrawApproval(Struct, frozen=True, kw_only=True):
    reason: str


Answering = SignApproval | DenyApproval | RequestChanges | EditApproval
ApprovalCommand = RequestApproval | Answering | ClaimApproval | TellReviewers | ExpireApproval | WithdrawApproval
