"""The vault on a real database, and what somebody who can write to its table gets out of it: nothing."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from fairlead_tenants.ids import TenantId
from psycopg import sql

from fairlead.adapters.postgres import Database
from fairlead.adapters.vault.keys import KeyRing, parse_keys
from fairlead.adapters.vault.postgres_vault import MAX_SECRET_BYTES, PostgresVault
from fairlead.adapters.vault.rotation import BATCH, rotate_tenant
from fairlead.domain.connections.errors import SecretUnreadable
from fairlead.domain.errors import Invalid
from fairlead.ports import Vault
from tests.support.database import DatabaseUrls

ALICE, BOB = TenantId("tnt_alice"), TenantId("tnt_bob")
SECRET = b"rt_planted-secret-0123456789"
K1, K2 = (f"k{n} {b64encode(bytes([n] * 32)).decode()}" for n in (1, 2))
_SET = "SELECT set_config('app.tenant_id', %(tenant)s, false)"
_COPY = """
INSERT INTO vault_secrets (tenant_id, holder_id, version, key_id, wrapped_key, nonce, body)
VALUES (%(tenant)s, %(holder)s, %(version)s, %(key_id)s, %(wrapped_key)s, %(nonce)s, %(body)s)
ON CONFLICT (tenant_id, holder_id) DO UPDATE
   SET version = excluded.version, key_id = excluded.key_id, wrapped_key = excluded.wrapped_key,
       nonce = excluded.nonce, body = excluded.body
