"""Read models for whoever may see content: what is sealed in their rows is opened as they are read."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, LiteralString, TypeVar

from fairlead_tenants.ids import TenantId

from fairlead.handling.contents import Contents
from fairlead.ports import SqlDatabase, SqlTx

T = TypeVar("T")
Params = Mapping[str, Any]


class OpenedRows:
    """The same database. The keys of all boxes of one answer are asked for together."""

    def __init__(self, database: SqlDatabase, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[SqlTx]:
        async with self._database.tenant(tenant_id) as tx:
            yield _OpenedTx(tx, TenantId(tenant_id), self._contents)

    @asynccontextmanager
    async def read(self, tenant_id: str) -> AsyncIterator[SqlTx]:
        async with self._database.read(tenant_id) as tx:
            yield _OpenedTx(tx, TenantId(tenant_id), self._contents)

    def platform(self) -> AbstractAsyncContextManager[SqlTx]:
        return self._database.platform()

    async def call(self, statement: LiteralString, params: Params, into: Callable[..., T]) -> list[T]:
        return await self._database.call(statement, params, into)


class _OpenedTx:
    def __init__(self, tx: SqlTx, tenant_id: TenantId, contents: Contents) -> None:
        self._tx = tx
        self._tenant_id = tenant_id
        self._contents = contents

    async def run(self, statement: LiteralString, params: Params | None = None) -> None:
        await self._tx.run(statement, params)

    async def run_many(self, statement: LiteralString, params: Sequence[Params]) -> None:
        await self._tx.run_many(statement, params)

    async def rows(self, statement: LiteralString, params: Params | None, into: Callable[..., T]) -> list[T]:
        found: list[dict[str, Any]] = await self._tx.rows(statement, params, dict)
        return [into(**row) for row in await self._contents.in_rows(self._tenant_id, found)]

    async def row(self, statement: LiteralString, params: Params | None, into: Callable[..., T]) -> T | None:
        found = await self.rows(statement, params, into)
        return found[0] if found else None
