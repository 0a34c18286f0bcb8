"""A fresh, migrated database for each module, and the roles' connections to it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from fairlead.adapters.postgres import Database
from tests.support.database import DatabaseUrls, fresh_database


@pytest.fixture(scope="module")
def database_urls(postgres_admin_url: str) -> Iterator[DatabaseUrls]:
    with fresh_database(postgres_admin_url) as urls:
        yield urls


@pytest.fixture
async def engine_database(database: DatabaseUrls) -> AsyncIterator[Database]:
    async with Database(database.engine) as engine:
        yield engine


@pytest.fixture
async def app_database(database: DatabaseUrls) -> AsyncIterator[Database]:
    async with Database(database.app) as app:
        yield app
