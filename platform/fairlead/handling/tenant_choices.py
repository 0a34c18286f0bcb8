"""What tenants say of connectors, at most a moment old, so that no decision asks the log for it.

Whoever has just read the tenant says so, and what is known here is then as new as that.
"""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.envelope import StreamRef
from fairlead.domain.tenants.events import ConnectorDisabled, ConnectorEnabled, ConnectorPinned
from fairlead.domain.tenants.states import Choice, Tenant, TenantState, choice_of
from fairlead.ports import Clock, Log

FRESH_FOR = timedelta(seconds=1)
KEPT_TENANTS = 10_000

Choices = Mapping[str, Choice]


class _Known(Struct, frozen=True):
    choices: Choices
    sequence: LogSequence  # of the last commit that was read here
    at: datetime


class TenantChoices:
    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._kept: OrderedDict[TenantId, _Known] = OrderedDict()

    async def of(self, tenant_id: TenantId) -> Choices:
        """The same object for as long as nothing new is said. Raises Unavailable."""
        known, now = self._kept.get(tenant_id), self._clock.now()
        if known is not None and now - known.at < FRESH_FOR:
            return known.choices
        return self._keep(tenant_id, await self._read(tenant_id, known, now))

    def saw(self, tenant: TenantState) -> None:
        """The tenant as it is on the log now."""
        if isinstance(tenant, Tenant):
            known = self._kept.get(tenant.tenant_id)
            same = known is not None and known.choices == tenant.connectors
            choices = known.choices if known and same else tenant.connectors
            sequence = known.sequence if known else LogSequence(0)
            self._keep(tenant.tenant_id, _Known(choices, sequence, self._clock.now()))

    async def _read(self, tenant_id: TenantId, known: _Known | None, now: datetime) -> _Known:
        sequence = known.sequence if known else LogSequence(0)
        choices = dict(known.choices) if known else {}
        for recorded in await self._log.read(StreamRef(tenant_id, "tenant", tenant_id), sequence):
            sequence = recorded.sequence
            for event in recorded.commit.events:
                if isinstance(event, ConnectorEnabled | ConnectorPinned | ConnectorDisabled):
                    choices[event.connector] = choice_of(event)
        return _Known(known.choices if known and known.choices == choices else choices, sequence, now)

    def _keep(self, tenant_id: TenantId, known: _Known) -> Choices:
        self._kept[tenant_id] = known
        self._kept.move_to_end(tenant_id)
        while len(self._kept) > KEPT_TENANTS:
            self._kept.popitem(last=False)
        return known.choices
