"""Names that people use in place of ids: of workspaces, of environments, and of workflows within a workspace."""

from collections.abc import Mapping
from typing import Any

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.transport import Api

DEFAULT_WORKSPACE = "default"
WORKSPACES, ENVIRONMENTS, WORKFLOWS = "/v1/workspaces", "/v1/environments", "/v1/workflows"


def workspace_id(api: Api, named: str | None) -> str:
    """Without a name the only one, or the one called `default`. Raises Failure."""
    if named is not None and named.startswith("wsp_"):
        return named
    found = list(api.pages(WORKSPACES))
    if named is None and len(found) == 1:
        return str(found[0]["workspace_id"])
    return str(_called(named or DEFAULT_WORKSPACE, "workspace", found)["workspace_id"])


def environment_id(api: Api, named: str | None) -> str | None:
    """None for None: the key's own. Raises Failure."""
    if named is None or named.startswith("env_"):
        return named
    return str(_called(named, "environment", list(api.pages(ENVIRONMENTS)))["environment_id"])


def workflow_names(api: Api, workflow: str, workspace: str | None) -> Mapping[str, str]:
    """The fields that name a workflow in a request."""
    if workflow.startswith("wfl_"):
        return {"workflow_id": workflow}
    return {"workspace_id": workspace_id(api, workspace), "workflow": workflow}


def _called(name: str, what: str, found: list[Any]) -> Any:
    for item in found:
        if item["name"] == name:
            return item
    names = ", ".join(item["name"] for item in found)
    raise Failure(f"there is no {what} {name}", Exit.NOT_FOUND, details=(f"there are: {names or 'none'}",))
