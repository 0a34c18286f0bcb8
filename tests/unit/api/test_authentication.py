"""Who a key stands for, also while the log is away."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from litestar.connection import ASGIConnection

from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.memory_log import MemoryLog
from fairlead.api import authentication
from fairlead.api.authentication import ByApiKey, signed_in
from fairlead.api.problems import NotSignedIn
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.domain.ids import CommandId
from fairlead.domain.tenants import decide, states
from fairlead.domain.tenants.commands import SuspendTenant
from fairlead.domain.tenants.errors import CredentialExpired, CredentialUnknown, TenantIsSuspended
from fairlead.handling.founding import Founder
from fairlead.handling.handler import Cause, Decider, Handler
from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds

TENANTS = Decider(initial=states.initial, evolve=states.evolve, decide=decide.decide)


class Log(MemoryLog):
    """A log that can go away."""

    away = False

    async def heads(self, streams: Sequence[StreamRef]) -> list[LogSequence]:
        if self.away:
            raise Unavailable("the log")
        return await super().heads(streams)


class House:
    """A tenant, a key of its owner, and the door."""

    def __init__(self) -> None:
        self.log, self.clock, ids = Log(Codec(EVENTS, UPCASTERS)), ManualClock(), SequentialIds()
        self.handler = Handler(self.log, self.clock, {"tenant": TENANTS})
        self.keys = ApiKeys(b"x" * 32)
        self.founder = Founder(self.handler, ids, self.clock)
        self.door = ByApiKey(self.keys, self.log, self.handler, self.clock)

    async def open(self) -> str:
        self.founded = await self.founder.found("harbour", "olga@harbour.example", "Olga")
        return (await self.founder.issue_owner_key(self.founded, self.keys.new)).text

    async def ask(self, key: str, method: str = "GET", scheme: str = "Bearer") -> str:
        scope: Any = {"type": "http", "method": method, "headers": [(b"authorization", f"{scheme} {key}".encode())]}
        found = await signed_in([self.door], ASGIConnection(scope))
        return found.principal.principal_id


@pytest.fixture
def house() -> House:
    return House()


async def test_a_key_stands_for_its_owner_until_it_expires(house: House) -> None:
    key = await house.open()
    assert await house.ask(key) == await house.ask(key, scheme="bearer") == house.founded.owner_id
    house.clock.forward(timedelta(days=90))
    with pytest.raises(CredentialExpired):
        await house.ask(key)


async def test_no_other_text_is_let_in(house: House) -> None:
    key = await house.open()
    unknown = house.keys.new("live", house.founded.tenant_id).text
    stranger = House().keys.new("live", house.founded.tenant_id).text
    for text in (unknown, stranger, key[:-1], f"{key}x", "", "flk_live_"):
        with pytest.raises(CredentialUnknown):
            await house.ask(text)
    for scheme in ("Basic", "Bearer:"):
        with pytest.raises(NotSignedIn):
            await house.ask(key, scheme=scheme)


async def test_a_tenant_that_is_suspended_is_out_with_the_next_request(house: House) -> None:
    key = await house.open()
    await house.ask(key)
    tenant_id = house.founded.tenant_id
    command = SuspendTenant(reason="unpaid", now=house.clock.now())
    cause = Cause(actor=SYSTEM, command_id=CommandId("cmd_1"))
    await Handler(house.log, house.clock, {"tenant": TENANTS}).handle(
        StreamRef(tenant_id, "tenant", tenant_id), command, cause
    )
    with pytest.raises(TenantIsSuspended):
        await house.ask(key)


async def test_while_the_log_is_away_who_was_just_known_may_read_for_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await house.open()
    await house.ask(key)
    house.log.away = True
    assert await house.ask(key) == house.founded.owner_id
    with pytest.raises(Unavailable):
        await house.ask(key, "POST")
    monkeypatch.setattr(authentication, "READ_ON_S", -1.0)
    with pytest.raises(Unavailable):
        await house.ask(key)


async def test_while_the_log_is_away_nobody_new_is_let_in(house: House) -> None:
    key = await house.open()
    house.log.away = True
    with pytest.raises(Unavailable):
        await house.ask(key)
