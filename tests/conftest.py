"""One PostgreSQL and one nats-server for the whole session; under xdist, for each worker."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from fairlead.adapters.engines import Embedded
from fairlead.adapters.outbound import GuardedOutbound
from tests.support.database import DatabaseUrls, fresh_database
from tests.support.engines import cloned_database, temporary_engines
from tests.support.oauth_provider.provider import Provider, running_provider
from tests.support.oauth_provider.reach import outbound_to
from tests.support.patience import Watch, bounded

settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
settings.load_profile("busy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = bounded(item.obj)


WATCH = Watch()


def pytest_configure() -> None:
    WATCH.tells_on(os.dup(2))  # before the output of tests is captured, and lost with a process that is ended


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, Any, Any]:
    WATCH.begins()
    return (yield)


@pytest.fixture(scope="session", autouse=True)
async def watched() -> AsyncIterator[None]:
    watching = asyncio.create_task(WATCH.run())
    yield
    watching.cancel()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which containments held other people's connectors, for whoever reads the output of a test run."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    tried = [value for report in reports for name, value in report.user_properties if name == "containment"]
    for containment in sorted(set(tried)):
        terminalreporter.write_line(f"sandbox attacked under {containment}: {tried.count(containment)} tests")


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command that a test runs in its own process sets up the logs of that process."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


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


@pytest.fixture(scope="session")
async def running_oauth_provider() -> AsyncIterator[Provider]:
    async with running_provider() as provider:
        yield provider


@pytest.fixture
async def oauth_provider(running_oauth_provider: Provider) -> AsyncIterator[Provider]:
    """Behaves well until a test says otherwise."""
    yield running_oauth_provider
    await running_oauth_provider.reset()


@pytest.fixture(scope="session")
async def way_to_provider(running_oauth_provider: Provider) -> AsyncIterator[GuardedOutbound]:
    """The guarded way out, allowed to reach the provider, which is at no public address."""
    async with outbound_to(running_oauth_provider) as outbound:
        yield outbound
