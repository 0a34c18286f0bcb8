"""The policies that apply to a workflow now: what is in force the tenant says, and a version never changes."""

from collections import OrderedDict

import msgspec
from fairlead_tenants.ids import TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.ids import PolicyId
from fairlead.domain.policies import NoSuchPolicy, PolicyPublished, Scope, Version, policy_id, policy_stream, versions
from fairlead.domain.policy.document import ScopePolicy
from fairlead.domain.policy.layers import NO_LAYERS, Layer, Layers
from fairlead.domain.tenants.states import PolicyChoice, PolicyChoices
from fairlead.handling.tenant_choices import TenantChoices
from fairlead.ports import Log

KEPT_LAYERS = 2_000  # versions of policies
KEPT_PLACES = 10_000  # workflows whose policies are known

_Place = tuple[TenantId, WorkspaceId, str]


class _Found(Struct, frozen=True):
    """What applies in a place, as long as the tenant says the same of `scopes`."""

    scopes: tuple[tuple[PolicyId, Scope], ...]
    choices: PolicyChoices
    chosen: tuple[PolicyChoice | None, ...]
    layers: Layers


class TenantPolicies:
    def __init__(self, log: Log, choices: TenantChoices) -> None:
        self._log = log
        self._choices = choices
        self._found: OrderedDict[_Place, _Found] = OrderedDict()
        self._layers: OrderedDict[tuple[TenantId, PolicyId, int], Layer] = OrderedDict()

    async def of(self, tenant_id: TenantId, workspace_id: WorkspaceId, workflow: str) -> Layers:
        """The same object for as long as nothing changes. Raises Unavailable."""
        place = (tenant_id, workspace_id, workflow)
        choices, found = await self._choices.policies(tenant_id), self._found.get(place)
        if found is not None and found.choices is choices:
            return found.layers
        applying = found.scopes if found else scopes(place)
        chosen = tuple(choices.get(each) for each, _ in applying)
        if found is not None and found.chosen == chosen:
            layers = found.layers
        else:
            layers = await self._read(tenant_id, applying, chosen)
        self._found[place] = _Found(applying, choices, chosen, layers)
        self._found.move_to_end(place)
        while len(self._found) > KEPT_PLACES:
            self._found.popitem(last=False)
        return layers

    async def version(self, tenant_id: TenantId, scope: Scope, version: int | None) -> Version:
        """One version, the newest for None. Raises NoSuchPolicy."""
        for each in reversed(versions(await self._log.read(policy_stream(tenant_id, scope)))):
            if version in (None, each.published.version):
                return each
        raise NoSuchPolicy("no such policy, or no such version of it")

    async def instead(
        self, tenant_id: TenantId, workspace_id: WorkspaceId, workflow: str, scope: Scope, layer: Layer
    ) -> Layers:
        """What would apply there if this were in force, which need not be published. Raises Unavailable."""
        choices = await self._choices.policies(tenant_id)
        found: list[Layer] = []
        for known, each in scopes((tenant_id, workspace_id, workflow)):
            chosen = choices.get(known)
            if each == scope:
                found.append(layer)
            elif chosen is not None and chosen.enforced is not None:
                found.append(await self.layer(tenant_id, each, chosen.enforced))
        layers = tuple(found)
        return Layers(enforced=layers, tried=layers)

    async def chosen(
        self, tenant_id: TenantId, workspace_id: WorkspaceId, workflow: str, chosen: tuple[PolicyChoice | None, ...]
    ) -> Layers:
        """What applied there when the tenant said this, scope by scope from the outermost. Raises NoSuchPolicy."""
        return await self._read(tenant_id, scopes((tenant_id, workspace_id, workflow)), chosen)

    async def _read(
        self,
        tenant_id: TenantId,
        scopes: tuple[tuple[PolicyId, Scope], ...],
        chosen: tuple[PolicyChoice | None, ...],
    ) -> Layers:
        enforced: list[Layer] = []
        tried: list[Layer] = []
        for (_, scope), choice in zip(scopes, chosen, strict=True):
            if choice is None:
                continue
            if choice.enforced is not None:
                enforced.append(await self.layer(tenant_id, scope, choice.enforced))
            at_trial = choice.tried if choice.tried is not None else choice.enforced
            if at_trial is not None:
                tried.append(await self.layer(tenant_id, scope, at_trial))
        if not enforced and not tried:
            return NO_LAYERS
        in_force = tuple(enforced)
        return Layers(enforced=in_force, tried=in_force if tried == enforced else tuple(tried))

    async def layer(self, tenant_id: TenantId, scope: Scope, version: int) -> Layer:
        key = (tenant_id, policy_id(tenant_id, scope), version)
        kept = self._layers.get(key)
        if kept is None:
            kept = layer_of(scope, (await self.version(tenant_id, scope, version)).published)
            self._layers[key] = kept
            while len(self._layers) > KEPT_LAYERS:
                self._layers.popitem(last=False)
        return kept


def layer_of(scope: Scope, published: PolicyPublished) -> Layer:
    return Layer(
        kind=scope.kind,
        version=published.version,
        document_hash=published.document_hash,
        document=msgspec.convert(published.document, ScopePolicy),
    )


def scopes(place: _Place) -> tuple[tuple[PolicyId, Scope], ...]:
    """Outermost first."""
    tenant_id, workspace_id, workflow = place
    found = (Scope(), Scope(workspace_id=workspace_id), Scope(workspace_id=workspace_id, workflow=workflow))
    return tuple((policy_id(tenant_id, scope), scope) for scope in found)
