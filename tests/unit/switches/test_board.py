"""A holder's switches: set, replaced, released, over; and how a target is written."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId

from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.errors import Invalid
from fairlead.domain.switches import board as b
from tests.support.clock import T0
from tests.support.tenancy import TENANT

GITHUB = b.Target("connector", "github")
ANN = PrincipalId("prn_ann")


def setting(target: b.Target = GITHUB, *modes: b.Mode, **fields: Any) -> b.SetSwitch:
    complete: dict[str, Any] = {"reason": "a hole", "set_by": ANN, "now": T0} | fields
    return b.SetSwitch(target=target, modes=modes or ("deny_all",), **complete)


def after(*commands: b.SwitchCommand) -> b.Board:
    board = b.initial()
    for command in commands:
        for event in b.decide(command, board):
            board = b.evolve(board, event)
    return board


def test_a_switch_is_on_until_it_is_released() -> None:
    board = after(setting())
    assert board.on["connector:github"].modes == ("deny_all",)
    assert after(setting(), b.ReleaseSwitch(target=GITHUB, reason="mended")).on == {}


def test_setting_it_again_replaces_what_it_said_and_the_same_again_is_no_news() -> None:
    board = after(setting(), setting(GITHUB, "deny_writes", "stop_starts"))
    assert board.on["connector:github"].modes == ("stop_starts", "deny_writes"), "in one order, however it was said"
    assert b.decide(setting(GITHUB, "stop_starts", "deny_writes"), board) == []


def test_a_board_is_newer_with_each_event() -> None:
    released = after(setting(), b.ReleaseSwitch(target=GITHUB, reason="mended"))
    assert (after(setting()).version, released.version) == (1, 2)


def test_releasing_what_is_not_on_says_so() -> None:
    with pytest.raises(b.NoSuchSwitch):
        b.decide(b.ReleaseSwitch(target=GITHUB, reason="mended"), b.initial())


def test_a_switch_with_an_end_counts_until_then_and_is_then_released_once() -> None:
    end = T0 + timedelta(minutes=5)
    board = after(setting(expires_at=end))
    switch = board.on["connector:github"]
    assert (switch.counts(end - timedelta.resolution), switch.counts(end)) == (True, False)
    assert b.decide(b.ExpireSwitches(now=end - timedelta.resolution), board) == []
    assert b.decide(b.ExpireSwitches(now=end), board) == [b.SwitchReleased(target=GITHUB, by="time")]
    assert b.decide(b.ExpireSwitches(now=end), after(setting(expires_at=end), b.ExpireSwitches(now=end))) == []


@pytest.mark.parametrize("fields", [{"expires_at": T0}, {"modes": ()}])
def test_a_switch_that_would_stop_nothing_is_refused(fields: dict[str, Any]) -> None:
    complete: dict[str, Any] = {"target": GITHUB, "modes": ("deny_all",), "reason": "x", "set_by": ANN, "now": T0}
    with pytest.raises(Invalid):
        b.decide(b.SetSwitch(**(complete | fields)), b.initial())


def test_so_many_are_on_at_once_and_no_more() -> None:
    board = after(*(setting(b.Target("tool", f"t.{number}")) for number in range(b.MAX_ON)))
    assert len(board.on) == b.MAX_ON
    assert b.decide(setting(b.Target("tool", "t.0"), "deny_writes"), board), "what is on can be changed"
    with pytest.raises(b.TooManySwitches):
        b.decide(setting(), board)


def test_a_secret_in_a_reason_is_not_kept() -> None:
    [event] = b.decide(setting(reason="leaked ghp_" + "a1B2" * 9), b.initial())
    assert isinstance(event, b.SwitchSet)
    assert "ghp_" not in event.reason


@pytest.mark.parametrize("text", ["installation", "tenant:tnt_a", "connector:github", "tool:github.create_issue"])
def test_a_target_is_read_as_it_is_written(text: str) -> None:
    assert b.read_target(text).id == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "installation:",
        "installation:x",
        "tenant",
        "connector:",
        "planet:earth",
        "tool:" + "x" * 201,
        "tool:\n",
        "tool:Bills.pay",
        "connector:git-hub",
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        b.read_target(text)


def test_only_the_installation_stops_the_installation() -> None:
    assert "installation" not in b.targets(TENANT)
    assert "installation" in b.targets(INSTALLATION)
    assert "workflow" not in b.targets(INSTALLATION), "a workflow is a tenant's own"
