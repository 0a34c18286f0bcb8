"""What a version of a policy would have decided, added up: what changes, which rules apply, how risk is spread."""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from fairlead.domain.policy.document import MAX_RISK, Verdict

MAX_RULES_NAMED = 5_000


class Threshold(Struct, frozen=True, kw_only=True):
    """With `review.at` set to `at`, the share `share` of the runs would have needed people for their risk. None: no
    threshold keeps the share at or below the target."""

    target_share: float
    at: int | None
    share: float


class Reckoning(Struct, frozen=True, kw_only=True):
    """`reviewed_share` is of runs in which a call was put before people then; `simulated_share` would have been now.
    `inexact` are rules that count across runs where more runs went on at once than are followed at once."""

    runs: int
    calls: int
    changed: int
    verdicts: dict[str, int]
    applied: dict[str, int]
    never_apply: list[str]
    always_apply: list[str]
    inexact: list[str]
    reviewed_share: float
    simulated_share: float
    threshold: Threshold


class Tallying:
    """Folds calls run by run; what it keeps does not grow with their number."""

    def __init__(self, rule_ids: Iterable[str]) -> None:
        self._applied: Counter[str] = Counter(dict.fromkeys(rule_ids, 0))
        self._asked: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._runs_by_risk = [0] * (MAX_RISK + 1)
        self._runs = self._calls = self._changed = self._reviewed = self._would_be = 0

    def run(self, risk: int, *, reviewed: bool, would_be: bool) -> None:
        """A run is as risky as its riskiest call."""
        self._runs += 1
        self._runs_by_risk[min(risk, MAX_RISK)] += 1
        self._reviewed += reviewed
        self._would_be += would_be

    def call(self, then: Verdict, now: Verdict, asked: Iterable[str], applied: Iterable[str]) -> None:
        self._calls += 1
        self._changed += then != now
        self._verdicts[now] += 1
        self._asked.update(asked)
        self._applied.update(applied)

    @property
    def calls(self) -> int:
        return self._calls

    def reckoned(self, target_share: float, inexact: Iterable[str] = ()) -> Reckoning:
        applied = dict(self._applied.most_common(MAX_RULES_NAMED))
        always = [name for name, count in applied.items() if count > 1 and count == self._asked[name] == self._calls]
        return Reckoning(
            runs=self._runs,
            calls=self._calls,
            changed=self._changed,
            verdicts=dict(self._verdicts),
            applied=applied,
            never_apply=sorted(name for name, count in applied.items() if count == 0) if self._calls else [],
            always_apply=sorted(always),
            inexact=sorted(inexact),
            reviewed_share=_share(self._reviewed, self._runs),
            simulated_share=_share(self._would_be, self._runs),
            threshold=self._threshold(target_share),
        )

    def _threshold(self, target_share: float) -> Threshold:
        """The lowest number of points that keeps the share at or below the target."""
        reaching, found, share = 0, None, 0.0
        for risk in range(MAX_RISK, 0, -1):
            reaching += self._runs_by_risk[risk]
            if _share(reaching, self._runs) > target_share:
                break
            if self._runs_by_risk[risk]:
                found, share = risk, _share(reaching, self._runs)
        return Threshold(target_share=target_share, at=found, share=share)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
