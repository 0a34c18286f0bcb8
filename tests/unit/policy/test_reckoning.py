"""Sums of a simulation: what changes, which rules apply, and the threshold for a share of runs."""

from fairlead.domain.policy.reckoning import Tallying


def spread(*risks: int) -> Tallying:
    sums = Tallying(["tenant:a"])
    for risk in risks:
        sums.run(risk, reviewed=risk > 50, would_be=False)
    return sums


def test_the_threshold_is_the_lowest_that_keeps_the_share() -> None:
    sums = spread(*[0] * 90, *[40] * 5, *[60] * 3, *[80] * 2)
    found = {share: sums.reckoned(share).threshold for share in (0.01, 0.02, 0.05, 0.1, 1.0)}
    assert {share: (each.at, each.share) for share, each in found.items()} == {
        0.01: (None, 0.0),
        0.02: (80, 0.02),
        0.05: (60, 0.05),
        0.1: (40, 0.1),
        1.0: (40, 0.1),
    }
    assert sums.reckoned(0.05).reviewed_share == 0.05


def test_rules_that_never_or_always_apply_are_named_where_there_was_anything_to_ask() -> None:
    sums = Tallying(["tenant:never", "tenant:always"])
    assert sums.reckoned(0.05).never_apply == []
    for _ in range(2):
        sums.call("allow", "deny", ["tenant:never", "tenant:always"], ["tenant:always"])
    reckoned = sums.reckoned(0.05)
    assert (reckoned.never_apply, reckoned.always_apply) == (["tenant:never"], ["tenant:always"])
    assert (reckoned.changed, reckoned.verdicts) == (2, {"deny": 2})


def test_without_runs_nothing_is_divided_by_nothing() -> None:
    assert Tallying([]).reckoned(0.05).threshold.at is None
