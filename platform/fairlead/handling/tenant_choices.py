"""What tenants say of connectors and policies, at most a moment old, so that no decision asks the log for it.

Whoever has just read the tenant says so, and what is known here is then as new as that.
"""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

from fairlead_tenants.ids import PrincipalId, TenantId, WorkspaceId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.envelope import StreamRef
from fairlead.domain.policy.proposed import People, Who
from fairlead.domain.tenants.events import PolicyChosen
from fairlead.domain.tenants.people import person_of
from fairlead.domain.tenants.states import Absent, Choice, PolicyChoices, Tenant, TenantState, evolve, initial
from fairlead.ports import Clock, Log

FRESH_FOR = timedelta(seconds=1)
KEPT_TENANTS = 10_000

Choices = Mapping[str, Choice]


class _Known(Struct, frozen=True):
    """`shown` is the newest that anybody has seen; `base` was folded here, up to `sequence`. Nobody asks anew before
    `until`. `people` are those of its members who were asked for, by workspace."""

    shown: TenantState
    base: TenantState
    sequence: LogSequence
    until: datetime
    connectors: Choices
    policies: PolicyChoices
    people: dict[tuple[WorkspaceId, PrincipalId], Who]


class Noticed:
    """How late this process noticed policies that others had put in force. Its own it knows at once."""

    def __init__(self) -> None:
        self.count = 0
        self.sum_s = 0.0
        self.longest_s = 0.0

    def add(self, late_s: float) -> None:
        self.count += 1
        self.sum_s += late_s
        self.longest_s = max(self.longest_s, late_s)


class TenantChoices:
    def __init__(self, log: Log, clock: Clock) -> None:
        self.noticed = Noticed()
        self._log = log
        self._clock = clock
        self._kept: OrderedDict[TenantId, _Known] = OrderedDict()

    async def of(self, tenant_id: TenantId) -> Choices:
        """Of connectors: the same object for as long as nothing new is said. Raises Unavailable."""
        return (self._fresh(tenant_id) or await self._read(tenant_id)).connectors

    def at_hand(self, tenant_id: TenantId) -> Choices | None:
        """The same without asking anybody; None where it has to be asked."""
        known = self._fresh(tenant_id)
        return None if known is None else known.connectors

    async def policies(self, tenant_id: TenantId) -> PolicyChoices:
        """The same object for as long as nothing new is said. Raises Unavailable."""
        return (self._fresh(tenant_id) or await self._read(tenant_id)).policies

    def people(self, tenant_id: TenantId, workspace_id: WorkspaceId) -> People:
        """Who principals are, as far as is known here when it is asked, with the roles that they hold there."""

        def who(principal_id: PrincipalId) -> Who:
            known = self._kept.get(tenant_id)
            if known is None:
                return person_of(None, workspace_id, principal_id)
            if (found := known.people.get((workspace_id, principal_id))) is None:
                found = person_of(known.shown, workspace_id, principal_id)
                if isinstance(known.shown, Tenant) and principal_id in known.shown.members:
                    known.people[workspace_id, principal_id] = found
            return found

        return who

    def saw(self, tenant: TenantState) -> None:
        """The tenant as it is on the log now."""
        if isinstance(tenant, Tenant):
            known = self._kept.get(tenant.tenant_id)
            base, sequence = (known.base, known.sequence) if known else (initial(), LogSequence(0))
            self._keep(tenant.tenant_id, self._showing(tenant, base, sequence, known))

    def _fresh(self, tenant_id: TenantId) -> _Known | None:
        known = self._kept.get(tenant_id)
        return known if known is not None and self._clock.now() < known.until else None

    async def _read(self, tenant_id: TenantId) -> _Known:
        known, now = self._kept.get(tenant_id), self._clock.now()
        state, sequence = (known.base, known.sequence) if known else (initial(), LogSequence(0))
        for recorded in await self._log.read(StreamRef(tenant_id, "tenant", tenant_id), sequence):
            sequence = recorded.sequence
            for event in recorded.commit.events:
                state = evolve(state, event)
                if known is not None and isinstance(event, PolicyChosen):
                    self.noticed.add(max(0.0, (now - recorded.commit.at).total_seconds()))
        return self._keep(tenant_id, self._showing(state, state, sequence, known))

    def _showing(self, shown: TenantState, base: TenantState, sequence: LogSequence, known: _Known | None) -> _Known:
        """Objects that say the same stay the same."""
        until = self._clock.now() + FRESH_FOR
        if known is not None and known.shown is shown:
            return replace(known, base=base, sequence=sequence, until=until)
        connectors, policies = ({}, {}) if isinstance(shown, Absent) else (shown.connectors, shown.policies)
        if known is not None and known.connectors == connectors:
            connectors = known.connectors
        if known is not None and known.policies == policies:
            policies = known.policies
        return _Known(shown, base, sequence, until, connectors, policies, {})

    def _keep(self, tenant_id: TenantId, known: _Known) -> _Known:
        self._kept[tenant_id] = known
        self._kept.move_to_end(tenant_id)
        while len(self._kept) > KEPT_TENANTS:
            self._kept.popitem(last=False)
        return known
