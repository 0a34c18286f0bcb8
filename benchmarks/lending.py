"""What a call with an account waits for: how the account stands, asked of the log, and its secret from the vault."""

import asyncio
import time
from pathlib import Path
from typing import Any

from fairlead_sdk.auth import AuthKind

from benchmarks.load import percentile
from benchmarks.stack import stack
from fairlead.accounts import Accounts
from fairlead.adapters.postgres import Database
from fairlead.core import Core, accounts_of
from fairlead.domain.connections.commands import CreateConnection
from fairlead.domain.connections.events import ConnectionCreated
from fairlead.domain.connections.kept import KeptKey
from fairlead.domain.connections.naming import connection_id
from fairlead.domain.connections.use import Use
from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CallId, CommandId, RunId
from fairlead.domain.tenants.identity import principal_of
from fairlead.handling.credentials import Lender
from fairlead.handling.founding import Founder
from fairlead.handling.handler import Cause

LOANS = 2_000
FIRST_LOANS = 200
AT_ONCE = 64


async def measure(folder: Path) -> dict[str, Any]:
    """`lent` is what a call waits for before it is made; `over` ends when its use is on the log as well."""
    async with stack(folder, 1) as on:
        settings = on.core.settings
        assert settings.database_url is not None, "the program has said where it is"
        async with Database(settings.database_url, max_connections=settings.database_connections) as database:
            accounts = accounts_of(on.core, database)
            use = await _account(on.core, accounts)
            lender = accounts.lender("bench")
            await _lent_ms(lender, use)
            first = [await _lent_ms(accounts.lender("bench"), use) for _ in range(FIRST_LOANS)]
            again = [await _lent_ms(lender, use) for _ in range(LOANS)]
            began = time.perf_counter()
            await asyncio.gather(*(_many(lender, use, LOANS // AT_ONCE) for _ in range(AT_ONCE)))
            seconds = time.perf_counter() - began
    return {
        "first_lent_ms_p50": percentile([lent for lent, _ in first], 50),
        "first_lent_ms_p99": percentile([lent for lent, _ in first], 99),
        "lent_ms_p50": percentile([lent for lent, _ in again], 50),
        "lent_ms_p99": percentile([lent for lent, _ in again], 99),
        "over_ms_p50": percentile([over for _, over in again], 50),
        "over_ms_p99": percentile([over for _, over in again], 99),
        f"loans_s_{AT_ONCE}_at_once": round(AT_ONCE * (LOANS // AT_ONCE) / seconds),
    }


async def _account(core: Core, accounts: Accounts) -> Use:
    """With a key that somebody has brought."""
    founded = await Founder(core.handler, core.ids, core.clock).found("bench", "bench@example.com", "bench")
    tenant = (await core.handler.load(StreamRef(founded.tenant_id, "tenant", founded.tenant_id))).state
    place = (founded.tenant_id, next(iter(tenant.workspaces)), founded.live_environment_id)
    created = ConnectionCreated(
        connection_id=connection_id(*place, "main"),
        workspace_id=place[1],
        environment_id=place[2],
        connector="bench",
        name="main",
        auth=AuthKind.API_KEY,
        grant=None,
        config={},
        scopes=(),
    )
    stream = StreamRef(founded.tenant_id, "connection", created.connection_id)
    cause = Cause(actor=SYSTEM, command_id=CommandId(core.ids.new("cmd")))
    account = (await core.handler.handle(stream, CreateConnection(created=created), cause)).state
    owner = principal_of(tenant, founded.owner_id)
    await accounts.connecting().sign_ins.keep(owner, account, KeptKey(key="x" * 40), (), ())
    return Use(
        tenant_id=place[0],
        workspace_id=place[1],
        environment_id=place[2],
        connector="bench",
        connection="main",
        tool="bench.look",
        scopes=(),
        run_id=RunId("run_1"),
        call_id=CallId("tcl_1"),
        attempt=1,
    )


async def _lent_ms(lender: Lender, use: Use) -> tuple[float, float]:
    began = time.perf_counter()
    async with lender.lend(use):
        lent = time.perf_counter()
    return (lent - began) * 1e3, (time.perf_counter() - began) * 1e3


async def _many(lender: Lender, use: Use, loans: int) -> None:
    for _ in range(loans):
        await _lent_ms(lender, use)
