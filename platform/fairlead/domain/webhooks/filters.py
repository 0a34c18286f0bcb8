"""Which events a webhook is told of: by tag, and by the run's place."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from msgspec import Meta, Struct

from fairlead.domain.codec import tags_of
from fairlead.domain.envelope import Kind
from fairlead.domain.errors import Problem
from fairlead.domain.ids import WorkflowId

MAX_PATTERNS = 50
EVERYTHING = "*"
OF_RUNS: frozenset[Kind] = frozenset({"run", "approval"})  # what has a place: workspace, environment, workflow

_PATTERN = re.compile(r"[a-z_]+(?:\.[a-z_]+)?(?:\.v[0-9]+|\.\*)?")

Pattern = Annotated[str, Meta(min_length=1, max_length=100)]


class RunPlace(Struct, frozen=True, kw_only=True):
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    workflow_id: WorkflowId


class Filter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`events` are tags with or without their version, `run.*` for all that begin so, or `*`.

    A workspace, environment or workflow narrows to events of runs there and of their approvals.
    """

    events: Annotated[tuple[Pattern, ...], Meta(min_length=1, max_length=MAX_PATTERNS)]
    workspace_id: WorkspaceId | None = None
    environment_id: EnvironmentId | None = None
    workflow_id: WorkflowId | None = None

    @property
    def is_placed(self) -> bool:
        return any(each is not None for each in (self.workspace_id, self.environment_id, self.workflow_id))

    def wants(self, tag: str) -> bool:
        return any(_fits(pattern, tag) for pattern in self.events)

    def covers(self, place: RunPlace | None) -> bool:
        """None is where nobody knows, or what has no place: only for those that are told of all places."""
        if place is None:
            return not self.is_placed
        return (
            self.workspace_id in (None, place.workspace_id)
            and self.environment_id in (None, place.environment_id)
            and self.workflow_id in (None, place.workflow_id)
        )


def problems_of(patterns: Iterable[str], catalogue: Mapping[Kind, Any]) -> list[Problem]:
    """One for each pattern that no event there is fits: what is misspelt would be silent for ever."""
    tags = [tag for events in catalogue.values() for tag in tags_of(events)]
    return [
        Problem(path=f"/events/{index}", message="no event is called so", code="no_such_event")
        for index, pattern in enumerate(patterns)
        if not _is_known(pattern, tags)
    ]


def _is_known(pattern: str, tags: Iterable[str]) -> bool:
    if pattern == EVERYTHING:
        return True
    return _PATTERN.fullmatch(pattern) is not None and any(_fits(pattern, tag) for tag in tags)


def _fits(pattern: str, tag: str) -> bool:
    if pattern == EVERYTHING:
        return True
    if pattern.endswith(".*"):
        return tag.startswith(pattern[:-1])
    return pattern in (tag, tag.rpartition(".v")[0])
