"""What Prometheus reads: requests by route, and how far everything behind the API is. No tenant, no id as a label."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fairlead.api.model_metrics import model_figures
from fairlead.api.parts import ApiParts, Lag
from fairlead.api.webhook_views import tally
from fairlead.domain.errors import Unavailable
from fairlead.domain.switches.board import MODES, SCOPES
from fairlead.domain.switches.verdict import Boards
from fairlead.domain.webhooks.deliveries import Tally
from fairlead.handling.tenant_choices import Noticed

T = TypeVar("T")
BREAKER_STATES = ("open", "half_open", "closed")
WAITS_S = (60, 300, 900, 3_600, 4 * 3_600, 86_400, 3 * 86_400)  # of people
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry for each application: two in a process count apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "fairlead_api_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "fairlead_api_answer_seconds",
            "Time until the answer began.",
            ("route", "method"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._decisions = Histogram(
            "fairlead_approval_decision_seconds",
            "From the question to the answer that settled it.",
            ("outcome",),
            buckets=WAITS_S,
            registry=self.registry,
        )

    def decided(self, outcome: str, waited_s: float) -> None:
        """People have settled an approval."""
        self._decisions.labels(outcome).observe(waited_s)

    def answered(self, route: str, method: str, status: int, took_s: float) -> None:
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(took_s)

    async def text(self, parts: ApiParts) -> bytes:
        """In the exposition format. What cannot be measured now is left out."""
        return generate_latest(self.registry) + generate_latest(await _measured(parts))


async def _measured(parts: ApiParts) -> CollectorRegistry:
    registry = CollectorRegistry()
    if (lags := await _known(parts.lag)) is not None:
        _show_lag(registry, lags)
    if (backlog := await _known(parts.backlog)) is not None:
        Gauge("fairlead_backlog_commits", "Commits that wait to be dealt with.", registry=registry).set(backlog)
    if (state := await _known(parts.ledger_state)) is not None:
        missing = "Commits that the log had lost before the ledger could keep them."
        Gauge("fairlead_ledger_missing_commits", missing, registry=registry).set(state.missing)
        halted = "1 while the ledger keeps nothing because the log is not what was kept of it."
        Gauge("fairlead_ledger_halted", halted, registry=registry).set(state.halted is not None)
    if (queues := await _known(parts.queues)) is not None:
        depths = {name: queue.count for name, queue in queues.items()}
        ages = {name: queue.oldest_s for name, queue in queues.items()}
        _show(registry, "fairlead_queue_depth", "Orders and alarms that nobody has finished.", "queue", depths)
        _show(registry, "fairlead_queue_oldest_seconds", "How long the oldest has been there.", "queue", ages)
    _show_breakers(registry, parts.breakers())
    _show_switches(registry, parts.switches.known())
    _show_noticed(registry, parts.tools.noticed)
    meaning = "Accesses that happened and are not on the log yet."
    Gauge("fairlead_accesses_unrecorded", meaning, registry=registry).set(parts.audit.waiting)
    figures = await _known(lambda: model_figures(parts.database, parts.clock.now()))
    if figures is not None:
        registry.register(figures)
    if (webhooks := await _known(lambda: tally(parts.database))) is not None:
        _show_webhooks(registry, webhooks)
    return registry


def _show_noticed(registry: CollectorRegistry, noticed: Noticed) -> None:
    shown = {
        "fairlead_policy_noticed": ("Policies that others put in force and this process noticed.", noticed.count),
        "fairlead_policy_notice_seconds": ("How late it noticed them, added up.", noticed.sum_s),
        "fairlead_policy_notice_longest_seconds": ("How late it noticed one at most.", noticed.longest_s),
    }
    for name, (meaning, value) in shown.items():
        Gauge(name, meaning, registry=registry).set(value)


def _show_switches(registry: CollectorRegistry, boards: Boards | None) -> None:
    known = Gauge("fairlead_switches_known", "1 while it is known what is switched off, else 0.", registry=registry)
    known.set(0 if boards is None else 1)
    if boards is None:
        return
    gauge = Gauge("fairlead_switches_on", "Switches that are on, of all tenants.", ("scope", "mode"), registry=registry)
    for scope in SCOPES:
        for mode in MODES:
            gauge.labels(scope, mode).set(0)
    for board in boards.values():
        for switch in board.on.values():
            for mode in switch.modes:
                gauge.labels(switch.target.scope, mode).inc()


def _show_breakers(registry: CollectorRegistry, counts: Mapping[tuple[str, str], int]) -> None:
    """Zero where a breaker of the connector once stood so."""
    meaning = "Breakers that ever opened, of all tenants, by how they stand."
    gauge = Gauge("fairlead_breaker_state", meaning, ("connector", "state"), registry=registry)
    for connector in {connector for connector, _ in counts}:
        for state in BREAKER_STATES:
            gauge.labels(connector, state).set(counts.get((connector, state), 0))


def _show_webhooks(registry: CollectorRegistry, now: Tally) -> None:
    shown = {
        "fairlead_webhook_waiting": ("Events that webhooks of all tenants are still to be told.", now.waiting),
        "fairlead_webhooks_failing": ("Webhooks whose last attempt failed.", now.failing),
        "fairlead_webhooks_given_up": (
            "Webhooks that we disabled and nobody has enabled since.",
            now.disabled,
        ),
    }
    for name, (meaning, value) in shown.items():
        Gauge(name, meaning, registry=registry).set(value)
    attempts = {"delivered": float(now.delivered), "failed": float(now.failed)}
    _show(registry, "fairlead_webhook_attempts", "Attempts of the processes that send, by their end.", "end", attempts)


def _show_lag(registry: CollectorRegistry, lags: Sequence[Lag]) -> None:
    shown: dict[str, tuple[str, Callable[[Lag], float]]] = {
        "fairlead_projection_lag_commits": ("Commits behind the log.", lambda lag: lag.commits),
        "fairlead_projection_lag_seconds": ("Age of the oldest commit not folded.", lambda lag: lag.seconds),
        "fairlead_projection_parked": ("Commits that could not be folded.", lambda lag: lag.parked),
    }
    for name, (meaning, value) in shown.items():
        _show(registry, name, meaning, "projection", {lag.name: value(lag) for lag in lags})


def _show(registry: CollectorRegistry, name: str, meaning: str, label: str, values: Mapping[str, float]) -> None:
    gauge = Gauge(name, meaning, (label,), registry=registry)
    for each, value in values.items():
        gauge.labels(each).set(value)


async def _known(measure: Callable[[], Awaitable[T]]) -> T | None:
    try:
        return await measure()
    except Unavailable:
        return None
