"""One PostgreSQL and one nats-server for the whole session; under xdist, for each worker."""

from collections.abc import AsyncIterator, Iterator

import pytest

from fairlead.adapters.engines import Embedded
from tests.support.database import DatabaseUrls, fresh_database
from tests.support.engines import cloned_database, temporary_engines


@pytest.fixture(scope="session")
async def engines() -> AsyncIterator[Embedded]:
    """A test that kills an engine starts it again before it ends."""
    async with temporary_engines() as running:
        yield running


@pytest.fixture(scope="session")
def nats_url(engines: Embedded) -> str:
    return engines.urls.nats


@pytest.fixture(scope="session")
def postgres_admin_url(engines: Embedded) -> str:
    return engines.admin_url


@pytest.fixture(scope="session")
def database_template(postgres_admin_url: str) -> Iterator[DatabaseUrls]:
    with fresh_database(postgres_admin_url) as template:
        yield template


@pytest.fixture
async def database(database_template: DatabaseUrls) -> AsyncIterator[DatabaseUrls]:
    """A migrated database of one's own."""
    async with cloned_database(database_template) as urls:
        yield urls
