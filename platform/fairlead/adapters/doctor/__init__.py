"""Looks over the engines and this machine; every finding says how to mend it."""

import asyncio
import shutil
import ssl
from pathlib import Path

from fairlead.adapters.doctor.finding import Finding, fail, ok, warn
from fairlead.adapters.doctor.nats import examine_nats
from fairlead.adapters.doctor.postgres import examine_postgres

__all__ = ["Finding", "examine"]

_DISK_WARN_BYTES = 2 * 1024**3
_DISK_FAIL_BYTES = 256 * 1024**2


async def examine(
    *,
    database_app: str,
    database_engine: str,
    nats: str,
    data_dir: Path,
    nats_credentials: Path | None = None,
    nats_tls: ssl.SSLContext | None = None,
) -> list[Finding]:
    """Never raises for what it finds. Worst first is for the caller to decide; the order is that of looking."""
    disk = await asyncio.to_thread(examine_disk, data_dir)
    of_postgres, of_nats = await asyncio.gather(
        examine_postgres(database_app, database_engine), examine_nats(nats, nats_credentials, nats_tls)
    )
    return [*of_postgres, *of_nats, disk]


def examine_disk(data_dir: Path) -> Finding:
    """Free space where the data is, or will be."""
    present = next(folder for folder in (data_dir, *data_dir.resolve().parents) if folder.exists())
    free = shutil.disk_usage(present).free
    detail = f"{free / 1024**3:.1f} GiB are free at {data_dir}"
    if free >= _DISK_WARN_BYTES:
        return ok("disk", detail)
    return (warn if free >= _DISK_FAIL_BYTES else fail)("disk", detail, "make room: a full disk stops every write")
