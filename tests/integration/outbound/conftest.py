from collections.abc import AsyncIterator

import pytest

from fairlead.adapters.outbound import GuardedOutbound
from tests.support.flaky_http import FlakyServer


@pytest.fixture
async def server() -> AsyncIterator[FlakyServer]:
    async with FlakyServer.at() as running:
        yield running


@pytest.fixture
async def outbound(server: FlakyServer) -> AsyncIterator[GuardedOutbound]:
    """May reach that server, and nothing else that is not public."""
    async with GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=[server.authority]) as running:
        yield running
