"""What of the catalogue is installed, loaded into this process's sandbox, and kept up with while the process runs.

Each package is verified again against the authors that this process trusts, and what its code says of itself in the
sandbox must be what was signed and reviewed.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import structlog
from fairlead_sdk.checks import faults_of
from fairlead_sdk.description import described
from msgspec import Struct

from fairlead.adapters.connector_packages import ConnectorPackages
from fairlead.adapters.plugins import BrokenConnector, Connectors
from fairlead.adapters.sandbox.connector import SandboxedConnector
from fairlead.adapters.sandbox.faults import CannotStart
from fairlead.adapters.sandbox.packages import Unpacked
from fairlead.adapters.sandbox.sandbox import Uncontained
from fairlead.domain.codec import UnreadableCommit
from fairlead.domain.connectors.catalogue import Entry, Listed
from fairlead.domain.errors import Rejected, Unavailable
from fairlead.handling.catalogued import catalogued
from fairlead.ports import Log

AGAIN_AFTER_S = 5.0
_log = structlog.get_logger()

_Wanted = dict[tuple[str, str], Entry]  # by name and version


class Contains(Protocol):
    """A sandbox."""

    async def connector(self, code: Unpacked) -> SandboxedConnector: ...


class _Unusable(Exception):
    """Why one version is left out."""


class _Loaded(Struct, frozen=True):
    sha256: str
    found: SandboxedConnector | str  # or why there is none


class PublishedConnectors:
    def __init__(
        self,
        log: Log,
        packages: ConnectorPackages,
        sandbox: Contains,
        connectors: Connectors,
        authors: Collection[str],
    ) -> None:
        self._log = log
        self._packages = packages
        self._sandbox = sandbox
        self._connectors = connectors
        self._authors = frozenset(authors)
        self._beside = {each.manifest.name for each in connectors.connectors} | {
            each.name for each in connectors.broken
        }
        self._listed: Mapping[str, Listed] = {}
        self._loaded: Mapping[tuple[str, str], _Loaded] = {}

    async def refresh(self) -> None:
        """Load what is new, and let go what is not installed any more. Raises Unavailable, UnreadableCommit."""
        self._listed = await catalogued(self._log)
        wanted = _installed(self._listed)
        gone = {key: each for key, each in self._loaded.items() if key in wanted}
        self._hand_over(gone)  # what was taken back is not called while something else is still being loaded
        for key, entry in wanted.items():
            known = gone.get(key)
            if known is None or known.sha256 != entry.package_sha256:
                gone[key] = _Loaded(entry.package_sha256, await self._load(*key, entry))
        self._hand_over(gone)

    @asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """Loaded when it begins, and followed until it ends. Raises Unavailable."""
        await self._first()
        following = asyncio.create_task(self._run())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def _first(self) -> None:
        """A catalogue that cannot be read keeps nobody from what is installed beside the program."""
        try:
            await self.refresh()
        except UnreadableCommit as error:
            _log.error("catalogue_unreadable", error=str(error))

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (Unavailable, UnreadableCommit) as error:
                _log.warning("catalogue_not_followed", error=str(error))
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _follow(self) -> None:
        start = await self._log.last_sequence()
        await self.refresh()
        async with self._log.follow(start, kinds=("connector",)) as batches:
            async for batch in batches:
                if batch:
                    await self.refresh()

    async def _load(self, name: str, version: str, entry: Entry) -> SandboxedConnector | str:
        try:
            found = await self._contained(name, version, entry)
        except (_Unusable, Rejected, UnreadableCommit, Uncontained) as why:
            reason = str(why)
        except CannotStart as why:
            reason = why.why
        else:
            _log.info("connector_loaded", connector=name, version=version)
            return found
        _log.error("connector_broken", connector=name, version=version, reason=reason)
        return reason

    async def _contained(self, name: str, version: str, entry: Entry) -> SandboxedConnector:
        if name in self._beside:
            raise _Unusable("a connector of this name is installed beside the program")
        package = await self._packages.fetch(entry, self._authors)
        folder = await asyncio.to_thread(self._packages.lay_out, package)
        code = Unpacked(name=name, version=version, module=package.module, folders=(folder,))
        connector = await self._sandbox.connector(code)
        if faults := faults_of(connector.manifest):
            raise _Unusable("; ".join(map(str, faults)))
        if described(connector.manifest) != package.manifest:
            raise _Unusable("what it says of itself is not what was signed")
        return connector

    def _hand_over(self, loaded: Mapping[tuple[str, str], _Loaded]) -> None:
        self._loaded = dict(loaded)
        usable = [each.found for each in loaded.values() if isinstance(each.found, SandboxedConnector)]
        broken = [
            BrokenConnector(name=name, version=version, reason=each.found)
            for (name, version), each in loaded.items()
            if isinstance(each.found, str)
        ]
        self._connectors.take(self._listed, usable, broken)


def _installed(listed: Mapping[str, Listed]) -> _Wanted:
    return {
        (name, version): entry
        for name, state in listed.items()
        for version, entry in state.versions.items()
        if entry.installed
    }
