"""A fresh, migrated database for each module, and the roles' connections to it."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

from fairlead.adapters.oauth import OAuth
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.postgres import Database
from tests.support.clock import ManualClock
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


@pytest.fixture
async def database_admin(database: DatabaseUrls) -> AsyncIterator[Database]:
    """Of somebody who has the whole database in hand."""
    async with Database(database.admin) as admin:
        yield admin


@pytest.fixture
def oauth_clock() -> ManualClock:
    """Of our side; the provider has its own, and starts with the machine's."""
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def oauth(way_to_provider: GuardedOutbound, oauth_clock: ManualClock) -> OAuth:
    return OAuth(way_to_provider, oauth_clock, timeout_s=5.0)
