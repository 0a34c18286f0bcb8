"""The database, fenced to tenants."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, LiteralString, Protocol, TypeVar

T = TypeVar("T")


class SqlTx(Protocol):
    """One transaction, fenced to one tenant. Statements are whole, with named parameters, and never glued together."""

    async def run(self, statement: LiteralString, params: Mapping[str, Any] | None = None) -> None: ...

    async def run_many(self, statement: LiteralString, params: Sequence[Mapping[str, Any]]) -> None: ...

    async def rows(self, statement: LiteralString, params: Mapping[str, Any] | None, into: Callable[..., T]) -> list[T]:
        """`into` is called once a row with the columns by name."""

    async def row(
        self, statement: LiteralString, params: Mapping[str, Any] | None, into: Callable[..., T]
    ) -> T | None: ...


class FoldTx(SqlTx, Protocol):
    """A consumer's transaction: it moves from tenant to tenant, and no statement waits for the one before, so an error
    is raised by a later statement or at the end."""

    async def fence(self, tenant_id: str) -> None: ...

    async def analyze(self, tables: Sequence[str]) -> None:
        """Count the tables anew and plan statements on them anew."""


class SqlDatabase(Protocol):
    """Transactions under one role. Each raises Unavailable when the database does not answer."""

    def tenant(self, tenant_id: str) -> AbstractAsyncContextManager[SqlTx]: ...

    def read(self, tenant_id: str) -> AbstractAsyncContextManager[SqlTx]:
        """Changes nothing."""

    def platform(self) -> AbstractAsyncContextManager[SqlTx]:
        """For tables that belong to no tenant. Any other raises."""

    async def call(self, statement: LiteralString, params: Mapping[str, Any], into: Callable[..., T]) -> list[T]:
        """One statement, durable when it returns, in one round trip. It asks a function that fences itself to the
        tenants that it is given; reading a tenant's table outside of one raises."""


class SqlSession(Protocol):
    """One connection to the database. Raises Unavailable when it breaks; its locks are then already free."""

    async def try_lock(self, name: str) -> bool: ...

    def transaction(self) -> AbstractAsyncContextManager[FoldTx]: ...


class SqlSessions(Protocol):
    def session(self) -> AbstractAsyncContextManager[SqlSession]: ...
