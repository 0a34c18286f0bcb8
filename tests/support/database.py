"""Fresh, migrated databases on a running PostgreSQL, with the three roles of production."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import psycopg
from msgspec import Struct
from psycopg import sql

from fairlead.adapters.migrations import REQUIRED_ROLES, migrate

_numbers = itertools.count(1)


class DatabaseUrls(Struct, frozen=True, kw_only=True):
    admin: str
    owner: str
    app: str
    engine: str


@contextmanager
def fresh_database(admin_url: str) -> Iterator[DatabaseUrls]:
    """A database of its own for one test module; dropped afterwards."""
    name = f"t{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        make_roles(admin)
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER fairlead_owner").format(sql.Identifier(name)))
        urls = [_url(admin, name, user) for user in (None, "fairlead_owner", "fairlead_app", "fairlead_engine")]
    database = DatabaseUrls(admin=urls[0], owner=urls[1], app=urls[2], engine=urls[3])
    try:
        migrate(database.owner)
        yield database
    finally:
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def make_roles(admin: psycopg.Connection[Any]) -> None:
    """Roles belong to the whole server: several tests may want them at once."""
    present = {name for (name,) in admin.execute("SELECT rolname FROM pg_roles")}
    for role in REQUIRED_ROLES:
        if role not in present:
            try:
                admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'test'").format(sql.Identifier(role)))
            except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                continue


def _url(admin: psycopg.Connection[Any], database: str, user: str | None) -> str:
    info = admin.info
    login = f"{user}:test" if user else f"{info.user}:{quote(info.password)}"
    return f"postgresql://{login}@/{database}?host={quote(info.host, safe='')}&port={info.port}"


def columns(**values: Any) -> dict[str, Any]:
    """A row as the test wants it: `await tx.rows(statement, None, columns)`."""
    return values
