"""Which permission a route needs, as data on the route; and whether a principal has it where the object is.

A route says `opt=requires(Permission.X)`; the application does not start with one that says nothing.
"""

from typing import Any, Literal

from fairlead_tenants.access import PERMISSIONS_OF, Permission, Principal, carries, may, workspaces_where
from fairlead_tenants.ids import EnvironmentId, WorkspaceId

from fairlead.domain.approvals import OnlyPeopleApprove
from fairlead.domain.errors import Denied, NotFound

ReadModel = Literal[
    "access_directory",
    "workflow_versions",
    "run_commits",
    "ledger",  # not a read model, but a route may wait for it too
    "run_board",
    "approvals",
    "open_work",
    "connections",
    "connection_uses",
    "toolset_versions",
    "dead_letters",
    "webhooks",
    "accesses",
    "cases",
    "expiries",
    "breakers",
    "switch_pauses",
    "policy_versions",
    "price_versions",
    "prompt_versions",
    "route_versions",
    "model_usage",
]

NEEDS = "needs"
READS = "reads"
OWN = "own"
OPEN = "open"
ALSO = "also"  # statuses of success besides the usual one
DOCUMENT = "document"  # the body is a workflow document, JSON or YAML: what is described of it
SIGNED_IN = "signed_in"
FILES = "files"  # media types of what is streamed instead of an answer made from a type
LARGE = "large"  # the body may be large and costs time: a process takes few of them at once


def requires(permission: Permission, *reads: ReadModel, or_own: bool = False) -> dict[str, Any]:
    """`reads` are the read models that the route looks into: a caller that names a position waits for them.

    `or_own`: people who are signed in need no permission for what is theirs, which the decision then checks.
    """
    return {NEEDS: permission, READS: reads, OWN: or_own}


def for_anyone_signed_in() -> dict[str, Any]:
    """Any principal, whatever it may do."""
    return {SIGNED_IN: True}


def for_anybody() -> dict[str, Any]:
    """Without a credential: nothing of a tenant may be behind it."""
    return {OPEN: True}


def check(opt: dict[str, Any], principal: Principal, stands_in: bool = False) -> None:
    """Whether the principal holds the route's permission anywhere at all, or `stands_in` for somebody who may decide.
    Raises Denied, which names it."""
    needed: Permission | None = opt.get(NEEDS)
    if needed is None or (opt.get(OWN) and principal.key_id is None):
        return
    if needed is Permission.APPROVAL_DECIDE and principal.kind != "person":
        raise OnlyPeopleApprove(needed, "only people approve")
    if stands_in and needed is Permission.APPROVAL_DECIDE and carries(principal, needed):
        return  # on whose behalf, and whether that is right, is looked at for each approval
    if not (carries(principal, needed) and any(needed in PERMISSIONS_OF[grant.role] for grant in principal.grants)):
        raise Denied(needed)


def check_place(
    principal: Principal,
    needed: Permission,
    read: Permission,
    workspace_id: WorkspaceId | None,
    environment_id: EnvironmentId | None = None,
) -> None:
    """Raises NotFound for an object that the principal cannot even see there, Denied for one it can."""
    if not may(principal, read, workspace_id, environment_id):
        raise NotFound("no such object")
    if not may(principal, needed, workspace_id, environment_id):
        raise Denied(needed)


def listed_workspaces(principal: Principal, permission: Permission) -> list[WorkspaceId] | None:
    """For a query: None is everywhere, an empty list nowhere."""
    found = workspaces_where(principal, permission)
    return None if found is None else sorted(found)
