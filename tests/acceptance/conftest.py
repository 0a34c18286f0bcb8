"""One API over real engines for each module, and for each test two tenants who know nothing of each other."""

from collections.abc import AsyncIterator

import pytest

from tests.support.api import Customer, Served, in_a_task_of_its_own, served_api
from tests.support.database import DatabaseUrls
from tests.support.engines import cloned_database


@pytest.fixture(scope="module")
async def database(database_template: DatabaseUrls) -> AsyncIterator[DatabaseUrls]:
    async with cloned_database(database_template) as database:
        yield database


@pytest.fixture(scope="module")
async def served(nats_url: str, database: DatabaseUrls) -> AsyncIterator[Served]:
    async with in_a_task_of_its_own(served_api(nats_url, database)) as served:
        yield served


@pytest.fixture
async def alice(served: Served) -> Customer:
    return await served.customer("alice")


@pytest.fixture
async def bob(served: Served) -> Customer:
    """The second tenant: it looks for what is the first one's."""
    return await served.customer("bob")
