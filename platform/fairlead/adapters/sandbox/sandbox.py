"""The sandbox of one process of ours: made once, chooses its containment when the first connector comes, closed at the
end."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog

from fairlead.adapters.sandbox.choosing import Wanted, choose
from fairlead.adapters.sandbox.connector import SandboxedConnector
from fairlead.adapters.sandbox.faults import CannotStart
from fairlead.adapters.sandbox.limits import Limits
from fairlead.adapters.sandbox.packages import Unpacked
from fairlead.adapters.sandbox.pool import Pool

_log = structlog.get_logger()


class Uncontained(Exception):
    """Nothing on this machine holds a third-party connector, so none is run. Says what was tried."""


class Sandbox:
    def __init__(self, wanted: Wanted = "auto", limits: Limits | None = None) -> None:
        self._wanted = wanted
        self._limits = limits or Limits()
        self._pool: Pool | None = None
        self._choosing = asyncio.Lock()

    async def connector(self, code: Unpacked) -> SandboxedConnector:
        """Its manifest is read where its calls will be made. Raises Uncontained, CannotStart."""
        pool = await self._contained()
        return SandboxedConnector(code, await pool.describe(code), pool)

    async def connectors(self, codes: Sequence[Unpacked]) -> dict[str, SandboxedConnector | str]:
        """By name; where there is none, the reason."""
        found: dict[str, SandboxedConnector | str] = {}
        for code in codes:
            try:
                found[code.name] = await self.connector(code)
            except Uncontained as none:
                found[code.name] = str(none)
            except CannotStart as why:
                found[code.name] = why.why
        return found

    async def aclose(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _contained(self) -> Pool:
        async with self._choosing:
            if self._pool is None:
                self._pool = await self._chosen()
            return self._pool

    async def _chosen(self) -> Pool:
        containment, tried = await choose(self._wanted, self._limits)
        if containment is None:
            flaws = "; ".join(f"{each.name}: {each.flaw}" for each in tried) or "it is switched off"
            raise Uncontained(f"third-party connectors run in a sandbox only, and none holds here ({flaws})")
        _log.info("sandbox_chosen", containment=containment.name)
        return Pool(containment, self._limits)
