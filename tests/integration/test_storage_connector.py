"""The platform's own object store, through the tools that workflows call, on a real engine."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk import BadArguments, Call, Refused
from fairlead_sdk.checks import faults_of
from fairlead_sdk.errors import ToolError
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId

from fairlead.adapters import nats_objects
from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_objects import NatsObjects
from fairlead.adapters.nats_stale_objects import NatsStaleObjects
from fairlead.adapters.nats_streams import OBJECTS, ensure_streams
from fairlead_storage import StorageConnector
from fairlead_storage.tools import (
    MAX_OBJECT_BYTES,
    Deleted,
    NewObject,
    Wanted,
    Which,
    delete_object,
    get_object,
    list_objects,
    put_object,
)
from tests.support.clock import ManualClock

ALICE, BOB = TenantId("tnt_alice"), TenantId("tnt_bob")
DESK, LIVE = WorkspaceId("wsp_desk"), EnvironmentId("env_live")


class Store:
    def __init__(self, connection: NatsConnection) -> None:
        self.connection = connection
        self._objects = NatsObjects(connection, ManualClock())

    def call(
        self, key: str = "tcl_1", tenant: TenantId = ALICE, workspace: str = DESK, environment: str = LIVE
    ) -> Call:
        place = self._objects.of(tenant, WorkspaceId(workspace), EnvironmentId(environment))
        return Call(call_id=key, attempt=1, idempotency_key=key, settings={}, objects=place)

    async def messages(self) -> int:
        found: int = (await self.connection.api(f"STREAM.INFO.{OBJECTS}"))["state"]["messages"]
        return found


@pytest.fixture
async def store(nats_url: str) -> AsyncIterator[Store]:
    connection = await NatsConnection.open(nats_url)
    await ensure_streams(connection)
    yield Store(connection)
    await connection.api(f"STREAM.PURGE.{OBJECTS}")
    await connection.close()


def note(key: str, text: str = "hello") -> NewObject:
    return NewObject(key=key, media_type="text/plain; charset=utf-8", text=text)


async def met(asking: Any) -> ToolError:
    with pytest.raises(ToolError) as raised:
        await asking
    return raised.value


def test_the_connector_check_finds_nothing() -> None:
    assert [str(fault) for fault in faults_of(StorageConnector.manifest, shipped=True)] == []


async def test_what_was_put_is_read_listed_replaced_and_deleted(store: Store) -> None:
    await put_object.run(note("a/1", "one"), store.call())
    await put_object.run(note("a/2", "two"), store.call("tcl_2"))
    await put_object.run(note("a/1", "other"), store.call("tcl_3"))
    found = await get_object.run(Which(key="a/1"), store.call())
    assert (found.text, found.base64, found.size_bytes) == ("other", None, 5)
    page = await list_objects.run(Wanted(prefix="a/"), store.call())
    assert ([each.key for each in page.objects], page.next) == (["a/1", "a/2"], None)
    assert await delete_object.run(Which(key="a/1"), store.call("tcl_4")) == Deleted(key="a/1")
    assert await delete_object.run(Which(key="a/1"), store.call("tcl_5")) == Deleted(key="a/1")
    gone = await met(get_object.run(Which(key="a/1"), store.call()))
    assert (type(gone), gone.code) == (Refused, "not_found")


async def test_nothing_is_left_of_what_was_replaced_or_deleted(store: Store) -> None:
    large = base64.b64encode(bytes(range(256)) * 8 * 1024).decode()
    for key in ("tcl_1", "tcl_1", "tcl_2"):
        put = NewObject(key="large", media_type="application/octet-stream", base64=large)
        await put_object.run(put, store.call(key))
        assert await store.messages() == 5
    found = await get_object.run(Which(key="large"), store.call())
    assert (found.base64, found.text, found.size_bytes) == (large, None, MAX_OBJECT_BYTES)
    await put_object.run(note("large", ""), store.call("tcl_3"))
    assert (await get_object.run(Which(key="large"), store.call())).text == ""
    await delete_object.run(Which(key="large"), store.call())
    assert await store.messages() == 0


@pytest.mark.parametrize(
    "elsewhere",
    [{"tenant": BOB}, {"workspace": "wsp_other"}, {"environment": "env_test"}],
    ids=lambda each: next(iter(each)),
)
async def test_another_place_has_nothing_of_it(store: Store, elsewhere: Any) -> None:
    await put_object.run(note("invoice"), store.call())
    there = store.call("tcl_2", **elsewhere)
    assert (await met(get_object.run(Which(key="invoice"), there))).code == "not_found"
    assert (await list_objects.run(Wanted(), there)).objects == []
    await delete_object.run(Which(key="invoice"), there)
    await put_object.run(note("invoice", "theirs"), there)
    assert (await get_object.run(Which(key="invoice"), store.call())).text == "hello"


@pytest.mark.parametrize("key", [">", "*", "../tnt_bob/x", "a.b", "x y", "\u00fc\U0001f6a2" * 100, "fl.obj.tnt_bob.>"])
async def test_a_key_is_text_and_leads_nowhere(store: Store, key: str) -> None:
    await put_object.run(note("other"), store.call())
    await put_object.run(note(key, "this"), store.call())
    assert (await get_object.run(Which(key=key), store.call())).text == "this"
    await delete_object.run(Which(key=key), store.call())
    assert [each.key for each in (await list_objects.run(Wanted(), store.call())).objects] == ["other"]


async def test_pages_follow_each_other_in_the_order_of_keys(store: Store) -> None:
    for number in (3, 1, 2):
        await put_object.run(note(f"n{number}"), store.call(f"tcl_{number}"))
    first = await list_objects.run(Wanted(limit=2), store.call())
    rest = await list_objects.run(Wanted(limit=2, after=first.next or ""), store.call())
    assert [[each.key for each in page.objects] for page in (first, rest)] == [["n1", "n2"], ["n3"]]
    assert rest.next is None


async def test_a_large_page_of_long_keys_comes_whole(store: Store) -> None:
    """Their names together are more than the engine takes in one question."""
    keys = [f"{number:03}{'k' * 247}" for number in range(200)]
    await asyncio.gather(*(put_object.run(note(key, ""), store.call(key)) for key in keys))
    page = await list_objects.run(Wanted(limit=500), store.call())
    assert [each.key for each in page.objects] == keys


async def test_a_lost_answer_is_settled_by_looking(store: Store) -> None:
    assert put_object.verify is not None
    assert delete_object.verify is not None
    put = await put_object.run(note("k"), store.call())
    assert await put_object.verify(note("k"), store.call()) == put
    assert await put_object.verify(note("k"), store.call("tcl_2")) is None
    assert await delete_object.verify(Which(key="k"), store.call()) is None
    await delete_object.run(Which(key="k"), store.call())
    assert await delete_object.verify(Which(key="k"), store.call()) == Deleted(key="k")


async def test_reviewers_see_what_is_there_and_what_will_be(store: Store) -> None:
    assert put_object.preview is not None
    await put_object.run(note("k", "four"), store.call())
    shown = await put_object.preview(note("k", "three"), store.call("tcl_2"))
    assert (shown["before"]["size_bytes"], shown["after"]["size_bytes"]) == (4, 5)


async def test_a_place_has_a_bound_and_so_has_an_object(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_objects, "MAX_OBJECTS", 1)
    await put_object.run(note("one"), store.call())
    await put_object.run(note("one", "again"), store.call("tcl_2"))
    assert (await met(put_object.run(note("two"), store.call("tcl_3")))).code == "store_full"
    large = NewObject(key="one", media_type="a/b", base64=base64.b64encode(bytes(MAX_OBJECT_BYTES + 1)).decode())
    assert type(await met(put_object.run(large, store.call()))) is BadArguments


async def test_a_call_without_a_store_is_refused() -> None:
    call = Call(call_id="tcl_1", attempt=1, idempotency_key="tcl_1", settings={})
    assert (await met(list_objects.run(Wanted(), call))).code == "no_store"


async def test_objects_that_are_too_old_go_and_what_was_written_since_stays(
    store: Store,
) -> None:
    stale, noon = NatsStaleObjects(store.connection), ManualClock().now()
    await put_object.run(note("old", "planted"), store.call())
    await put_object.run(note("again"), store.call("tcl_2"))
    await put_object.run(note("theirs"), store.call(tenant=BOB))
    assert await stale.older(ALICE, noon, 10) == [], "not before that moment"
    later = noon + timedelta(seconds=1)
    versions = await stale.older(ALICE, later, 10)
    assert (len(versions), len(await stale.older(ALICE, later, 1))) == (2, 1)
    await put_object.run(note("again", "another"), store.call("tcl_3"))
    await stale.remove(ALICE, later, versions)
    await stale.remove(ALICE, later, versions)
    with pytest.raises(Refused):
        await get_object.run(Which(key="old"), store.call())
    assert (await get_object.run(Which(key="again"), store.call())).text == "another"
    assert (await get_object.run(Which(key="theirs"), store.call(tenant=BOB))).text == "hello"
    assert await store.messages() == 4