"""
_ROW = """
SELECT version, key_id, wrapped_key, nonce, body FROM vault_secrets WHERE holder_id = %(holder)s
"""


def ring(*lines: str) -> KeyRing:
    return KeyRing(parse_keys("\n".join(lines), "the test"))


@pytest.fixture
async def app(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    async with Database(database_urls.app) as database:
        yield database


@pytest.fixture
def vault(app: Database) -> Vault:
    return PostgresVault(app, ring(K1))


@pytest.fixture
def thief(database_urls: DatabaseUrls) -> Any:
    """Has the whole database in hand, and none of the keys."""
    with psycopg.connect(database_urls.admin, autocommit=True) as admin:
        yield admin


def taken(thief: Any, holder: str) -> dict[str, Any]:
    row = thief.execute(_ROW, {"holder": holder}).fetchone()
    return dict(zip(("version", "key_id", "wrapped_key", "nonce", "body"), row, strict=True))


def planted(thief: Any, tenant: str, holder: str, row: dict[str, Any]) -> None:
    thief.execute(_COPY, {"tenant": tenant, "holder": holder, **row})


async def test_a_secret_is_kept_replaced_and_erased_and_its_versions_go_on(vault: Vault) -> None:
    assert await vault.get(ALICE, "con_keep") is None
    assert await vault.put(ALICE, "con_keep", SECRET) == 1
    assert await vault.put(ALICE, "con_keep", b"second") == 2
    kept = await vault.get(ALICE, "con_keep")
    assert kept is not None
    assert (kept.version, kept.body) == (2, b"second")
    assert "second" not in repr(kept)
    assert not await vault.erase(ALICE, "con_keep", 1), "that is not the one that was looked at"
    assert await vault.erase(ALICE, "con_keep", 2)
    assert await vault.get(ALICE, "con_keep") is None
    assert not await vault.erase(ALICE, "con_keep", 3)
    assert await vault.put(ALICE, "con_keep", b"third") == 4


async def test_the_size_of_a_secret_has_a_limit(vault: Vault) -> None:
    await vault.put(ALICE, "con_big", bytes(MAX_SECRET_BYTES))
    for body in (b"", bytes(MAX_SECRET_BYTES + 1)):
        with pytest.raises(Invalid):
            await vault.put(ALICE, "con_big", body)


async def test_a_second_tenant_sees_none_of_it_under_any_name(vault: Vault) -> None:
    await vault.put(ALICE, "con_fence", SECRET)
    assert await vault.get(BOB, "con_fence") is None
    assert await vault.take_turn(BOB, "con_fence", 1, 1.0) is None
    assert not await vault.erase(BOB, "con_fence", 1)
    await vault.put(BOB, "con_fence", b"bob's own")
    kept = await vault.get(ALICE, "con_fence")
    assert kept is not None
    assert kept.body == SECRET


async def test_a_row_copied_to_another_tenant_or_connection_opens_there_for_nobody(vault: Vault, thief: Any) -> None:
    await vault.put(ALICE, "con_copy", SECRET)
    row = taken(thief, "con_copy")
    for tenant, holder in ((BOB, "con_copy"), (ALICE, "con_other"), (BOB, "con_other")):
        planted(thief, tenant, holder, row)
        with pytest.raises(SecretUnreadable):
            await vault.get(TenantId(tenant), holder)
        with pytest.raises(SecretUnreadable):
            await vault.take_turn(TenantId(tenant), holder, 1, 1.0)


async def test_an_older_secret_does_not_pass_for_a_newer_version(vault: Vault, thief: Any) -> None:
    await vault.put(ALICE, "con_roll", SECRET)
    old = taken(thief, "con_roll")
    await vault.put(ALICE, "con_roll", b"newer")
    planted(thief, ALICE, "con_roll", {**old, "version": 2})
    with pytest.raises(SecretUnreadable):
        await vault.get(ALICE, "con_roll")
    planted(thief, ALICE, "con_roll", old)
    rolled_back = await vault.get(ALICE, "con_roll")
    assert rolled_back is not None
    assert rolled_back.version == 1, "an honest copy of the old row says so: the connection's history asks for 2"


@pytest.mark.parametrize("part", ["wrapped_key", "nonce", "body"])
async def test_one_flipped_bit_fails_closed_and_says_nothing(
    vault: Vault, thief: Any, part: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    await vault.put(ALICE, f"con_flip_{part}", SECRET)
    row = taken(thief, f"con_flip_{part}")
    altered = bytearray(row[part])
    altered[-1] ^= 1
    planted(thief, ALICE, f"con_flip_{part}", {**row, part: bytes(altered)})
    with pytest.raises(SecretUnreadable) as refused:
        await vault.get(ALICE, f"con_flip_{part}")
    said = repr(refused.value) + caplog.text + "".join(capfd.readouterr())
    assert SECRET.decode() not in said


async def test_the_table_holds_nothing_plain_and_no_two_rows_alike(vault: Vault, thief: Any) -> None:
    await vault.put(ALICE, "con_a", SECRET)
    await vault.put(ALICE, "con_b", SECRET)
    one, other = taken(thief, "con_a"), taken(thief, "con_b")
    assert all(one[part] != other[part] for part in ("wrapped_key", "nonce", "body"))
    dump = thief.execute("SELECT vault_secrets::text, body FROM vault_secrets").fetchall()
    assert not any(SECRET in body for _, body in dump if body is not None)
    assert not any(SECRET.decode() in text for text, _ in dump)


def test_no_consumer_may_read_the_table_and_nobody_deletes_its_versions(database_urls: DatabaseUrls) -> None:
    refusals = {
        database_urls.engine: ["SELECT 1 FROM vault_secrets", "UPDATE vault_secrets SET version = 1"],
        database_urls.app: ["DELETE FROM vault_secrets"],
    }
    for url, statements in refusals.items():
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_SET, {"tenant": ALICE})
            for statement in statements:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql.SQL(statement))


async def test_of_many_only_one_gets_the_turn_and_the_others_find_the_new_secret(vault: Vault) -> None:
    version = await vault.put(ALICE, "con_turn", SECRET)
    turns = await asyncio.gather(*(vault.take_turn(ALICE, "con_turn", version, 30.0) for _ in range(8)))
    (mine,) = [turn for turn in turns if turn is not None]
    assert mine.secret.body == SECRET
    assert SECRET.decode() not in repr(mine)
    assert await vault.end_turn(ALICE, "con_turn", mine, b"rotated") == version + 1
    assert await vault.take_turn(ALICE, "con_turn", version, 30.0) is None, "that secret is spent"
    kept = await vault.get(ALICE, "con_turn")
    assert kept is not None
    assert kept.body == b"rotated"


async def test_whoever_comes_back_after_the_lease_is_fenced_off(vault: Vault) -> None:
    version = await vault.put(ALICE, "con_late", SECRET)
    late = await vault.take_turn(ALICE, "con_late", version, 0.0)
    next_one = await vault.take_turn(ALICE, "con_late", version, 30.0)
    assert late is not None
    assert next_one is not None
    assert next_one.fence > late.fence
    assert await vault.end_turn(ALICE, "con_late", late, b"late") is None
    assert await vault.end_turn(ALICE, "con_late", late, None) is None
    assert await vault.take_turn(ALICE, "con_late", version, 30.0) is None, "the late one does not end another's turn"
    assert await vault.end_turn(ALICE, "con_late", next_one, b"in time") == version + 1


async def test_a_turn_that_changed_nothing_leaves_the_secret_to_the_next(vault: Vault) -> None:
    version = await vault.put(ALICE, "con_left", SECRET)
    turn = await vault.take_turn(ALICE, "con_left", version, 30.0)
    assert turn is not None
    assert await vault.end_turn(ALICE, "con_left", turn, None) is None
    assert await vault.take_turn(ALICE, "con_left", version, 30.0) is not None


async def test_a_secret_put_or_erased_meanwhile_is_not_overwritten_by_a_turn(vault: Vault) -> None:
    version = await vault.put(ALICE, "con_put", SECRET)
    turn = await vault.take_turn(ALICE, "con_put", version, 30.0)
    assert turn is not None
    await vault.put(ALICE, "con_put", b"given anew by a person")
    assert await vault.end_turn(ALICE, "con_put", turn, b"refreshed from the old one") is None
    turn = await vault.take_turn(ALICE, "con_put", version + 1, 30.0)
    assert turn is not None
    assert await vault.erase(ALICE, "con_put", version + 1)
    assert await vault.end_turn(ALICE, "con_put", turn, b"risen from the dead") is None
    assert await vault.get(ALICE, "con_put") is None


async def test_keys_are_rotated_while_secrets_are_read_and_replaced(app: Database) -> None:
    before, both, after = (PostgresVault(app, ring(*lines)) for lines in ((K1,), (K2, K1), (K2,)))
    carol = TenantId("tnt_carol")
    holders = [f"con_{n:03}" for n in range(BATCH + 20)]
    for holder in holders:
        await before.put(carol, holder, holder.encode())

    async def use() -> None:
        for holder in holders[::7]:
            assert (await both.get(carol, holder)) is not None
            await both.put(carol, holder, b"new " + holder.encode())

    rotated, _ = await asyncio.gather(rotate_tenant(app, ring(K2, K1), carol), use())
    assert len(holders) - len(holders[::7]) <= rotated <= len(holders)
    assert await rotate_tenant(app, ring(K2, K1), carol) == 0
    for number, holder in enumerate(holders):
        found = await after.get(carol, holder)
        assert found is not None
        assert found.body == (b"new " if number % 7 == 0 else b"") + holder.encode()
    with pytest.raises(SecretUnreadable):
        await before.get(carol, holders[1])


async def test_rotation_touches_one_tenant_only_and_stops_at_a_key_that_is_not_there(app: Database) -> None:
    dave, erin = TenantId("tnt_dave"), TenantId("tnt_erin")
    for tenant in (dave, erin):
        await PostgresVault(app, ring(K1)).put(tenant, "con_1", SECRET)
    with pytest.raises(SecretUnreadable):
        await rotate_tenant(app, ring(K2), dave)
    assert await rotate_tenant(app, ring(K2, K1), dave) == 1
    kept = await PostgresVault(app, ring(K1)).get(erin, "con_1")
    assert kept is not None
    assert kept.body == SECRET
