"""Which host stands behind a provider, for its price: some addresses are a matter of the connection."""

from collections import OrderedDict
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from fairlead_sdk.egress import field_of, filled
from fairlead_sdk.models import ModelService
from msgspec import Struct

from fairlead.domain.connections.naming import connection_id
from fairlead.domain.connections.states import Account, evolve, initial
from fairlead.domain.envelope import StreamRef
from fairlead.handling.model_entrance import Counter
from fairlead.ports import Clock, Log

FRESH_FOR = timedelta(seconds=30)
KEPT = 10_000


class _Known(Struct, frozen=True):
    host: str
    at: datetime


class ModelHosts:
    """One for each process."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._kept: OrderedDict[Counter, _Known] = OrderedDict()

    async def of(self, counter: Counter, service: ModelService) -> str:
        """Empty where it depends on a connection that is not named. Raises Unavailable."""
        if "{" not in service.base_url:
            return host_in(service.base_url)
        if not counter.connection:
            return ""
        known, now = self._kept.get(counter), self._clock.now()
        if known is None or now - known.at >= FRESH_FOR:
            known = _Known(await self._read(counter, service), now)
            self._kept[counter] = known
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return known.host

    async def _read(self, counter: Counter, service: ModelService) -> str:
        name = connection_id(counter.tenant_id, counter.workspace_id, counter.environment_id, counter.connection)
        state = initial()
        for recorded in await self._log.read(StreamRef(counter.tenant_id, "connection", name)):
            for event in recorded.commit.events:
                state = evolve(state, event)
        if not isinstance(state, Account) or state.connector != counter.provider:
            return ""
        field = field_of(service.base_url)
        address = filled(service.base_url, state.config) if field is None else state.config.get(field, "")
        return host_in(address)


def host_in(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
