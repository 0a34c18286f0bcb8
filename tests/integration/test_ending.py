"""A worker ends when it is told to, whatever it was waiting for in that moment."""

import asyncio
import random
from pathlib import Path

from fairlead import app
from fairlead.settings import Settings
from tests.support.database import DatabaseUrls

TIMES = 40
ENDS_WITHIN_S = 20.0


async def test_a_worker_ends_at_any_moment_of_its_beginning(
    nats_url: str, database: DatabaseUrls, tmp_path: Path
) -> None:
    """What the libraries below wait for is under way in most of them."""
    chance = random.Random(33)
    settings = Settings(nats_url=nats_url, database_url=database.app, data_dir=tmp_path)
    async with app.core(settings, {}, "ending") as core:
        for _ in range(TIMES):
            worker = asyncio.create_task(app.worker(core))
            await asyncio.sleep(chance.random() * 0.1)
            worker.cancel()
            ended, _ = await asyncio.wait([worker], timeout=ENDS_WITHIN_S)
            assert worker in ended
            assert worker.cancelled()
