"""Which connectors a tenant uses: what may be said, by whom, and what follows from what is installed."""

from typing import Any

import pytest
from fairlead_tenants.access import Grant, Permission, Role
from fairlead_tenants.ids import PrincipalId

from fairlead.domain.errors import Denied, Invalid
from fairlead.domain.tenants import limits
from fairlead.domain.tenants.choices import Offer, uses
from fairlead.domain.tenants.commands import DisableConnector, UseConnector
from fairlead.domain.tenants.errors import LimitReached
from fairlead.domain.tenants.events import ConnectorDisabled, ConnectorEnabled, ConnectorPinned
from fairlead.domain.tenants.states import Choice, Tenant
from tests.support.clock import T0
from tests.support.tenancy import BY_OWNER, harbour, signed_in, with_person

PAT = signed_in(PrincipalId("prn_pat"))
ENABLED = ConnectorEnabled(connector="desk", major=1)
PINNED = ConnectorPinned(connector="desk", version="1.0.0")
DISABLED = ConnectorDisabled(connector="desk", reason="not now")


def use(connector: str = "desk", version: str | None = None, by: Any = BY_OWNER) -> UseConnector:
    return UseConnector(connector=connector, major=1, version=version, by=by, now=T0)


def off(connector: str = "desk", by: Any = BY_OWNER) -> DisableConnector:
    return DisableConnector(connector=connector, reason="not now", by=by, now=T0)


def test_a_tenant_says_what_it_uses_and_saying_it_again_changes_nothing() -> None:
    tenant = harbour()
    for command, event in ((use(), ENABLED), (use(version="1.0.0"), PINNED), (off(), DISABLED), (use(), ENABLED)):
        assert tenant.when(command) == [event]
        tenant = tenant.after(command)
        assert tenant.when(command) == []


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.AGENT])
def test_who_may_say_it_is_who_holds_the_permission(role: Role) -> None:
    tenant = with_person(harbour(), "pat", Grant(role))
    may = role in (Role.OWNER, Role.ADMIN)
    for command in (use(by=PAT), off(by=PAT)):
        if may:
            assert tenant.when(command) != []
        else:
            with pytest.raises(Denied) as denied:
                tenant.when(command)
            assert denied.value.missing == Permission.CONNECTOR_MANAGE


@pytest.mark.parametrize("name", ["", "Desk", "a.b", "a" * 33, "../x"])
def test_only_names_of_connectors_are_taken(name: str) -> None:
    for command in (use(name), off(name)):
        with pytest.raises(Invalid):
            harbour().when(command)


def test_there_is_a_bound_on_what_is_said() -> None:
    tenant = harbour()
    for number in range(limits.MAX_CHOICES):
        tenant = tenant.after(use(f"c{number}"))
    assert isinstance(tenant.state, Tenant)
    assert len(tenant.state.connectors) == limits.MAX_CHOICES
    assert tenant.when(off("c1")) != []
    with pytest.raises(LimitReached):
        tenant.when(use("one_more"))


OFFERS = (
    Offer(name="desk", versions=("1.0.0", "1.10.0", "1.9.0", "2.0.0", "3.0.0-rc.1"), by_default=False),
    Offer(name="basics", versions=("1.0.0",), by_default=True),
)


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, {"basics": "1.0.0"}),
        ({"desk": Choice(enabled=True, major=1)}, {"basics": "1.0.0", "desk": "1.10.0"}),
        ({"desk": Choice(enabled=True, major=3)}, {"basics": "1.0.0", "desk": "3.0.0-rc.1"}),
        ({"desk": Choice(enabled=True, major=4)}, {"basics": "1.0.0"}),
        ({"desk": Choice(enabled=True, version="1.9.0")}, {"basics": "1.0.0", "desk": "1.9.0"}),
        ({"desk": Choice(enabled=True, version="1.8.0")}, {"basics": "1.0.0"}),
        ({"basics": Choice(enabled=False)}, {}),
        ({"gone": Choice(enabled=True, major=1)}, {"basics": "1.0.0"}),
    ],
)
def test_what_is_used_follows_from_what_is_installed_and_what_was_said(
    choices: dict[str, Choice], expected: dict[str, str]
) -> None:
    assert uses(OFFERS, choices) == expected


def test_the_newest_version_is_a_release_where_there_is_one() -> None:
    assert OFFERS[0].newest() == "2.0.0"
    assert OFFERS[0].newest(3) == "3.0.0-rc.1"
    assert OFFERS[0].newest(9) is None
