"""SQLite: a file in the tenant's folder, opened for one statement, with nothing but that statement allowed."""

import asyncio
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from fairlead_sdk import Call, Effect, Refused, TryLater

from fairlead_sql.recipes import Recipe, Result

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.(?:db|sqlite|sqlite3)")
_STEPS = 10_000  # of its machine between two looks at the clock
_OTHER_FILES = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA)


async def run(recipe: Recipe, values: dict[str, Any], call: Call) -> Result:
    """Raises ToolError."""
    return await asyncio.to_thread(_run, recipe, values, _file(call))


def _file(call: Call) -> Path:
    folder, name = call.settings.get("sqlite_folder"), call.connection.config.get("file", "") if call.connection else ""
    if not folder:
        raise Refused("the installation keeps no files for SQLite", "not_offered")
    if not _FILE.fullmatch(name):
        raise Refused("the connection's file is no plain name", "bad_config")
    file = Path(folder) / name
    if file.is_symlink() or not file.is_file():
        raise Refused("there is no such file", "no_file")
    return file


def _run(recipe: Recipe, values: dict[str, Any], file: Path) -> Result:
    reads = recipe.effect is Effect.READ
    ends_at = time.monotonic() + recipe.timeout_s
    address = f"{file.absolute().as_uri()}?mode={'ro' if reads else 'rw'}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=recipe.timeout_s)) as connection:
            connection.set_authorizer(_only_this_file)
            connection.set_progress_handler(lambda: time.monotonic() > ends_at, _STEPS)
            cursor = connection.execute(recipe.scanned.written(lambda name: f":{name}"), values)
            columns = tuple(column[0] for column in cursor.description or ())
            result = Result(columns, cursor.fetchmany(recipe.max_rows + int(reads)), cursor.rowcount)
            connection.commit()
            return result
    except sqlite3.IntegrityError:
        raise Refused("a constraint of the database refuses it", "conflict") from None
    except sqlite3.OperationalError as fault:
        if fault.sqlite_errorname in ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_INTERRUPT"):
            raise TryLater(f"the database says {fault.sqlite_errorname}", "busy") from None
        raise Refused(f"the database says {fault.sqlite_errorname}", "refused") from None
    except sqlite3.DatabaseError as fault:
        raise Refused(f"the database says {fault.sqlite_errorname}", "refused") from None


def _only_this_file(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_DENY if action in _OTHER_FILES else sqlite3.SQLITE_OK
