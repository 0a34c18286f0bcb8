"""What a call of a model costs a tenant now: its own prices, at most a moment old, before those that ship."""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain import price_lists as p
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.prices import Priced, PriceIndex, PriceTable, PriceUnknown
from fairlead.ports import Clock, Log

FRESH_FOR = timedelta(seconds=1)
KEPT_TENANTS = 2_000
NOTHING_OWN = PriceIndex(PriceTable(version="own-0", rates=()))


class _Known(Struct, frozen=True):
    prices: p.Prices
    own: PriceIndex
    sequence: LogSequence
    at: datetime


class PriceBook:
    """One for each process. `sellers` says which vendor of the shipped table is behind an address."""

    def __init__(self, log: Log, clock: Clock, shipped: PriceTable, sellers: Mapping[str, str]) -> None:
        self._log = log
        self._clock = clock
        self._shipped = PriceIndex(shipped)
        self._sellers = sellers
        self._kept: OrderedDict[TenantId, _Known] = OrderedDict()

    async def price(
        self, tenant_id: TenantId, provider: str, model: str, at: datetime | None = None, host: str = ""
    ) -> Priced:
        """By the name of the provider, then by the host that is asked. Raises PriceUnknown, Unavailable."""
        own = (await self._known(tenant_id)).own
        names = tuple(dict.fromkeys(filter(None, (provider, host, self._sellers.get(host, "")))))
        when = at or self._clock.now()
        for table in (own, self._shipped):
            for name in names:
                if (rates := table.rates_of(name, model, when)) is not None:
                    return Priced(version=table.version, rates=rates)
        raise PriceUnknown(provider, model)

    async def own(self, tenant_id: TenantId) -> p.Prices:
        """What the tenant has published last. Raises Unavailable."""
        return (await self._known(tenant_id)).prices

    async def version(self, tenant_id: TenantId, version: int) -> p.PricesPublished:
        """As it was published. Raises NoSuchPrices, Unavailable."""
        for recorded in await self._log.read(p.stream_of(tenant_id)):
            for event in recorded.commit.events:
                if event.version == version:
                    published: p.PricesPublished = event
                    return published
        raise p.NoSuchPrices("no such version of the prices")

    def saw(self, tenant_id: TenantId, prices: p.Prices) -> None:
        """Whoever has just published says so; what is on the log is read all the same."""
        known = self._kept.get(tenant_id)
        if known is not None and known.prices.version < prices.version:
            self._keep(tenant_id, _Known(prices, PriceIndex(prices.table), known.sequence, known.at))

    async def _known(self, tenant_id: TenantId) -> _Known:
        known, now = self._kept.get(tenant_id), self._clock.now()
        if known is not None and now - known.at < FRESH_FOR:
            return known
        prices, own, sequence = (known.prices, known.own, known.sequence) if known else (p.initial(), NOTHING_OWN, 0)
        newest = prices
        for recorded in await self._log.read(p.stream_of(tenant_id), LogSequence(sequence)):
            sequence = recorded.sequence
            for event in recorded.commit.events:
                newest = p.evolve(newest, event) if event.version > newest.version else newest
        if newest is not prices:
            own = PriceIndex(newest.table)
        return self._keep(tenant_id, _Known(newest, own, LogSequence(sequence), now))

    def _keep(self, tenant_id: TenantId, known: _Known) -> _Known:
        self._kept[tenant_id] = known
        self._kept.move_to_end(tenant_id)
        while len(self._kept) > KEPT_TENANTS:
            self._kept.popitem(last=False)
        return known
