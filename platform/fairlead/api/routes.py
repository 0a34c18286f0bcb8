"""Every route there is."""

from litestar.types import ControllerRouterHandler

from fairlead.api.operations import healthz, metrics, readyz
from fairlead.api.workspaces import WorkspaceController

ROUTES: tuple[ControllerRouterHandler, ...] = (
    healthz,
    readyz,
    metrics,
    WorkspaceController,
)
