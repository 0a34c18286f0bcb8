"""A fresh, migrated database for each module."""

from collections.abc import AsyncIterator, Iterator

import pytest

from fairlead.adapters.postgres import Database
from tests.support.database import DatabaseUrls, fresh_database


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
