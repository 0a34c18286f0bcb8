"""What models are asked, how long they take and what they cost, of all tenants together: by route and provider.

The figures are those of the read model, so every process shows the same: take the greatest of them, not their sum. A
route's name is the tenant's word for it; nothing says whose.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from fairlead.domain.instant import Instant
from fairlead.domain.meters import BOUNDS_US
from fairlead.ports import SqlDatabase

MOST_SHOWN = 200  # routes at a provider, those that are asked most
US = 1_000_000

_METERS = """
WITH shown AS (
    SELECT route, provider
      FROM model_meters
     WHERE meter LIKE 'calls:%%'
     GROUP BY route, provider
     ORDER BY sum(value) DESC, route, provider
     LIMIT %(most)s
)
SELECT m.route, m.provider, m.meter, m.value
  FROM model_meters AS m JOIN shown USING (route, provider)
 WHERE m.meter NOT LIKE 'refused:%%'
 UNION ALL
SELECT '', '', meter, sum(value)::bigint FROM model_meters WHERE meter LIKE 'refused:%%' GROUP BY meter
 ORDER BY 1, 2, 3
"""
# Of the last two hours, against as many of the week before, and a dollar at least. Not before a day is known.
_JUMPS = """
SELECT route, provider, (recent / greatest(1000000, 2.0 * earlier / hours))::float8 AS jump
  FROM (SELECT route, provider,
               coalesce(sum(cost_usd_micros) FILTER (WHERE hour > %(now)s - interval '2 hours'), 0) AS recent,
               coalesce(sum(cost_usd_micros) FILTER (WHERE hour <= %(now)s - interval '2 hours'), 0) AS earlier,
               least(168, extract(epoch FROM %(now)s - interval '2 hours' - min(hour)) / 3600) AS hours
          FROM model_hours
         WHERE hour > %(now)s - interval '170 hours' AND hour <= %(now)s
         GROUP BY route, provider) AS spent
 WHERE hours >= 22
 ORDER BY recent DESC
 LIMIT %(most)s
"""


class Meter(Struct, frozen=True):
    route: str
    provider: str
    meter: str
    value: int


class Jump(Struct, frozen=True):
    route: str
    provider: str
    jump: float


class ModelFigures:
    """A collector of figures that have been asked for."""

    def __init__(self, meters: Iterable[Meter], jumps: Iterable[Jump]) -> None:
        self._meters = list(meters)
        self._jumps = list(jumps)

    def collect(self) -> Iterator[Metric]:
        yield self._counter("fairlead_model_calls", "Attempts to ask a model, by their end.", "calls", "outcome")
        yield self._counter("fairlead_model_tokens", "Tokens that were read and written.", "tokens", "kind")
        yield self._counter("fairlead_model_cost_usd_micros", "What models have cost, in millionths.", "cost")
        yield self._counter("fairlead_model_saved_usd_micros", "What answers out of a cache would have cost.", "saved")
        refused = CounterMetricFamily(
            "fairlead_budget_refusals", "Calls that a budget refused, or let wait.", labels=("code",)
        )
        for each in self._of("refused"):
            refused.add_metric([each.meter.partition(":")[2]], each.value)
        yield refused
        yield self._histogram("fairlead_model_answer_seconds", "Time until an answer was complete.", "latency")
        yield self._histogram("fairlead_model_first_token_seconds", "Time to the first piece of it.", "first_token")
        jump = GaugeMetricFamily(
            "fairlead_model_cost_jump",
            "Cost of the last two hours against two usual hours of the week before.",
            labels=("route", "provider"),
        )
        for found in self._jumps:
            jump.add_metric([found.route, found.provider], found.jump)
        yield jump

    def _of(self, meter: str) -> Iterator[Meter]:
        return (each for each in self._meters if each.meter.partition(":")[0] == meter)

    def _counter(self, name: str, meaning: str, meter: str, label: str | None = None) -> Metric:
        labels = ("route", "provider", label) if label else ("route", "provider")
        family = CounterMetricFamily(name, meaning, labels=labels)
        for each in self._of(meter):
            kind = [each.meter.partition(":")[2]] if label else []
            family.add_metric([each.route, each.provider, *kind], each.value)
        return family

    def _histogram(self, name: str, meaning: str, meter: str) -> Metric:
        family = HistogramMetricFamily(name, meaning, labels=("route", "provider"))
        found: dict[tuple[str, str], dict[str, int]] = {}
        for each in self._of(meter):
            found.setdefault((each.route, each.provider), {})[each.meter.partition(":")[2]] = each.value
        for (route, provider), said in found.items():
            count, total = said.pop("count"), said.pop("sum", 0)
            buckets = [(str(bound / US), float(said.get(str(bound), 0))) for bound in BOUNDS_US]
            family.add_metric([route, provider], [*buckets, ("+Inf", float(count))], total / US)
        return family


async def model_figures(database: SqlDatabase, now: Instant) -> ModelFigures:
    """Raises Unavailable."""
    async with database.platform() as tx:
        meters = await tx.rows(_METERS, {"most": MOST_SHOWN}, Meter)
        jumps = await tx.rows(_JUMPS, {"most": MOST_SHOWN, "now": now}, Jump)
    return ModelFigures(meters, jumps)
