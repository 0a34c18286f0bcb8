"""What governed a run, found again: the policies that decided, its principals, and what tallies held."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.bundled_rules import BundledRules, judged_by
from fairlead.domain.bundles import Bundle, BundledPlace
from fairlead.domain.envelope import Recorded, StreamRef
from fairlead.domain.expressions import Expressions
from fairlead.domain.ids import WorkflowId
from fairlead.domain.policies import Scope, ScopeKind, policy_stream
from fairlead.domain.policy.in_force import LayerInForce, PolicyInForce, Setting, Wanted, deciding, settings
from fairlead.domain.policy.layers import Layer, Layers
from fairlead.domain.rerun import rerun
from fairlead.domain.runs.events import RunStarted
from fairlead.domain.tallies import PlacesWanted, place_as_of, tally_stream
from fairlead.handling.rulebook import Known, Rulebook
from fairlead.handling.tenant_policies import TenantPolicies, scopes
from fairlead.ports import AnyRecorded, Log


class Governance(Struct, frozen=True, kw_only=True):
    log: Log
    rulebook: Rulebook
    policies: TenantPolicies
    expressions: Expressions

    async def of_run(
        self, tenant_id: TenantId, start: RunStarted, run: Sequence[AnyRecorded]
    ) -> tuple[PolicyInForce, ...]:
        """What decided about any commit of the run, oldest first. Raises NoSuchVersion."""
        in_force = await self.through(tenant_id, start, run[0].sequence, run[-1].sequence)
        used = {id(deciding(in_force, each.sequence, judged_by(each))) for each in run}
        return tuple(each for each in in_force if id(each) in used)

    async def through(self, tenant_id: TenantId, start: RunStarted, first: int, last: int) -> list[PolicyInForce]:
        """What could decide about the run between two places of the log, oldest first. Raises NoSuchVersion."""
        known = await self._known(tenant_id, start)
        place = known.version.published
        wanted = Wanted(
            policies=tuple(each for each, _ in scopes((tenant_id, place.workspace_id, place.name))),
            workspace_id=place.workspace_id,
            principals=tuple(dict.fromkeys((start.agent_principal_id, start.started_by))),
        )
        tenant = await self.log.read(StreamRef(tenant_id, "tenant", tenant_id))
        return [await self._in_force(tenant_id, known, each) for each in settings(tenant, wanted, first, last)]

    async def histories(
        self, tenant_id: TenantId, start: RunStarted, in_force: Sequence[PolicyInForce]
    ) -> Mapping[ScopeKind, Sequence[Recorded[Any]]]:
        """Of the policies that decided."""
        place = (await self._known(tenant_id, start)).version.published
        named = {layer.kind for policy in in_force for layer in policy.layers}
        return {
            scope.kind: await self.log.read(policy_stream(tenant_id, scope))
            for _, scope in scopes((tenant_id, place.workspace_id, place.name))
            if scope.kind in named
        }

    async def places(self, tenant_id: TenantId, bundle: Bundle, run: Sequence[AnyRecorded]) -> list[BundledPlace]:
        """Whatever the rules ask of tallies when the run is decided again, as it was then."""
        rules = BundledRules(bundle, bundle.workflow.document, self.expressions)
        tallies: dict[str, Sequence[AnyRecorded]] = {}

        def as_of(sequence: int, wants: Any) -> Any:
            missing = tuple(want for want in wants if want.tally not in tallies)
            if missing:
                raise PlacesWanted(missing)
            for want in wants:
                rules.knows(sequence, want, place_as_of(tallies[want.tally], want, sequence))
            return rules.places(sequence, wants)

        while True:
            try:
                rerun(run, rules.at, as_of)
            except PlacesWanted as wanted:
                for want in wanted.wants:
                    tallies[want.tally] = await self.log.read(tally_stream(tenant_id, want.tally))
            else:
                break
        return [
            BundledPlace(sequence=sequence, tally=tally, call_id=call_id, rank=place.rank, others=place.others)
            for (sequence, tally, call_id), place in rules.known.items()
        ]

    async def _known(self, tenant_id: TenantId, start: RunStarted) -> Known:
        workflow = StreamRef(tenant_id, "workflow", WorkflowId(start.workflow_id))
        return await self.rulebook.published(workflow, start.workflow_version)

    async def _in_force(self, tenant_id: TenantId, known: Known, setting: Setting) -> PolicyInForce:
        place = known.version.published
        layers: Layers = await self.policies.chosen(tenant_id, place.workspace_id, place.name, setting.chosen)
        where = {scope.kind: scope for _, scope in scopes((tenant_id, place.workspace_id, place.name))}
        tried = None
        if layers.tried is not layers.enforced:
            tried = [await self._layer(tenant_id, where, each) for each in layers.tried]
        return PolicyInForce(
            version=known.rules.under(layers).policy_version,
            since=setting.since,
            layers=[await self._layer(tenant_id, where, each) for each in layers.enforced],
            people=list(setting.people),
            tried=tried,
        )

    async def _layer(self, tenant_id: TenantId, where: Mapping[ScopeKind, Scope], layer: Layer) -> LayerInForce:
        found = (await self.policies.version(tenant_id, where[layer.kind], layer.version)).published
        return LayerInForce(
            kind=layer.kind, version=found.version, document_hash=found.document_hash, document=found.document
        )
