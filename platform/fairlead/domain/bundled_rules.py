"""The rules that a bundle carries: at each of its commits those that decided then."""

from collections.abc import Sequence
from typing import Any

import msgspec

from fairlead.domain.bundles import Bundle
from fairlead.domain.envelope import Recorded
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.expressions import Expressions
from fairlead.domain.ids import CallId
from fairlead.domain.policy.document import ScopePolicy
from fairlead.domain.policy.in_force import LayerInForce, PolicyInForce, deciding
from fairlead.domain.policy.layers import NO_LAYERS, Layer, Layers
from fairlead.domain.policy.proposed import People, Who, nobody
from fairlead.domain.runs.events import ToolCallJudged
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.tallies import Place, Places, PlacesWanted, Want
from fairlead.domain.tools import ToolCatalogue
from fairlead.domain.workflow.plain import document_hash
from fairlead.domain.workflow.reading import read


class BundledRules:
    """`document` is the bundle's own, or another that is put in its place."""

    def __init__(self, bundle: Bundle, document: dict[str, Any], expressions: Expressions) -> None:
        self._bundle = bundle
        self._workflow = read(document)
        self._tools = ToolCatalogue(bundle.tools)
        self._expressions = expressions
        self._built: dict[int, WorkflowRules] = {}
        self._places = {
            (each.sequence, each.tally, each.call_id): Place(rank=each.rank, others=each.others)
            for each in bundle.policy.places
        }

    def at(self, recorded: Recorded[Any]) -> WorkflowRules:
        return self._of(deciding(self._bundle.policy.in_force, recorded.sequence, judged_by(recorded)))

    def places(self, sequence: int, wants: Sequence[Want]) -> Places:
        """What tallies held then. Raises PlacesWanted for what the bundle does not say."""
        unknown = tuple(want for want in wants if (sequence, want.tally, want.call_id) not in self._places)
        if unknown:
            raise PlacesWanted(unknown)
        return {want.tally: self._places[sequence, want.tally, want.call_id] for want in wants}

    def knows(self, sequence: int, want: Want, place: Place) -> None:
        """While a bundle is made."""
        self._places[sequence, want.tally, want.call_id] = place

    @property
    def known(self) -> dict[tuple[int, str, CallId], Place]:
        return self._places

    def _of(self, policy: PolicyInForce | None) -> WorkflowRules:
        key = policy.since if policy is not None else 0
        if key not in self._built:
            self._built[key] = WorkflowRules(
                self._workflow,
                self._bundle.workflow.version,
                self._tools,
                self._expressions,
                layers=NO_LAYERS if policy is None else layers_of(policy),
                unstated=self._bundle.workflow.unstated_autonomy,
                prompt=self._bundle.workflow.prompt,
                people=_people(policy.people if policy is not None else []),
            )
        return self._built[key]


def judged_by(recorded: Recorded[Any]) -> frozenset[str]:
    """The versions of policy that judgements of the commit name."""
    return frozenset(event.policy_version for event in recorded.commit.events if isinstance(event, ToolCallJudged))


def layers_of(policy: PolicyInForce) -> Layers:
    enforced = tuple(map(_layer, policy.layers))
    return Layers(enforced=enforced, tried=enforced if policy.tried is None else tuple(map(_layer, policy.tried)))


def _layer(bundled: LayerInForce) -> Layer:
    """Raises Invalid for one that is not what its hash says, or no policy."""
    try:
        document = msgspec.convert(bundled.document, ScopePolicy)
    except msgspec.ValidationError as fault:
        raise _invalid(str(fault), "no_policy") from None
    if document_hash(bundled.document) != bundled.document_hash:
        raise _invalid(f"version {bundled.version} of the {bundled.kind}'s policy is not what its hash says", "changed")
    return Layer(kind=bundled.kind, version=bundled.version, document_hash=bundled.document_hash, document=document)


def _invalid(message: str, code: str) -> Invalid:
    return Invalid([Problem(path="/policy/in_force", message=message, code=code)], "the bundle cannot be used")


def _people(known: Sequence[Who]) -> People:
    by_id = {who.id: who for who in known}
    return lambda principal_id: by_id.get(principal_id) or nobody(principal_id)
