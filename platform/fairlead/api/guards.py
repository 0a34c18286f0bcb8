"""May this principal use this route at all? Each route says which permission it needs; the matrix test reads it there.

The object's own workspace is looked at by the handler: a stranger's object is a 404 before permission is even asked.
"""

from typing import Any

from fairlead_tenants.access import PERMISSIONS_OF, Permission, Principal, carries, may
from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from fairlead.domain.errors import Denied, NotFound

PERMISSION = "permission"  # where a route's `opt` says which permission it needs


def requires(permission: Permission) -> dict[str, Any]:
    """Arguments of a route decorator: `@get(…, **requires(Permission.RUN_READ))`."""
    return {"guards": [_guard(permission)], "opt": {PERMISSION: permission}}


def _guard(permission: Permission) -> Guard:
    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if not holds_somewhere(connection.scope["user"], permission):
            raise Denied(permission)

    return guard


def holds_somewhere(principal: Principal, permission: Permission) -> bool:
    """Whether there is any workspace or environment where the principal has the permission."""
    return carries(principal, permission) and any(
        permission in PERMISSIONS_OF[grant.role] for grant in principal.grants
    )


def check_object(
    principal: Principal,
    permission: Permission,
    seen_by: Permission,
    workspace_id: WorkspaceId,
    environment_id: EnvironmentId | None = None,
) -> None:
    """NotFound for an object that the principal may not even see, Denied for a permission it lacks there."""
    if not may(principal, seen_by, workspace_id, environment_id):
        raise NotFound("there is no such object")
    if not may(principal, permission, workspace_id, environment_id):
        raise Denied(permission)
