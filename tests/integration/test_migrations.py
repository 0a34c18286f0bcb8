"""Migrations against a real PostgreSQL."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from fairlead.adapters.memory_log import MemoryLog
from fairlead.adapters.migrations import (
    DatabaseNewer,
    MigrationEdited,
    migrate,
    migrations_folder,
)
from fairlead.adapters.postgres import Database
from fairlead.consumers import run_board
from fairlead.domain.errors import Unavailable
from tests.support.database import DatabaseUrls, fresh_database
from tests.support.histories import CODEC, Writer, a_run, started

FILES = sorted(migrations_folder().glob("*.sql"))

_LABELS = "SELECT * FROM run_labels ORDER BY tenant_id"
_STILL_FENCED = "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'run_board'::regclass"


@pytest.fixture
def own_database(postgres_admin_url: str) -> Iterator[DatabaseUrls]:
    with fresh_database(postgres_admin_url) as urls:
        yield urls


def test_every_file_is_numbered_named_bounds_its_wait_for_locks_and_says_how_to_undo_it() -> None:
    numbers = [file.name.split("_")[0] for file in FILES]
    assert numbers == [f"{number:04}" for number in range(1, len(FILES) + 1)]
    for file in FILES:
        text = file.read_text()
        assert file.name.split("_")[1] in {"pre", "post"}, file.name
        assert "SET LOCAL lock_timeout = '4s';" in text, file.name
        assert "-- Locks: " in text, file.name
        assert "Undo: " in text, file.name


def test_a_second_run_has_nothing_to_do(own_database: DatabaseUrls) -> None:
    assert migrate(own_database.owner) == []


def test_two_runs_at_once_apply_each_file_once(own_database: DatabaseUrls, tmp_path: Path) -> None:
    folder = _copied(tmp_path)
    (folder / "9001_pre_more.sql").write_text("SET LOCAL lock_timeout = '4s';\nCREATE TABLE more (x integer);\n")
    with ThreadPoolExecutor(2) as threads:
        runs = list(threads.map(lambda _: migrate(own_database.owner, folder=folder), range(2)))
    assert sorted(runs) == [[], ["9001_pre_more"]]


def test_a_file_edited_after_it_was_applied_is_refused(own_database: DatabaseUrls, tmp_path: Path) -> None:
    folder = _copied(tmp_path)
    edited = folder / FILES[0].name
    edited.write_text(edited.read_text() + "-- one more remark\n")
    with pytest.raises(MigrationEdited, match=FILES[0].stem):
        migrate(own_database.owner, folder=folder)


def test_a_database_that_a_newer_program_has_changed_is_refused(own_database: DatabaseUrls, tmp_path: Path) -> None:
    folder = _copied(tmp_path)
    (folder / FILES[-1].name).unlink()
    with pytest.raises(DatabaseNewer, match=FILES[-1].stem):
        migrate(own_database.owner, folder=folder)


def test_a_failing_file_leaves_nothing_behind_and_runs_once_mended(own_database: DatabaseUrls, tmp_path: Path) -> None:
    folder = _copied(tmp_path)
    file = folder / "9001_pre_broken.sql"
    file.write_text("SET LOCAL lock_timeout = '4s';\nCREATE TABLE half (x integer);\nSELECT 1 / 0;\n")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(own_database.owner, folder=folder)
    file.write_text("SET LOCAL lock_timeout = '4s';\nCREATE TABLE half (x integer);\n")
    assert migrate(own_database.owner, folder=folder) == ["9001_pre_broken"]


def test_post_files_wait_until_they_are_asked_for(own_database: DatabaseUrls, tmp_path: Path) -> None:
    folder = _copied(tmp_path)
    (folder / "9001_post_tidy.sql").write_text("SET LOCAL lock_timeout = '4s';\nCREATE TABLE tidy (x integer);\n")
    assert migrate(own_database.owner, include_post=False, folder=folder) == []
    assert migrate(own_database.owner, folder=folder) == ["9001_post_tidy"]


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        migrate(f"postgresql://fairlead_owner@/nothing?host={tmp_path}")


async def test_labels_of_runs_that_began_before_there_was_a_table_for_them_are_copied_for_every_tenant(
    own_database: DatabaseUrls,
) -> None:
    log = MemoryLog(CODEC)
    writer, runs = Writer(log), [a_run(tenant, 1) for tenant in ("tnt_alice", "tnt_bob")]
    async with Database(own_database.engine) as engine:
        for run in runs:
            await writer.append(run, started(run))
            async with engine.tenant(run.tenant_id) as tx:
                await run_board.project(await log.read(run), tx)
    [file] = [file for file in FILES if file.stem.endswith("_pre_run_labels")]
    with psycopg.connect(own_database.admin) as admin, psycopg.connect(own_database.owner, autocommit=True) as owner:
        folded = admin.execute(_LABELS).fetchall()
        admin.commit()
        assert len(folded) == 2
        owner.execute("DROP TABLE run_labels")
        owner.execute(file.read_bytes())
        assert admin.execute(_LABELS).fetchall() == folded
        assert admin.execute(_STILL_FENCED).fetchone() == (True,)


def _copied(tmp_path: Path) -> Path:
    return shutil.copytree(migrations_folder(), tmp_path / "migrations")
