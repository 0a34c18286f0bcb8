"""Packages on their way into the catalogue of a served API, and out of it again."""

import asyncio

from fairlead import cataloguing
from tests.support.api import Served


async def installed(served: Served, package: bytes, name: str, version: str) -> None:
    """Published, approved and installed, and known to this process."""
    settings = served.core.settings
    await cataloguing.publish(settings, package, new_author=False)
    await cataloguing.review(settings, name, version, "approved", "read it")
    await cataloguing.install(settings, name, version)
    await known(served, name, version, installed=True)


async def known(served: Served, name: str, version: str, *, installed: bool) -> None:
    """Processes follow the catalogue by themselves."""
    async with asyncio.timeout(30):
        while _offered(served, name, version) != installed:  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0.02)


async def withdrawn(served: Served, name: str) -> None:
    """What other tests find in the catalogue is not what these left there."""
    for row in await cataloguing.listing(served.core.settings):
        if row.name == name and row.status != "withdrawn":
            await cataloguing.withdraw(served.core.settings, name, row.version, "the test is over")


def _offered(served: Served, name: str, version: str) -> bool:
    return any(offer.name == name and version in offer.versions for offer in served.core.connectors.offers)
