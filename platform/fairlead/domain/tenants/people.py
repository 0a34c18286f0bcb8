"""Principals as conditions of policies see them."""

from fairlead_tenants.ids import PrincipalId, WorkspaceId

from fairlead.domain.policy.proposed import Who, nobody
from fairlead.domain.tenants.states import Tenant, TenantState


def person_of(tenant: TenantState | None, workspace_id: WorkspaceId, principal_id: PrincipalId) -> Who:
    """With the roles that the principal holds in the workspace. Of one who is disabled or not there only the id."""
    member = tenant.members.get(principal_id) if isinstance(tenant, Tenant) else None
    if member is None or member.disabled:
        return nobody(principal_id)
    roles = {grant.role.value for grant in member.grants if grant.workspace_id in (None, workspace_id)}
    return Who(id=principal_id, kind=member.kind, roles=tuple(sorted(roles)))
