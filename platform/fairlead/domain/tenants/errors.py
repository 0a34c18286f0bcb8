"""Why a tenant says no. Codes are public and permanent."""

from fairlead.domain.errors import Denied, FairleadError, NotFound, Rejected


class TenantUnknown(NotFound):
    code = "tenant_unknown"


class WorkspaceUnknown(NotFound):
    code = "workspace_unknown"


class EnvironmentUnknown(NotFound):
    code = "environment_unknown"


class PrincipalUnknown(NotFound):
    code = "principal_unknown"


class KeyUnknown(NotFound):
    code = "key_unknown"


class AlreadyExists(Rejected):
    """The id is taken, or the name, e-mail or subject that has to be unique."""

    code = "already_exists"


class LimitReached(Rejected):
    """A stated maximum of the tenant is used up."""

    code = "limit_reached"

    def __init__(self, what: str, maximum: int) -> None:
        super().__init__(f"at most {maximum} {what}")
        self.maximum = maximum


class PolicyMovedOn(Rejected):
    """A newer version of the policy was put in force meanwhile."""

    code = "policy_moved_on"


class LastOwner(Rejected):
    """A tenant always has an enabled person who owns all of it."""

    code = "last_owner"


class RoleNotForKind(Rejected):
    """People sign and own; service accounts do neither; agents only call tools."""

    code = "role_not_for_kind"


class OwnerOwnsAll(Rejected):
    """The role of owner has no smaller reach than the tenant."""

    code = "owner_owns_all"


class AgentHoldsNoKey(Rejected):
    """Agents act inside the platform and are given their powers call by call."""

    code = "agent_holds_no_key"


class KeyOfAnotherPerson(Rejected):
    """Whoever makes a key sees it and could sign as its person, so people make their own."""

    code = "key_of_another_person"


class ScopesTooWide(Rejected):
    """A key may narrow what its principal may do, not widen it."""

    code = "scopes_too_wide"


class KeyNotCurrent(Rejected):
    """The key was revoked, has expired, or was already rotated."""

    code = "key_not_current"


class DelegateUnfit(Rejected):
    """Approving is delegated to another person who can act."""

    code = "delegate_unfit"


class DelegationChain(Rejected):
    """What was delegated is not handed on, and nobody stands in for somebody who has a substitute."""

    code = "delegation_chain"


class DelegationUnknown(NotFound):
    code = "delegation_unknown"


class NotDelegated(Denied):
    """Nobody delegated this approving to whoever answers, or no longer, or may not approve it any more."""

    code = "not_delegated"


class PrincipalIsDisabled(Denied):
    code = "principal_disabled"

    def __init__(self) -> None:
        super().__init__("active_principal", "the principal is disabled")


class TenantIsSuspended(Denied):
    code = "tenant_suspended"

    def __init__(self) -> None:
        super().__init__("active_tenant", "the tenant is suspended")


class CredentialRefused(FairleadError):
    """The credential does not, or no longer, stand for anybody: present another one."""

    code = "credential_refused"


class CredentialUnknown(CredentialRefused):
    code = "credential_unknown"


class CredentialExpired(CredentialRefused):
    code = "credential_expired"


class CredentialRevoked(CredentialRefused):
    code = "credential_revoked"
