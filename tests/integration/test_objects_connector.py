"""Objects, against a store that was not written here."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fairlead_sdk import BadArguments, Call, Connection, Credential, Refused, TryLater
from fairlead_sdk.checks import faults_of
from fairlead_sdk.errors import ToolError

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.ports import WayOut
from fairlead_objects import ObjectsConnector
from fairlead_objects.reading import Wanted, Which, get_object, list_objects
from fairlead_objects.signing import Key, signed
from fairlead_objects.writing import Deleted, NewObject, delete_object, put_object
from tests.support.flaky_http import FlakyServer, reply
from tests.support.object_store import ACCESS_KEY, BUCKET, SECRET, object_store


@pytest.fixture(scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with object_store(tmp_path_factory.mktemp("objects")) as authority:
        yield authority


_open: list[GuardedOutbound] = []


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    """Connections that were kept end with the test that made them."""
    yield
    while _open:
        await _open.pop().aclose()


def call_to(store: str, key: str = "tcl_1", *, secret: str = SECRET, account: str = ACCESS_KEY, **config: str) -> Call:
    known = {"url": f"http://{store}", "bucket": BUCKET} | config
    outbound = GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=[store])
    _open.append(outbound)
    credential = Credential(secret=secret, username=account)
    return Call(
        call_id=key,
        attempt=1,
        idempotency_key=key,
        settings={},
        connection=Connection(connection_id="con_1", config=known, credential=credential),
        http=outbound.http(WayOut(owner="con_1", egress=("{url}",), timeout_s=10.0, config=known)),
    )


def note(key: str, text: str = "hello") -> NewObject:
    return NewObject(key=key, media_type="text/plain; charset=utf-8", text=text)


async def met(asking: Any) -> ToolError:
    with pytest.raises(ToolError) as raised:
        await asking
    return raised.value


def test_the_connector_check_finds_nothing() -> None:
    assert [str(fault) for fault in faults_of(ObjectsConnector.manifest, shipped=True)] == []


DATED = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "signature"),
    [
        ("GET", "/test.txt", {}, {"range": "bytes=0-9"}, b"", "f0e8bdb87c964420e857bd35b5d6ed31"),
        ("PUT", "/test$file.text", {}, DATED, b"Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238"),
        ("GET", "/", {"lifecycle": ""}, {}, b"", "fea454ca298b7da1c68078a5d1bdbfbb"),
        ("GET", "/", {"prefix": "J", "max-keys": "2"}, {}, b"", "34b48302e7b5fa45bde8084f4b7868a8"),
    ],
)
def test_signatures_are_those_of_the_published_examples(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes, signature: str
) -> None:
    """Source: examples of signature calculations in the API reference."""
    key = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
    at, host = datetime(2013, 5, 24, tzinfo=UTC), "examplebucket.s3.amazonaws.com"
    sent = signed(key, method, host, path, query, headers, body, at)
    assert sent["authorization"].partition("Signature=")[2].startswith(signature)


@pytest.mark.parametrize("key", ["a.txt", "in/a folder/ä+&=%.txt", "~tilde-_.*'()"])
async def test_what_was_put_is_there(store: str, key: str) -> None:
    stored = await put_object.run(note(key, "grüß dich"), call_to(store))
    found = await get_object.run(Which(key=key), call_to(store))
    assert (found.text, found.base64, found.etag) == ("grüß dich", None, stored.etag)
    assert found.media_type.startswith("text/plain")


async def test_bytes_that_are_no_text_come_as_base64(store: str) -> None:
    packed = base64.b64encode(bytes(range(256))).decode()
    await put_object.run(NewObject(key="b.bin", media_type="application/x-any", base64=packed), call_to(store))
    found = await get_object.run(Which(key="b.bin"), call_to(store))
    assert (found.text, found.base64, found.size_bytes) == (None, packed, 256)


async def test_objects_are_listed_by_prefix(store: str) -> None:
    for number in range(3):
        await put_object.run(note(f"list/{number}.txt"), call_to(store))
    page = await list_objects.run(Wanted(prefix="list/"), call_to(store))
    assert [each.key for each in page.objects] == [f"list/{number}.txt" for number in range(3)]
    assert page.next is None


async def test_a_listing_that_goes_on_says_where() -> None:
    listing = b"<L xmlns='urn:x'><NextContinuationToken>a+b/c=</NextContinuationToken></L>"
    async with FlakyServer.at() as server:
        server.answers[f"/{BUCKET}"] = reply(200, listing)
        first = await list_objects.run(Wanted(limit=2), call_to(server.authority))
        await list_objects.run(Wanted(limit=2, after=first.next), call_to(server.authority))
    assert first.next == "a+b/c="
    assert "continuation-token=a%2Bb%2Fc%3D" in server.asked[1].target


async def test_a_connection_sees_its_prefix_alone(store: str) -> None:
    await put_object.run(note("mine.txt"), call_to(store, prefix="tenant-a/"))
    inside = await list_objects.run(Wanted(), call_to(store, prefix="tenant-a/"))
    assert [each.key for each in inside.objects] == ["mine.txt"]
    assert (await list_objects.run(Wanted(), call_to(store, prefix="tenant-b/"))).objects == []
    for key in ("../tenant-a/mine.txt", "x/../../tenant-a/mine.txt", "./mine.txt"):
        assert (await met(get_object.run(Which(key=key), call_to(store, prefix="tenant-b/")))).code == "bad_key"


async def test_a_write_can_be_read_back_and_told_from_anothers(store: str) -> None:
    assert put_object.verify is not None
    assert await put_object.verify(note("v.txt"), call_to(store, "tcl_a")) is None
    stored = await put_object.run(note("v.txt"), call_to(store, "tcl_a"))
    assert await put_object.verify(note("v.txt"), call_to(store, "tcl_a")) == stored
    assert await put_object.verify(note("v.txt"), call_to(store, "tcl_b")) is None


async def test_people_see_what_is_replaced_and_what_is_lost(store: str) -> None:
    assert put_object.preview is not None
    assert delete_object.preview is not None
    new = await put_object.preview(note("p.txt"), call_to(store))
    await put_object.run(note("p.txt"), call_to(store))
    old = await put_object.preview(note("p.txt", "longer than before"), call_to(store))
    assert (new["before"], old["before"]["size_bytes"], old["after"]["size_bytes"]) == (None, 5, 18)
    lost = await delete_object.preview(Which(key="p.txt"), call_to(store))
    assert (lost["before"]["size_bytes"], lost["after"]) == (5, None)


async def test_deleting_again_changes_nothing(store: str) -> None:
    await put_object.run(note("d.txt"), call_to(store))
    for _ in range(2):
        assert await delete_object.run(Which(key="d.txt"), call_to(store)) == Deleted(key="d.txt")
    assert delete_object.verify is not None
    assert await delete_object.verify(Which(key="d.txt"), call_to(store)) == Deleted(key="d.txt")
    assert (await met(get_object.run(Which(key="d.txt"), call_to(store)))).code == "not_found"


async def test_an_account_that_the_store_does_not_know_is_refused(store: str) -> None:
    error = await met(put_object.run(note("w.txt"), call_to(store, account="nobody")))
    assert (type(error), error.code) == (Refused, "forbidden")


async def test_what_is_signed_with_another_secret_is_refused(store: str) -> None:
    """The store reckons each signature itself, so all that is done here was signed as it expects."""
    await put_object.run(note("signed.txt"), call_to(store))
    wrong = call_to(store, secret="another secret")
    for asked in (
        put_object.run(note("signed.txt", "changed"), wrong),
        get_object.run(Which(key="signed.txt"), wrong),
        list_objects.run(Wanted(), wrong),
        delete_object.run(Which(key="signed.txt"), wrong),
    ):
        error = await met(asked)
        assert (type(error), error.code) == (Refused, "forbidden")
    assert (await get_object.run(Which(key="signed.txt"), call_to(store))).text == "hello"


async def test_a_listing_goes_on_where_it_stopped(store: str) -> None:
    for number in range(3):
        await put_object.run(note(f"pages/{number}.txt"), call_to(store))
    found, after = list[str](), None
    while True:
        page = await list_objects.run(Wanted(prefix="pages/", limit=2, after=after), call_to(store))
        found += [each.key for each in page.objects]
        if (after := page.next) is None:
            break
    assert found == [f"pages/{number}.txt" for number in range(3)]


async def test_the_secret_is_never_sent() -> None:
    async with FlakyServer.at() as server:
        await put_object.run(note("s.txt"), call_to(server.authority, secret="never-sent-secret"))
    assert "never-sent-secret" not in str(server.asked)


async def test_an_object_past_the_limit_is_refused() -> None:
    async with FlakyServer.at() as server:
        server.answers[f"/{BUCKET}/big"] = reply(200, b"x" * (2 * 1024 * 1024 + 1))
        error = await met(get_object.run(Which(key="big"), call_to(server.authority)))
    assert (type(error), error.code) == (Refused, "object_too_large")


@pytest.mark.parametrize("listing", [b"", b"<a", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"])
async def test_a_listing_that_cannot_be_read_is_no_data(listing: bytes) -> None:
    async with FlakyServer.at() as server:
        server.answers[f"/{BUCKET}"] = reply(200, listing)
        assert type(await met(list_objects.run(Wanted(), call_to(server.authority)))) is TryLater


@pytest.mark.parametrize("content", [{}, {"text": "a", "base64": "YQ=="}, {"base64": "?"}])
async def test_content_is_either_text_or_base64(store: str, content: dict[str, str]) -> None:
    new = NewObject(key="c.txt", media_type="text/plain", **content)
    assert type(await met(put_object.run(new, call_to(store)))) is BadArguments
