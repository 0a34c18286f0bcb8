"""Keys of content on a real database: made once, bound to a tenant, rotated, destroyed for good."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator

import psycopg
import pytest
from fairlead_tenants.ids import TenantId

from fairlead.adapters.content_keys import PostgresContentKeys
from fairlead.adapters.postgres import Database
from fairlead.adapters.vault.keys import KeyRing, parse_keys
from fairlead.adapters.vault.rotation import rotate_tenant
from tests.support.clock import T0
from tests.support.database import DatabaseUrls

ALICE, BOB = TenantId("tnt_alice"), TenantId("tnt_bob")
K1, K2 = (f"k{n} {b64encode(bytes([n] * 32)).decode()}" for n in (1, 2))
RING = KeyRing(parse_keys(K1, "the test"))


@pytest.fixture
async def app(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    async with Database(database_urls.app) as database:
        yield database


async def test_processes_that_need_a_key_at_once_get_the_same_one(app: Database) -> None:
    processes = [PostgresContentKeys(app, RING) for _ in range(8)]
    made = await asyncio.gather(*(keys.sealing(ALICE, "race") for keys in processes for _ in range(2)))
    assert len({key.key_id for key in made}) == 1
    other = await processes[0].sealing(BOB, "race")
    assert other.key_id != made[0].key_id
    assert await processes[0].opening(BOB, [made[0].key_id]) == {}, "another tenant's key is not there"
    box = made[0].seal(ALICE, "run/r/t/f", "cmd", "x")
    assert made[-1].seal(ALICE, "run/r/t/f", "cmd", "x") == box, "it is the same key in each"


async def test_a_destroyed_key_is_gone_for_every_process_and_a_new_one_follows(
    app: Database, database_urls: DatabaseUrls
) -> None:
    here, elsewhere = PostgresContentKeys(app, RING), PostgresContentKeys(app, RING)
    key = await here.sealing(ALICE, "gone")
    assert await here.ids(ALICE, "gone") == [key.key_id]
    for _ in range(2):
        await here.destroy(ALICE, [key.key_id], T0)
    assert await elsewhere.opening(ALICE, [key.key_id]) == {key.key_id: None}
    with psycopg.connect(database_urls.admin) as admin:
        left = admin.execute("SELECT wrapped_key FROM content_keys WHERE key_id = %s", [key.key_id]).fetchall()
    assert left == [(None,)]
    assert (await elsewhere.sealing(ALICE, "gone")).key_id == (await here.sealing(ALICE, "gone")).key_id != key.key_id


async def test_keys_go_on_opening_after_the_key_that_wraps_them_was_changed(app: Database) -> None:
    old = PostgresContentKeys(app, RING)
    key = await old.sealing(TenantId("tnt_carol"), "")
    both = KeyRing(parse_keys(f"{K2}\n{K1}", "the test"))
    assert await rotate_tenant(app, both, TenantId("tnt_carol")) == 1
    assert await rotate_tenant(app, both, TenantId("tnt_carol")) == 0
    fresh = PostgresContentKeys(app, KeyRing(parse_keys(K2, "the test")))
    found = (await fresh.opening(TenantId("tnt_carol"), [key.key_id]))[key.key_id]
    assert found is not None
    assert found.name("x") == key.name("x"), "the key itself is the same"
    stale = PostgresContentKeys(app, RING)
    assert await stale.opening(TenantId("tnt_carol"), [key.key_id]) == {}, "without its wrapping key it is not there"
