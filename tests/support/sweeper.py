"""A process that removes what a tenant keeps no longer, and stands still in the middle of it: to be killed there.

`python -m tests.support.sweeper NATS_URL APP_URL ENGINE_URL FOLDER TENANT REMOVALS` says a line once it has taken so
many commits off the log, and does nothing more.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fairlead_tenants.ids import TenantId

from fairlead import app
from fairlead.adapters.postgres import Database
from fairlead.consumers.retention_sweep import LOCK, RetentionSweep
from fairlead.domain.envelope import Sequence
from fairlead.logs import configure
from fairlead.ports import LogRemoval
from fairlead.settings import Settings
from tests.support.clock import ManualClock


class Standing:
    """Removes so many, and then never comes back."""

    def __init__(self, removal: LogRemoval, left: int) -> None:
        self._removal = removal
        self._left = left

    async def remove(self, sequence: Sequence) -> None:
        await self._removal.remove(sequence)
        self._left -= 1
        if self._left == 0:
            sys.stdout.write("in the middle\n")
            sys.stdout.flush()
            await asyncio.Event().wait()

    async def remove_blob(self, tenant_id: TenantId, sha256: str) -> None:
        await self._removal.remove_blob(tenant_id, sha256)


async def main() -> None:
    nats_url, app_url, engine_url, folder, tenant, removals = sys.argv[1:]
    configure("error")
    settings = Settings(
        nats_url=nats_url,
        database_url=app_url,
        database_engine_url=engine_url,
        data_dir=Path(folder),
        log_level="error",
    )
    clock = ManualClock(datetime.now(UTC) + timedelta(days=366))
    async with (
        app.core(settings, {}, "sweeper") as core,
        Database(engine_url) as database,
        database.session() as session,
    ):
        assert await session.try_lock(LOCK), "nobody else sweeps"
        removal = Standing(core.removal, int(removals))
        sweep = RetentionSweep(core.sealed_log, removal, database, core.handler, clock, core.ids, pause_s=0.0)
        await sweep.sweep_tenant(session, TenantId(tenant))


if __name__ == "__main__":
    asyncio.run(main())
