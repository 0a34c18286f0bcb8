"""What the operator does with the catalogue of connectors, on the engines themselves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points

from fairlead_sdk.hookspecs import ENTRY_POINT_GROUP
from msgspec import Struct

from fairlead.adapters.clock import SystemClock
from fairlead.adapters.connector_packages import ConnectorPackages
from fairlead.adapters.ids import UuidIds
from fairlead.adapters.nats_blobs import NatsBlobs
from fairlead.domain.connectors import catalogue as c
from fairlead.domain.connectors.package import opened
from fairlead.domain.envelope import SYSTEM
from fairlead.domain.errors import Rejected
from fairlead.domain.ids import CommandId
from fairlead.handling.catalogued import catalogued
from fairlead.handling.handler import Cause, Decider, Handler
from fairlead.operating import on_engines
from fairlead.ports import Log
from fairlead.registry import connected, log_of
from fairlead.settings import Settings

CONNECTORS = Decider(initial=c.initial, evolve=c.evolve, decide=c.decide)


class NameTaken(Rejected):
    """A connector of this name is installed beside the program, and would be mistaken for it."""

    code = "connector_name_taken"


class CatalogueRow(Struct, frozen=True, kw_only=True):
    """One version."""

    name: str
    version: str
    title: str
    status: c.Status
    installed: bool
    reason: str
    author_key: str
    package_sha256: str
    egress: tuple[str, ...]
    tools: tuple[str, ...]


class _Catalogue(Struct, frozen=True):
    log: Log
    handler: Handler
    packages: ConnectorPackages
    ids: UuidIds

    async def change(self, name: str, command: c.ConnectorCommand, version: str) -> CatalogueRow:
        cause = Cause(actor=SYSTEM, command_id=CommandId(self.ids.new("cmd")))
        handled = await self.handler.handle(c.stream_of(name), command, cause)
        return _row(name, version, handled.state)


async def publish(settings: Settings, body: bytes, new_author: bool) -> CatalogueRow:
    """Raises PackageRefused, NameTaken, and what the catalogue says no with."""
    package = opened(body)
    if any(entry.name == package.name for entry in entry_points(group=ENTRY_POINT_GROUP)):
        raise NameTaken(f"{package.name} is installed beside the program")
    async with _catalogue(settings) as found:
        await found.packages.keep(body)  # before the fact that names it
        command = c.PublishConnector(package=package, package_bytes=len(body), new_author=new_author)
        return await found.change(package.name, command, package.version)


async def review(settings: Settings, name: str, version: str, verdict: c.Verdict, reason: str) -> CatalogueRow:
    command = c.ReviewConnector(version=version, verdict=verdict, reason=reason)
    return await _changed(settings, name, version, command)


async def install(settings: Settings, name: str, version: str) -> CatalogueRow:
    """Raises AuthorNotAllowed, NotInstallable, ConnectorUnknown."""
    command = c.InstallConnector(version=version, authors=frozenset(settings.trusted_authors))
    return await _changed(settings, name, version, command)


async def uninstall(settings: Settings, name: str, version: str) -> CatalogueRow:
    return await _changed(settings, name, version, c.UninstallConnector(version=version))


async def withdraw(settings: Settings, name: str, version: str, reason: str) -> CatalogueRow:
    return await _changed(settings, name, version, c.WithdrawConnector(version=version, reason=reason))


async def listing(settings: Settings) -> list[CatalogueRow]:
    """Every version ever published, by name, then in the order of publication."""
    async with _catalogue(settings) as found:
        listed = await catalogued(found.log)
    return [_row(name, version, state) for name, state in listed.items() for version in state.versions]


async def _changed(settings: Settings, name: str, version: str, command: c.ConnectorCommand) -> CatalogueRow:
    async with _catalogue(settings) as found:
        return await found.change(name, command, version)


@asynccontextmanager
async def _catalogue(settings: Settings) -> AsyncIterator[_Catalogue]:
    async with (
        on_engines(settings) as engines,
        connected(engines, "catalogue") as connection,
        log_of(engines, connection) as log,
    ):
        yield _Catalogue(
            log=log,
            handler=Handler(log, SystemClock(), {"connector": CONNECTORS}),
            packages=ConnectorPackages(NatsBlobs(connection), settings.data_dir),
            ids=UuidIds(),
        )


def _row(name: str, version: str, state: c.Listed) -> CatalogueRow:
    entry = state.versions[version]
    return CatalogueRow(
        name=name,
        version=version,
        title=entry.manifest.title,
        status=entry.status,
        installed=entry.installed,
        reason=entry.reason,
        author_key=entry.author_key,
        package_sha256=entry.package_sha256,
        egress=entry.manifest.egress,
        tools=tuple(tool.name for tool in entry.manifest.tools),
    )
