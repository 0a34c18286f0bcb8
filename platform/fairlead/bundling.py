"""Composes what it takes to decide the run of a bundle again: expressions, tools as they were, the planner."""

from typing import Any

from msgspec import Struct

from fairlead.adapters.cel import CelExpressions
from fairlead.api.documents import from_yaml
from fairlead.domain.bundled_rules import BundledRules
from fairlead.domain.bundles import digest_of, own_history, read_bundle
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.rerun import Parted, rerun
from fairlead.domain.tallies import PlacesWanted

PLANNERS = frozenset({"steps", "outside", "model"})  # what decides the same whenever it is asked


class Replayed(Struct, frozen=True, kw_only=True):
    run_id: str
    masked: bool
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
        "masked": bundle.masked,
    }


def replay(body: bytes, document: bytes | None = None) -> Replayed:
    """Under its own document, or under another. Raises Invalid."""
    bundle = read_bundle(body)
    if bundle.planner not in PLANNERS:
        problem = Problem(path="/planner", message=f"{bundle.planner} cannot be asked again", code="planner")
        raise Invalid([problem], "the run cannot be decided again")
    plain = bundle.workflow.document if document is None else from_yaml(document)
    rules = BundledRules(bundle, plain, CelExpressions())
    try:
        found = rerun(own_history(bundle, Codec(EVENTS, UPCASTERS)), rules.at, rules.places)
    except PlacesWanted:
        problem = Problem(path="/policy", message="a rule counts what the bundle does not say", code="counts")
        raise Invalid([problem], "the run cannot be decided again") from None
    return Replayed(
        run_id=bundle.run_id,
        masked=bundle.masked,
        commits=found.commits,
        events=found.events,
        decided=found.decided,
        parted=found.parted,
    )
