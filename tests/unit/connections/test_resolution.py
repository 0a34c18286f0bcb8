"""Which connection a call uses, and whether it may use it: in one pure place."""

from typing import Any

import pytest

from fairlead.domain.connections import errors, resolution
from fairlead.domain.connections.events import ConnectionReconnectNeeded, ConnectionRevoked
from fairlead.domain.connections.naming import connection_id
from fairlead.domain.connections.states import Absent, ConnectionState, evolve, initial
from fairlead.domain.ids import ConnectionId
from tests.support.connections import ADMIN, ALICE, BOB, DESK, LIVE, MAIN, READ, TEST, WRITE, a_use, authorized, created

ONE, TWO = ConnectionId("con_1"), ConnectionId("con_2")


def state(*events: Any) -> ConnectionState:
    now = initial()
    for event in events:
        now = evolve(now, event)
    return now


CONNECTED = state(created(), authorized(1, READ))


def test_a_tool_s_own_name_wins_over_its_connector_s() -> None:
    named = {"ledger": "main", "ledger.add_line": "second"}
    assert resolution.name_for("ledger.add_line", named) == "second"
    assert resolution.name_for("ledger.read_lines", named) == "main"
    assert resolution.name_for("other.read", named) is None


def test_a_name_stands_for_one_connection_of_that_place_and_no_other() -> None:
    assert resolution.resolve(ALICE, DESK, LIVE, "ledger", "main", ()) == MAIN
    others = {
        connection_id(BOB, DESK, LIVE, "main"),
        connection_id(ALICE, DESK, TEST, "main"),
        connection_id(ALICE, DESK, LIVE, "mains"),
        connection_id(ALICE, LIVE, DESK, "main"),  # type: ignore[arg-type]  # swapped on purpose
    }
    assert len(others | {MAIN}) == 5


def test_without_a_name_it_is_the_only_one_there() -> None:
    assert resolution.resolve(ALICE, DESK, LIVE, "ledger", None, (ONE,)) == ONE
    with pytest.raises(errors.ConnectionNotFound):
        resolution.resolve(ALICE, DESK, LIVE, "ledger", None, ())
    with pytest.raises(errors.ConnectionAmbiguous):
        resolution.resolve(ALICE, DESK, LIVE, "ledger", None, (ONE, TWO))


def test_a_connection_with_the_scopes_may_be_used() -> None:
    assert resolution.usable(a_use(READ), CONNECTED) is CONNECTED


def test_read_scopes_do_not_run_a_tool_that_writes_and_the_missing_scope_is_named_with_the_way_to_mend_it() -> None:
    with pytest.raises(errors.ScopeMissing) as missing:
        resolution.usable(a_use(READ, WRITE, ADMIN), CONNECTED)
    assert missing.value.missing == WRITE
    assert missing.value.reconnect_path == f"/v1/connections/{MAIN}/authorize"


@pytest.mark.parametrize(
    "elsewhere", [{"environment_id": TEST}, {"workspace_id": "wsp_other"}, {"environment_id": TEST, "scopes": ()}]
)
def test_another_environment_or_workspace_finds_nothing(elsewhere: dict[str, Any]) -> None:
    with pytest.raises(errors.ConnectionNotFound):
        resolution.usable(a_use(**elsewhere) if "scopes" in elsewhere else a_use(READ, **elsewhere), CONNECTED)
    with pytest.raises(errors.ConnectionNotFound):
        resolution.usable(a_use(), Absent())


def test_a_connection_serves_its_own_connector_only() -> None:
    with pytest.raises(errors.ConnectionMismatch):
        resolution.usable(a_use(connector="mail"), CONNECTED)


@pytest.mark.parametrize(
    "now",
    [
        state(created()),
        state(created(), authorized(), ConnectionRevoked(reason="leaked")),
        state(created(), authorized(), ConnectionReconnectNeeded(secret_version=1, reason="invalid_grant")),
    ],
)
def test_what_is_not_connected_needs_a_person(now: ConnectionState) -> None:
    with pytest.raises(errors.NeedsReconnect) as needed:
        resolution.usable(a_use(), now)
    assert needed.value.reconnect_path == f"/v1/connections/{MAIN}/authorize"
