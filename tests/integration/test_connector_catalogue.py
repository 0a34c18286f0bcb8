"""The catalogue of an installation on a real log: what the operator's commands leave there, and what comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fairlead_sdk import Effect

from fairlead import cataloguing
from fairlead.__main__ import main
from fairlead.adapters.connector_packages import FOLDER, ConnectorPackages
from fairlead.adapters.nats_blobs import NatsBlobs
from fairlead.adapters.nats_log import NatsLog
from fairlead.cli.exits import Exit
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.connectors.catalogue import Listed
from fairlead.domain.connectors.package import AuthorNotAllowed, PackageRefused, opened
from fairlead.handling.catalogued import catalogued
from fairlead.registry import connected
from fairlead.settings import Settings
from tests.support.connectors import tool
from tests.support.database import DatabaseUrls
from tests.support.packages import AUTHOR, OTHER_KEY, bills

_names = (f"bills{number}" for number in count(1))
Command = Callable[..., Any]


@pytest.fixture
def name() -> str:
    """Of a connector that no other test has published."""
    return next(_names)


@pytest.fixture
def settings(nats_url: str, database_template: DatabaseUrls, tmp_path: Path) -> Settings:
    return Settings(
        nats_url=nats_url,
        database_url=database_template.app,
        database_engine_url=database_template.engine,
        data_dir=tmp_path,
        trusted_authors=(AUTHOR,),
    )


@pytest.fixture
def command(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`fairlead connector …` as the operator types it."""
    monkeypatch.setenv("FAIRLEAD_NATS_URL", str(settings.nats_url))
    monkeypatch.setenv("FAIRLEAD_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("FAIRLEAD_DATABASE_ENGINE_URL", str(settings.database_engine_url))
    monkeypatch.setenv("FAIRLEAD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FAIRLEAD_TRUSTED_AUTHORS", AUTHOR)

    async def run(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, main, ["connector", *words])

    return run


@pytest.fixture
async def packages(settings: Settings) -> AsyncIterator[tuple[NatsLog, ConnectorPackages]]:
    async with connected(settings, "test") as connection:
        log = NatsLog(connection, Codec(EVENTS, UPCASTERS))
        yield log, ConnectorPackages(NatsBlobs(connection), settings.data_dir)


async def test_a_package_goes_from_its_file_to_an_installed_version(
    command: Command, name: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(bills(name=name, tools=(tool(f"{name}.pay"),)))
    assert (await command("publish", str(tmp_path / "file"))).exit_code == Exit.OK
    assert (await command("install", name, "1.0.0")).exit_code == Exit.REFUSED
    approved = await command("review", name, "1.0.0", "--approve", "--reason", "read it")
    assert approved.exit_code == Exit.OK, approved.stderr
    installed = await command("install", name, "1.0.0", "-o", "json")
    assert '"installed": true' in installed.stdout
    listed = await command("list")
    assert [line.split()[:4] for line in listed.stdout.splitlines() if line.startswith(f"{name} ")] == [
        [name, "1.0.0", "approved", "yes"]
    ]
    assert (await command("uninstall", name, "1.0.0")).exit_code == Exit.OK
    withdrawn = await command("withdraw", name, "1.0.0", "--reason", "a hole", "-o", "json")
    assert '"status": "withdrawn"' in withdrawn.stdout
    assert (await command("install", name, "1.0.0")).exit_code == Exit.REFUSED


async def test_an_incompatible_version_is_refused_with_the_difference(
    command: Command, name: str, tmp_path: Path
) -> None:
    (tmp_path / "one").write_bytes(bills(name=name, tools=(tool(f"{name}.pay"),)))
    harsher = tool(f"{name}.pay", effect=Effect.DESTRUCTIVE)
    (tmp_path / "two").write_bytes(bills("1.1.0", name=name, tools=(harsher,)))
    (tmp_path / "three").write_bytes(bills("2.0.0", name=name, tools=(harsher,)))
    assert (await command("publish", str(tmp_path / "one"))).exit_code == Exit.OK
    refused = await command("publish", str(tmp_path / "two"))
    assert refused.exit_code == Exit.REFUSED
    assert f"{name}.pay: it was a write and is a destructive (effect_changed)" in refused.stderr
    assert (await command("publish", str(tmp_path / "three"))).exit_code == Exit.OK


@pytest.mark.parametrize("words", [("review", "x", "1.0.0", "--reason", "r"), ("publish", "/nowhere")])
async def test_what_is_not_said_in_full_is_refused(command: Command, words: tuple[str, ...]) -> None:
    assert (await command(*words)).exit_code == Exit.USAGE


async def test_what_was_never_published_is_not_found(command: Command) -> None:
    assert (await command("install", "nobody", "1.0.0")).exit_code == Exit.NOT_FOUND


async def test_a_connector_that_ships_cannot_be_published_over(settings: Settings) -> None:
    with pytest.raises(cataloguing.NameTaken):
        await cataloguing.publish(settings, bills(name="invoices", tools=(tool("invoices.pay"),)), new_author=False)


async def published(settings: Settings, log: NatsLog, name: str, body: bytes) -> Listed:
    await cataloguing.publish(settings, body, new_author=False)
    return (await catalogued(log))[name]


async def test_what_comes_back_is_what_was_published_and_is_laid_out_as_files(
    settings: Settings, packages: tuple[NatsLog, ConnectorPackages], name: str
) -> None:
    log, store = packages
    body = bills(name=name, tools=(tool(f"{name}.pay"),))
    entry = (await published(settings, log, name, body)).versions["1.0.0"]
    package = await store.fetch(entry, [AUTHOR])
    assert package == opened(body)
    folder = store.lay_out(package)
    assert _laid_out(folder) == package.files
    assert folder.parent == settings.data_dir / FOLDER
    assert store.lay_out(package) == folder


async def test_files_that_were_changed_on_disk_are_written_anew(
    settings: Settings, packages: tuple[NatsLog, ConnectorPackages], name: str
) -> None:
    log, store = packages
    entry = (await published(settings, log, name, bills(name=name, tools=(tool(f"{name}.pay"),)))).versions["1.0.0"]
    package = await store.fetch(entry, [AUTHOR])
    folder = store.lay_out(package)
    init = folder / f"{name}_connector/__init__.py"
    for damage in (
        lambda: init.write_text("import os"),
        lambda: init.unlink(),
        lambda: (folder / "more.py").write_text("import os"),
        lambda: (folder / "link.py").symlink_to("/etc/passwd"),
    ):
        damage()
        store.lay_out(package)
        assert _laid_out(folder) == package.files
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def _laid_out(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


async def test_an_author_who_is_trusted_no_more_is_not_loaded(
    settings: Settings, packages: tuple[NatsLog, ConnectorPackages], name: str
) -> None:
    log, store = packages
    entry = (await published(settings, log, name, bills(name=name, tools=(tool(f"{name}.pay"),)))).versions["1.0.0"]
    with pytest.raises(AuthorNotAllowed):
        await store.fetch(entry, [])


async def test_another_package_of_a_trusted_author_is_not_taken_for_this_one(
    settings: Settings, packages: tuple[NatsLog, ConnectorPackages], name: str
) -> None:
    """Whoever could write facts could name any blob, but not sign it."""
    from msgspec.structs import replace

    log, store = packages
    listed = await published(settings, log, name, bills(name=name, tools=(tool(f"{name}.pay"),)))
    forged = bills("9.0.0", OTHER_KEY, name=name, tools=(tool(f"{name}.pay"),))
    digest = await store.keep(forged)
    entry = replace(listed.versions["1.0.0"], package_sha256=digest, package_bytes=len(forged))
    with pytest.raises(AuthorNotAllowed):
        await store.fetch(entry, [AUTHOR])
    other = opened(forged).author_key
    with pytest.raises(PackageRefused):
        await store.fetch(entry, [AUTHOR, other])
