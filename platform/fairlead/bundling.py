"""Composes what it takes to decide the run of a bundle again: expressions, tools as they were, the steps planner."""

from typing import Any

from msgspec import Struct

from fairlead.adapters.cel import CelExpressions
from fairlead.api.documents import from_yaml
from fairlead.domain.bundles import Bundle, digest_of, read_bundle, recorded_in
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.rerun import Parted, rerun
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.tallies import PlacesWanted
from fairlead.domain.tools import ToolCatalogue
from fairlead.domain.workflow.reading import read

PLANNERS = frozenset({"steps"})  # what decides the same whenever it is asked


class Replayed(Struct, frozen=True, kw_only=True):
    run_id: str
    commits: int
    events: int
    decided: int
    parted: Parted | None


def summary(body: bytes) -> dict[str, Any]:
    """Raises Invalid for a bundle that is not whole."""
    bundle = read_bundle(body)
    return {
        "run_id": bundle.run_id,
        "workflow": bundle.workflow.name,
        "version": bundle.workflow.version,
        "planner": bundle.planner,
        "policy_version": bundle.policy.version,
        "tools": [f"{tool.name} {tool.version}" for tool in bundle.tools],
        "events": sum(len(each.body.get("events", ())) for each in bundle.history),
        "made_at": bundle.made_at.isoformat(),
        "sha256": digest_of(bundle),
    }


def replay(body: bytes, document: bytes | None = None) -> Replayed:
    """Under its own document, or under another. Raises Invalid."""
    bundle = read_bundle(body)
    if bundle.planner not in PLANNERS:
        problem = Problem(path="/planner", message=f"{bundle.planner} cannot be asked again", code="planner")
        raise Invalid([problem], "the run cannot be decided again")
    plain = bundle.workflow.document if document is None else from_yaml(document)
    try:
        found = rerun(_own_history(bundle), _rules(bundle, plain))
    except PlacesWanted:
        problem = Problem(path="/policy", message="a rule counts across runs, which no bundle holds", code="counts")
        raise Invalid([problem], "the run cannot be decided again") from None
    return Replayed(
        run_id=bundle.run_id,
        commits=found.commits,
        events=found.events,
        decided=found.decided,
        parted=found.parted,
    )


def _own_history(bundle: Bundle) -> list[Any]:
    return [each for each in recorded_in(bundle, Codec(EVENTS, UPCASTERS)) if each.commit.stream_id == bundle.run_id]


def _rules(bundle: Bundle, document: dict[str, Any]) -> WorkflowRules:
    return WorkflowRules(
        read(document),
        bundle.workflow.version,
        ToolCatalogue(bundle.tools),
        CelExpressions(),
        unstated=bundle.workflow.unstated_autonomy,
    )
