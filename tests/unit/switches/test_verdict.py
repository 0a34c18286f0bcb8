"""What each mode means for each thing that is about to happen, and for whom."""

from datetime import timedelta

import pytest
from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.switches import board as b
from fairlead.domain.switches.verdict import Boards, Doing, Where, stop_of
from tests.support.clock import T0
from tests.support.platform import WORKFLOW
from tests.support.tenancy import DEFAULT, LIVE, TENANT

OTHER = TenantId("tnt_other")
HERE = Where(TENANT, LIVE, DEFAULT, WORKFLOW, "github.create_issue")
READ, WRITE = Effect.READ, Effect.WRITE


def on(target: str, *modes: b.Mode, minutes: int | None = None) -> b.On:
    return b.On(
        target=b.read_target(target),
        modes=modes,
        reason="a hole",
        set_by=PrincipalId("prn_ann"),
        set_at=T0,
        expires_at=None if minutes is None else T0 + timedelta(minutes=minutes),
    )


def boards(*switches: b.On, holder: TenantId = TENANT) -> Boards:
    return {holder: b.Board(version=1, on={each.target.id: each for each in switches})}


def answer(doing: Doing, effect: Effect, shown: Boards, where: Where = HERE) -> str | None:
    stop = stop_of(doing, effect, where, shown, T0)
    return None if stop is None else stop.answer


TABLE: dict[b.Mode, tuple[str | None, ...]] = {
    # start, a read, a write, preview, read-back, undoing
    "stop_starts": ("refuse", None, None, None, None, None),
    "pause_runs": ("refuse", "pause", "pause", "wait", None, "wait"),
    "deny_writes": (None, None, "deny", None, None, "wait"),
    "deny_all": ("refuse", "deny", "deny", "wait", "wait", "wait"),
}
ASKED: tuple[tuple[Doing, Effect], ...] = (
    ("start", READ),
    ("call", READ),
    ("call", WRITE),
    ("preview", WRITE),
    ("verify", WRITE),
    ("compensate", WRITE),
)


@pytest.mark.parametrize("mode", TABLE)
def test_each_mode_stops_what_it_says_and_nothing_else(mode: b.Mode) -> None:
    shown = boards(on(f"tenant:{TENANT}", mode))
    assert tuple(answer(doing, effect, shown) for doing, effect in ASKED) == TABLE[mode]


def test_safe_mode_stops_destruction_like_any_write() -> None:
    assert answer("call", Effect.DESTRUCTIVE, boards(on(f"tenant:{TENANT}", "deny_writes"))) == "deny"


@pytest.mark.parametrize(
    "target",
    [
        f"tenant:{TENANT}",
        f"environment:{LIVE}",
        f"workspace:{DEFAULT}",
        f"workflow:{WORKFLOW}",
        "connector:github",
        "tool:github.create_issue",
    ],
)
def test_a_switch_holds_for_everything_within_its_target(target: str) -> None:
    assert answer("call", WRITE, boards(on(target, "deny_all"))) == "deny"


@pytest.mark.parametrize(
    "target",
    [f"tenant:{OTHER}", "environment:env_x", "workspace:wsp_x", "workflow:wfl_x", "connector:git", "tool:github.merge"],
)
def test_and_for_nothing_beside_it(target: str) -> None:
    assert answer("call", WRITE, boards(on(target, "deny_all"))) is None


@pytest.mark.parametrize("target", ["installation", f"tenant:{TENANT}", "connector:github", "tool:github.create_issue"])
def test_the_installations_switches_hold_for_every_tenant(target: str) -> None:
    stop = stop_of("call", WRITE, HERE, boards(on(target, "deny_all"), holder=INSTALLATION), T0)
    assert stop is not None
    assert stop.by_installation


def test_another_tenants_switches_hold_nothing_here_whatever_they_name() -> None:
    everything = [on(target, "deny_all") for target in ("installation", f"tenant:{TENANT}", "connector:github")]
    assert answer("call", WRITE, boards(*everything, holder=OTHER)) is None


def test_a_pause_comes_before_a_denial_which_can_follow_it() -> None:
    shown = boards(on(f"tenant:{TENANT}", "deny_all"), on("connector:github", "pause_runs"))
    assert answer("call", WRITE, shown) == "pause"


def test_a_switch_whose_time_has_come_holds_nothing_before_anybody_has_said_so() -> None:
    stop = stop_of(
        "call", WRITE, HERE, boards(on("connector:github", "deny_all", minutes=5)), T0 + timedelta(minutes=5)
    )
    assert stop is None
