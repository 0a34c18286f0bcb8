"""How models have done in the last minutes, as this process has heard, and when their limits have room again.

Bounded: of each model of a tenant the newest calls, of so many models.
"""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fairlead_tenants.ids import TenantId

from fairlead.domain.models.failures import Window
from fairlead.domain.routing.standing import Figures
from fairlead.handling.model_entrance import Counter

WINDOW_S = 900.0
KEPT_CALLS = 256  # of a model
KEPT_MODELS = 5_000
KEPT_ACCOUNTS = 10_000
FRESH_S = 0.5  # figures of many calls are reckoned anew after so long
MANY_CALLS = 32


class ModelKey(NamedTuple):
    tenant_id: TenantId
    provider: str
    model: str


class _Past(NamedTuple):
    at_s: float
    latency_ms: int | None  # None: it failed


class _Model:
    __slots__ = ("calls", "checks", "known", "known_at_s")

    def __init__(self, kept_calls: int) -> None:
        self.calls: deque[_Past] = deque(maxlen=kept_calls)
        self.checks: deque[tuple[float, bool]] = deque(maxlen=kept_calls)
        self.known: Figures | None = None  # as they were reckoned last
        self.known_at_s = 0.0


class ModelStandings:
    """`asked` is set once anybody has asked for a figure: until then nobody needs to hear how models do."""

    def __init__(self, steady: Callable[[], float] = time.monotonic, kept_calls: int = KEPT_CALLS) -> None:
        self.asked = asyncio.Event()
        self._steady = steady
        self._kept_calls = kept_calls
        self._models: OrderedDict[ModelKey, _Model] = OrderedDict()
        self._full_until_s: OrderedDict[Counter, float] = OrderedDict()

    def figures(self, key: ModelKey, within_s: float = WINDOW_S) -> Figures:
        self.asked.set()
        model = self._models.get(key)
        if model is None:
            return Figures()
        now_s = self._steady()
        if within_s == WINDOW_S and model.known is not None and now_s - model.known_at_s < FRESH_S:
            return model.known
        found = _figures(model, now_s - within_s)
        if within_s == WINDOW_S and len(model.calls) >= MANY_CALLS:
            model.known, model.known_at_s = found, now_s
        return found

    def answered(self, key: ModelKey, latency_ms: int, age_s: float = 0.0) -> None:
        """`age_s` ago."""
        self._model(key).calls.append(_Past(self._steady() - age_s, latency_ms))

    def failed(self, key: ModelKey, age_s: float = 0.0) -> None:
        self._model(key).calls.append(_Past(self._steady() - age_s, None))

    def checked(self, key: ModelKey, right: bool, age_s: float = 0.0) -> None:
        """Something that this model led to was verified."""
        self._model(key).checks.append((self._steady() - age_s, right))

    def learned(self, account: Counter, windows: Iterable[Window], retry_after_s: float | None = None) -> None:
        """What a provider has told of its limits."""
        for window in windows:
            if window.remaining == 0 and window.resets_in_s is not None:
                self._is_full(account, window.resets_in_s)
        if retry_after_s is not None:
            self._is_full(account, retry_after_s)
        while len(self._full_until_s) > KEPT_ACCOUNTS:
            self._full_until_s.popitem(last=False)

    def room_in_s(self, account: Counter) -> float:
        until_s = self._full_until_s.get(account)
        if until_s is None:
            return 0.0
        left_s = until_s - self._steady()
        if left_s <= 0:
            del self._full_until_s[account]
            return 0.0
        return left_s

    def _is_full(self, account: Counter, for_s: float) -> None:
        until_s = self._steady() + for_s
        self._full_until_s[account] = max(until_s, self._full_until_s.pop(account, 0.0))

    def _model(self, key: ModelKey) -> _Model:
        model = self._models.pop(key, None) or _Model(self._kept_calls)
        self._models[key] = model
        while len(self._models) > KEPT_MODELS:
            self._models.popitem(last=False)
        return model


def _figures(model: _Model, since_s: float) -> Figures:
    calls = [each for each in model.calls if each.at_s >= since_s]
    checks = [right for at_s, right in model.checks if at_s >= since_s]
    took = sorted(each.latency_ms for each in calls if each.latency_ms is not None)
    return Figures(
        calls=len(calls),
        failures=len(calls) - len(took),
        p50_ms=_quantile(took, 0.5),
        p95_ms=_quantile(took, 0.95),
        checked=len(checks),
        right=sum(checks),
    )


def _quantile(ordered: list[int], share: float) -> int | None:
    """The smallest that at least this share does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
