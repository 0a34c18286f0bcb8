"""The doctor sees what a careless operator would not, and says how to mend it."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from fairlead_tenants.ids import TenantId
from msgspec import structs

from fairlead import operating
from fairlead.adapters.doctor import Finding, examine
from fairlead.adapters.doctor.finding import clock_finding, now
from fairlead.adapters.doctor.nats import examine_nats
from fairlead.adapters.doctor.postgres import examine_postgres
from fairlead.adapters.doctor.sandbox import examine_sandbox
from fairlead.adapters.doctor.vault import examine_vault
from fairlead.adapters.embedded.nats import program
from fairlead.adapters.engines import Embedded
from fairlead.adapters.postgres import Database
from fairlead.adapters.sandbox.choosing import tested as tried
from fairlead.adapters.sandbox.containment import CONTAINMENTS
from fairlead.adapters.sandbox.limits import Limits
from fairlead.adapters.vault.keys import KeyRing, parse_keys
from fairlead.adapters.vault.postgres_vault import PostgresVault
from fairlead.adapters.vault.rotation import rotate_tenant
from fairlead.registry import existing_log
from fairlead.settings import Settings
from tests.support.database import DatabaseUrls

NOWHERE = "postgresql://fairlead_app:hush@127.0.0.1:1/fairlead"


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


@contextmanager
def altered(database: DatabaseUrls, change: str, undo: str) -> Iterator[None]:
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute(change.encode())
        try:
            yield
        finally:
            admin.execute(undo.encode())


# Lets ordinary accounts see how it syncs, and leaves that at every two minutes.
FRANK = """
accounts {
  A { jetstream: enabled, users: [{ user: a, password: a }],
      imports: [{ service: { account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ" } }] }
  SYS { exports: [{ service: "$SYS.REQ.SERVER.PING.JSZ", response_type: stream }] }
}
system_account: SYS
no_auth_user: a
"""


@asynccontextmanager
async def careless_server(folder: Path, config: str = "") -> AsyncIterator[str]:
    """nats-server as it comes: small messages, a sync every two minutes, no view for ordinary accounts."""
    (folder / "nats.conf").write_text(config)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        str(program()),
        *(
            "--config",
            str(folder / "nats.conf"),
            "--addr",
            "127.0.0.1",
            "--port",
            str(port),
            "--jetstream",
            "--store_dir",
            str(folder),
        ),
        stderr=asyncio.subprocess.PIPE,
    )
    assert server.stderr
    try:
        while b"Server is ready" not in await server.stderr.readline():
            assert server.returncode is None
        yield f"nats://127.0.0.1:{port}"
    finally:
        server.kill()
        await server.communicate()


async def test_our_own_engines_are_in_good_order(engines: Embedded, database: DatabaseUrls, tmp_path: Path) -> None:
    findings = await examine(
        database_app=database.app, database_engine=database.engine, nats=engines.urls.nats, data_dir=tmp_path
    )
    assert [finding for finding in findings if finding.status != "ok"] == []
    assert "every write is synced" in str([f.detail for f in findings if f.name.startswith("durability of nats")])


async def test_engines_that_do_not_answer_are_named_without_their_passwords(tmp_path: Path) -> None:
    away = Settings(
        database_url=NOWHERE,
        database_engine_url=NOWHERE,
        nats_url="nats://fairlead:hush@127.0.0.1:1",
        data_dir=tmp_path,
        sandbox="off",
    )
    unread = structs.replace(away, vault_keys_file=tmp_path / "gone")
    findings, of_unread = await asyncio.gather(operating.examine(away), operating.examine(unread))
    failed = {finding.name for finding in findings if finding.status == "fail"}
    assert failed == {"PostgreSQL for requests", "PostgreSQL for consumers", "nats-server"}
    assert all(finding.mend for finding in findings if finding.status != "ok")
    assert "hush" not in str(findings)
    assert by_name(findings)["vault keys"].mend == "mend the engines first"
    keys = by_name(of_unread)["vault keys"]
    assert (keys.status, "cannot be read" in keys.detail) == ("fail", True)


async def test_a_role_that_passes_row_security_fails(database: DatabaseUrls) -> None:
    with altered(database, "ALTER ROLE fairlead_app BYPASSRLS", "ALTER ROLE fairlead_app NOBYPASSRLS"):
        found = by_name(await examine_postgres(database.app, database.engine))
    assert found["role fairlead_app"].status == "fail"
    assert found["role fairlead_engine"].status == "ok"


async def test_a_role_that_owns_a_table_fails(database: DatabaseUrls) -> None:
    with altered(
        database,
        "CREATE TABLE mine (); ALTER TABLE mine OWNER TO fairlead_app",
        "DROP TABLE mine",
    ):
        found = by_name(await examine_postgres(database.app, database.engine))
    assert (found["role fairlead_app"].status, found["role fairlead_app"].detail) == ("fail", "owns mine")


@pytest.mark.parametrize("fence", ["", "ALTER TABLE open_plan ENABLE ROW LEVEL SECURITY"])
async def test_a_tenant_table_without_a_forced_fence_fails(database: DatabaseUrls, fence: str) -> None:
    with altered(database, f"CREATE TABLE open_plan (tenant_id text); {fence}", "DROP TABLE open_plan"):
        found = by_name(await examine_postgres(database.app, database.engine))
    assert found["row security"].status == "fail"
    assert "open_plan" in found["row security"].detail


async def test_a_session_that_does_not_wait_for_the_disk_is_warned_of(database: DatabaseUrls) -> None:
    with altered(
        database,
        "ALTER ROLE fairlead_app SET synchronous_commit = off",
        "ALTER ROLE fairlead_app RESET synchronous_commit",
    ):
        found = by_name(await examine_postgres(database.app, database.engine))
    assert found["synchronous_commit of PostgreSQL"].status == "warn"


async def test_a_server_whose_settings_cannot_be_seen_is_warned_of(tmp_path: Path) -> None:
    async with careless_server(tmp_path) as url:
        found = by_name(await examine_nats(url))
    assert found["durability of nats-server"].status == "warn"
    assert "sync_interval: always" in found["durability of nats-server"].mend
    assert found["max_payload of nats-server"].status == "fail"


async def test_a_server_that_says_it_does_not_sync_every_write_fails(tmp_path: Path) -> None:
    async with careless_server(tmp_path, FRANK) as url:
        findings = await examine_nats(url)
    (durability,) = [finding for finding in findings if finding.name.startswith("durability")]
    assert durability.status == "fail"
    assert "sync_interval: always" in durability.mend


@pytest.mark.parametrize(("skew_s", "status"), [(0.4, "ok"), (0.6, "warn"), (4.9, "warn"), (5.1, "fail")])
def test_clocks_that_are_apart_are_noticed(skew_s: float, status: str) -> None:
    asked_at = now()
    finding = clock_finding("PostgreSQL", asked_at + timedelta(seconds=skew_s), asked_at, asked_at)
    assert finding.status == status


# --- keys of the vault ------------------------------------------------------------------------------------------------

ALICE, BOB = TenantId("tnt_doctor_a"), TenantId("tnt_doctor_b")
K1, K2, NOT_K1 = (f"{key_id} {b64encode(bytes([n] * 32)).decode()}" for key_id, n in (("k1", 1), ("k2", 2), ("k1", 3)))


@pytest.fixture
async def vault_database(database: DatabaseUrls) -> AsyncIterator[Database]:
    """With three secrets of two tenants, sealed with k1."""
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("DELETE FROM vault_secrets")
    async with Database(database.app) as app:
        for tenant, holder in ((ALICE, "con_1"), (ALICE, "con_2"), (BOB, "con_1")):
            await PostgresVault(app, KeyRing(parse_keys(K1, "the test"))).put(tenant, holder, b"planted")
        yield app


async def keys_found(database: Database, *lines: str) -> dict[str, tuple[str, str]]:
    """Status and what it says, by the finding's name."""

    async def tenants() -> AsyncIterator[TenantId]:
        for tenant in (ALICE, BOB):
            yield tenant

    keys = parse_keys("\n".join(lines), "the test") if lines else ()
    found = await examine_vault(database, tenants(), keys)
    assert all(bool(each.mend) == (each.status != "ok") for each in found)
    assert "planted" not in str(found)
    return {each.name: (each.status, each.detail) for each in found}


async def test_a_key_that_opens_all_that_is_sealed_is_in_order(vault_database: Database) -> None:
    [(name, (status, detail))] = (await keys_found(vault_database, K1)).items()
    assert (name, status) == ("vault key k1", "ok")
    assert "3 secret(s) of 2 tenant(s)" in detail


async def test_a_rotation_that_is_not_finished_and_a_key_that_it_freed_are_named(vault_database: Database) -> None:
    both = KeyRing(parse_keys(f"{K2}\n{K1}", "the test"))
    assert await rotate_tenant(vault_database, both, ALICE) == 2
    half = await keys_found(vault_database, K2, K1)
    assert (half["vault key k2"][0], half["vault key k1"][0]) == ("ok", "warn")
    assert "1 secret(s) of 1 tenant(s) are sealed with it" in half["vault key k1"][1]
    await rotate_tenant(vault_database, both, BOB)
    whole = await keys_found(vault_database, K2, K1)
    assert whole["vault key k1"] == ("warn", "is in the list, and nothing is sealed with it any more")


async def test_a_key_that_is_missing_fails_with_the_number_of_secrets_that_nobody_can_open(
    vault_database: Database,
) -> None:
    found = await keys_found(vault_database, K2)
    status, detail = found["vault key k1"]
    assert (status, found["vault key k2"][0]) == ("fail", "ok")
    assert "3 secret(s) of 2 tenant(s)" in detail
    assert (await keys_found(vault_database))["vault key k1"][0] == "fail"


async def test_another_key_under_the_name_of_the_right_one_fails(vault_database: Database) -> None:
    status, detail = (await keys_found(vault_database, NOT_K1))["vault key k1"]
    assert (status, "it is another key" in detail) == ("fail", True)


async def test_a_secret_that_was_altered_is_told_from_a_key_that_is_wrong(
    vault_database: Database, database: DatabaseUrls
) -> None:
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("UPDATE vault_secrets SET wrapped_key = 'k1:altered'::bytea WHERE tenant_id = %s", [BOB])
    status, detail = (await keys_found(vault_database, K1))["vault key k1"]
    assert (status, "does not open 1 of 3 secret(s)" in detail) == ("fail", True)


async def test_no_key_is_needed_where_nothing_is_sealed(vault_database: Database) -> None:
    for tenant, holder in ((ALICE, "con_1"), (ALICE, "con_2"), (BOB, "con_1")):
        assert await PostgresVault(vault_database, KeyRing(parse_keys(K1, "the test"))).erase(tenant, holder, 1)
    assert [each[0] for each in (await keys_found(vault_database)).values()] == ["ok"]


async def test_the_doctor_makes_no_log_where_there_is_none(tmp_path: Path) -> None:
    async with careless_server(tmp_path) as url:
        settings = Settings(database_url=NOWHERE, database_engine_url=NOWHERE, nats_url=url, data_dir=tmp_path)
        for _ in range(2):
            async with existing_log(settings, "test") as log:
                assert log is None


async def test_what_contains_other_peoples_connectors_is_found_by_trying() -> None:
    finding = await examine_sandbox("auto")
    held = [tested for tested in [await tried(each, Limits()) for each in CONTAINMENTS] if tested.flaw is None]
    assert finding.status == ("ok" if held and held[0].name == "bubblewrap" else "warn")
    assert finding.detail.startswith(f"{held[0].name} holds" if held else "nothing holds")


async def test_a_containment_that_was_asked_for_and_does_not_hold_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    finding = await examine_sandbox("bubblewrap")
    assert finding.status == "fail"
    assert "bubblewrap is not installed" in finding.detail
    assert finding.mend


async def test_a_sandbox_that_is_switched_off_is_no_fault() -> None:
    assert (await examine_sandbox("off")).status == "ok"
