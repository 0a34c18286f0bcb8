"""Prepare an orders database and an intake store, for a demonstration or a first installation. No tool uses this."""

import asyncio
from importlib.resources import files
from pathlib import Path

from fairlead_sdk import Call
from psycopg import AsyncConnection

from fairlead_invoices import intake


async def prepare_database(dsn: str, *scripts: Path) -> None:
    """Make the tables where they are missing, then run these scripts (see docs/examples/invoice-match/orders.sql)."""
    texts = await asyncio.to_thread(_texts, scripts)
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        for text in texts:
            await connection.execute(text)


async def store_documents(folder: Path, intake_dir: Path) -> dict[str, str]:
    """Put every XML file of a folder into the intake store. The documents' names there, by file name."""
    call = Call(call_id="seeding", attempt=1, idempotency_key="seeding", settings={intake.SETTING: str(intake_dir)})
    documents = await asyncio.to_thread(_documents, folder)
    return {name: await intake.put(call, content) for name, content in documents.items()}


def _texts(scripts: tuple[Path, ...]) -> list[bytes]:
    return [files("fairlead_invoices").joinpath("schema.sql").read_bytes(), *(path.read_bytes() for path in scripts)]


def _documents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.xml"))}
