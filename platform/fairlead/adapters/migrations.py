"""Brings a database to the shape that this program expects, from the numbered files in `migrations/`."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from yoyo import get_backend, read_migrations
from yoyo.migrations import get_migration_hash

from fairlead.adapters.postgres import translated
from fairlead.domain.errors import FairleadError

REQUIRED_ROLES = ("fairlead_owner", "fairlead_app", "fairlead_engine")

_LOCK = "SELECT pg_advisory_lock(hashtextextended('fairlead migrate', 0))"
_ROLES = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%(names)s)"
_CONTENTS_TABLE = """
CREATE TABLE IF NOT EXISTS migration_contents (
    id     text PRIMARY KEY,
    sha256 text NOT NULL
)
"""
_CONTENTS = "SELECT id, sha256 FROM migration_contents"
_NOTE = """
INSERT INTO migration_contents (id, sha256) VALUES (%(id)s, %(sha256)s)
ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256
"""


class RolesMissing(FairleadError):
    """The database server lacks a role that the grants name. Make it first; `fairlead doctor` shows how."""

    code = "database_roles_missing"

    def __init__(self, names: list[str]) -> None:
        statements = "; ".join(f"CREATE ROLE {name} LOGIN PASSWORD '…'" for name in names)
        super().__init__(f"the database has no role {', '.join(names)}: as its administrator run {statements}")
        self.names = names


class MigrationEdited(FairleadError):
    """A file that this database has applied no longer says what was applied. Released files never change."""

    code = "migration_edited"


class DatabaseNewer(FairleadError):
    """The database has applied files that this program does not have: a newer version was here."""

    code = "database_newer"


def migrations_folder() -> Path:
    """Inside the package when installed, beside the source roots in a working copy."""
    packaged = Path(__file__).resolve().parents[1] / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "migrations"


def migrate(owner_url: str, *, include_post: bool = True, folder: Path | None = None) -> list[str]:
    """Apply what is missing, in order, each file in its own transaction; says which. Safe to run twice and at once.

    Without `include_post` only the files are applied that an older program can live with.
    Raises RolesMissing, MigrationEdited, DatabaseNewer, Unavailable.
    """
    folder = folder or migrations_folder()
    contents = {file.stem: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.sql")}
    with translated(), _one_at_a_time(owner_url) as connection, _yoyo(owner_url) as backend:
        missing = backend.to_apply(read_migrations(str(folder)))
        _check(contents, _applied_contents(connection, backend))
        applied = []
        for migration in missing:
            if include_post or "_post_" not in migration.id:
                connection.execute(_NOTE, {"id": migration.id, "sha256": contents[migration.id]})
                backend.apply_one(migration)
                applied.append(migration.id)
        return applied


@contextmanager
def _one_at_a_time(owner_url: str) -> Iterator[psycopg.Connection[Any]]:
    """yoyo's own lock is a row that outlives a killed process; this one ends with its connection."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(_LOCK)
        present = {name for (name,) in connection.execute(_ROLES, {"names": list(REQUIRED_ROLES)})}
        if missing := [name for name in REQUIRED_ROLES if name not in present]:
            raise RolesMissing(missing)
        connection.execute(_CONTENTS_TABLE)
        yield connection


@contextmanager
def _yoyo(owner_url: str) -> Iterator[Any]:
    backend = get_backend("postgresql+psycopg://" + owner_url.partition("://")[2])
    with backend:
        backend.break_lock()
        with backend.lock():
            yield backend


def _applied_contents(connection: psycopg.Connection[Any], backend: Any) -> dict[str, str]:
    """Contents are noted before a file is applied, so a note may be of one that failed."""
    applied = set(backend.get_applied_migration_hashes())
    noted: list[tuple[str, str]] = connection.execute(_CONTENTS).fetchall()
    return {name: sha256 for name, sha256 in noted if get_migration_hash(name) in applied}


def _check(contents: dict[str, str], applied: dict[str, str]) -> None:
    """Every applied file is here and unchanged."""
    if newer := sorted(set(applied) - set(contents)):
        raise DatabaseNewer(f"the database knows migrations that this program does not: {', '.join(newer)}")
    if edited := sorted(name for name in applied if applied[name] != contents[name]):
        raise MigrationEdited(f"applied and edited since: {', '.join(edited)}")
