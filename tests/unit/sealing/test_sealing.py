"""Content is under lock on the log, and opens only where it belongs."""

import base64
import json
import re
from typing import Any

import pytest
from fairlead_ledger.leaves import Place, leaf_of
from fairlead_ledger.seals import NotCommitted, resealed
from fairlead_tenants.ids import TenantId
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM, Commit, Sequence, StreamRef
from fairlead.domain.ids import CallId, CommandId, RunId
from fairlead.domain.masking import MASK, WHOLE
from fairlead.domain.runs import events as e
from fairlead.domain.sealing import (
    BoxRefused,
    ContentKey,
    KeyMissing,
    fields_in,
    opened,
    provable,
    sealed,
    veiled,
)
from fairlead.handling.contents import Contents
from fairlead.handling.swift_leaves import leaf_text_of
from tests.support.clock import T0
from tests.support.histories import started

CODEC = Codec(EVENTS, UPCASTERS)
TENANT = TenantId("tnt_1")
KEY, OTHER = ContentKey("ck1", b"k" * 32), ContentKey("ck2", b"o" * 32)
KEYS = {"ck1": KEY, "ck2": OTHER}
MARKER = "Ada Lovelace"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def completed(output: Any) -> e.ToolCallCompleted:
    return e.ToolCallCompleted(
        call_id=CallId("tcl_x-1"), attempt=1, output=output, output_sha256="0" * 64, latency_us=5, worker="w"
    )


def failed(message: str) -> e.ToolCallFailed:
    return e.ToolCallFailed(
        call_id=CallId("tcl_x-1"),
        attempt=1,
        error_class="permanent",
        code="no",
        message=message,
        latency_us=5,
        worker="w",
    )


DRIFTED = e.ToolCallVerified(
    call_id=CallId("tcl_x-1"),
    verdict="drifted",
    latency_us=5,
    worker="w",
    difference=(e.Change(op="replace", path="/name", value=MARKER), e.Change(op="remove", path="/x")),
)


def commit(*events: e.RunEvent, stream: str = "run_x", tenant: str = TENANT) -> Commit[Any]:
    return Commit(
        commit_id=CommandId("cmd_1"),
        tenant_id=TenantId(tenant),
        kind="run",
        stream_id=stream,
        first_version=1,
        at=T0,
        actor=SYSTEM,
        events=events,
    )


def stored(commit: Commit[Any], key: ContentKey = KEY) -> bytes:
    return CODEC.encode(sealed(commit, key))


def read(commit: Commit[Any], body: bytes, keys: Any = KEYS) -> Commit[Any]:
    return CODEC.decode("run", opened(commit.tenant_id, body, fields_in(commit.stream, body), keys))


@settings(max_examples=50, deadline=None)
@given(json_values)
def test_what_is_sealed_is_read_as_it_was_and_nothing_of_it_is_stored(value: Any) -> None:
    plain = commit(completed({"name": MARKER, "value": value}))
    body = stored(plain)
    assert MARKER.encode() not in body
    assert read(plain, body) == CODEC.decode("run", CODEC.encode(plain))


@settings(max_examples=50, deadline=None)
@given(json_values)
def test_an_export_shows_what_was_committed_to_and_whoever_changes_it_is_found(value: Any) -> None:
    shown = {"value": value, "more": 1}
    plain = commit(completed(shown))
    (field,) = fields_in(plain.stream, stored(plain))
    key = base64.urlsafe_b64encode(KEY.open(TENANT, field.box).key).decode().rstrip("=")
    seals = {"/output": {"commitment": field.box.commitment, "key": key}}
    assert resealed({"output": shown}, seals, plain=False) == {"output": {"$sealed": field.box.commitment}}
    with pytest.raises(NotCommitted):
        resealed({"output": {**shown, "more": 2}}, seals, plain=False)


def test_texts_nested_events_and_differences_are_sealed_too() -> None:
    fork = e.RunForked(
        run_id=RunId("run_x"),
        parent_run_id=RunId("run_p"),
        parent_version=2,
        inherited=(replace(started(StreamRef(TENANT, "run", "run_p")), input={"who": MARKER}), completed(MARKER)),
        forked_by=SYSTEM.id,
        reason=MARKER,
        started_at=T0,
        deadline_at=T0,
        edits={"a": MARKER},
    )
    plain = commit(fork, failed(MARKER), DRIFTED)
    body = stored(plain)
    assert MARKER.encode() not in body
    assert read(plain, body) == plain


def test_appending_the_same_commit_again_makes_the_same_bytes_and_another_one_others() -> None:
    plain = commit(completed(MARKER))
    assert stored(plain) == stored(plain)
    boxes = {stored(plain), stored(replace(plain, commit_id=CommandId("cmd_2"))), stored(plain, OTHER)}
    assert len({re.findall(rb'"\$sealed":"(\w+)"', body)[0] for body in boxes}) == 3, (
        "equal content does not look equal"
    )


def test_whoever_has_no_keys_reads_everything_but_content() -> None:
    plain = commit(completed({"a": MARKER}), failed(MARKER), DRIFTED)
    body = stored(plain)
    seen = CODEC.decode("run", veiled(body, fields_in(plain.stream, body)))
    assert seen.events[0].output.keys() == {"$sealed", "box"}
    assert seen.events[1].message.startswith('{"$sealed":"')
    assert replace(seen.events[1], message=MARKER) == failed(MARKER)
    assert MARKER not in str(seen)


def test_where_a_key_was_destroyed_a_mark_stands() -> None:
    plain = commit(completed({"a": MARKER}), failed(MARKER), DRIFTED)
    seen = read(plain, stored(plain), {"ck1": None})
    assert seen.events[0].output.keys() == {"$erased"}
    assert re.fullmatch(r"\[erased:[0-9a-f]{64}\]", seen.events[1].message)
    assert seen.events[2].difference[0].value.keys() == {"$erased"}
    with pytest.raises(KeyMissing):
        read(plain, stored(plain), {})


def test_a_box_does_not_open_for_another_tenant_stream_event_or_field() -> None:
    one = commit(completed(MARKER), failed("no"))
    box = fields_in(one.stream, stored(one))[0].box.text
    other = commit(completed("x"), failed("y"))
    for target in (stored(commit(completed("x"), stream="run_y")), stored(other)):
        instead = re.sub(rb'\{"\$sealed"[^}]+\}', lambda _: box, target)
        stream = StreamRef(TENANT, "run", "run_y" if b"run_y" in target else "run_x")
        with pytest.raises(BoxRefused):
            opened(TENANT, instead, fields_in(stream, instead), KEYS)
    with pytest.raises(BoxRefused):
        opened(TenantId("tnt_2"), stored(one), fields_in(one.stream, stored(one)), KEYS)


def test_a_box_that_was_altered_or_stands_beside_another_commitment_is_refused() -> None:
    plain = commit(completed(MARKER))
    body = stored(plain)
    commitment = re.findall(rb'"\$sealed":"(\w+)"', body)[0]
    box = re.findall(rb'"box":"v1\.ck1\.([^"]+)"', body)[0]
    middle = box[len(box) // 2 : len(box) // 2 + 1]
    altered = box[: len(box) // 2] + (b"A" if middle != b"A" else b"B") + box[len(box) // 2 + 1 :]
    for changed in (body.replace(commitment, b"0" * 64), body.replace(box, altered), body.replace(box, b"AAAA")):
        with pytest.raises(BoxRefused):
            read(plain, changed)
    with pytest.raises(BoxRefused):
        read(plain, body, {"ck1": OTHER})


def test_content_that_looks_sealed_or_erased_is_content_like_any_other() -> None:
    box = json.loads(fields_in(commit().stream, stored(commit(completed(MARKER))))[0].box.text)
    plain = commit(completed([box, {"$erased": "0" * 64}]), failed(json.dumps(box)))
    assert read(plain, stored(plain)) == plain


def test_the_ledger_hashes_commitments_and_its_swift_way_says_the_same() -> None:
    plain = commit(completed({"a": MARKER, "amount": 12.5}), failed(MARKER))
    body = stored(plain)
    place = Place(0, 7, plain.tenant_id, "run", plain.stream_id, plain.commit_id)
    unboxed = re.sub(rb',"box":"[^"]+"', b"", body)
    assert leaf_of(place, body).hash == leaf_of(place, unboxed).hash
    assert leaf_of(place, body).text == leaf_text_of(place, body)
    assert leaf_of(place, body).hash != leaf_of(place, CODEC.encode(plain)).hash


def test_commits_from_before_there_were_boxes_are_read_as_ever() -> None:
    plain = commit(completed({"a": MARKER}), failed("no"))
    body = CODEC.encode(plain)
    assert fields_in(plain.stream, body) == []
    assert read(plain, body, {}) == plain


async def test_whoever_has_no_keys_cannot_write_content() -> None:
    with pytest.raises(AssertionError, match="keys"):
        await Contents().sealed(commit(completed("x")))
    dispatched = commit(e.ToolCallDispatched(call_id=CallId("tcl_x-1"), attempt=1))
    assert await Contents().sealed(dispatched) == dispatched


def marked(*places: str) -> Any:
    return lambda _event, _tag, _name, _value: places


def test_what_is_sensitive_opens_masked_for_those_who_may_not_see_it() -> None:
    plain = commit(completed({"a": MARKER, "b": 1.5}), failed(MARKER))
    body = CODEC.encode(sealed(plain, KEY, lambda _event, _tag, name, _value: ("/a",) if name == "output" else ("",)))
    fields = fields_in(plain.stream, body)
    assert read(plain, body) == plain
    seen = CODEC.decode("run", opened(TENANT, body, fields, KEYS, masked=True))
    assert (seen.events[0].output, seen.events[1].message) == ({"a": MASK, "b": 1.5}, MASK)


def test_masks_change_no_proof_and_of_a_field_that_is_shown_in_part_nothing_is_said_to_be_proved() -> None:
    plain = commit(completed({"a": MARKER, "b": 1}))
    body = CODEC.encode(sealed(plain, KEY, marked("/a")))
    (field,) = fields_in(plain.stream, body)
    opened_box = KEY.open(TENANT, field.box)
    key = base64.urlsafe_b64encode(opened_box.key).decode().rstrip("=")
    seal = {"commitment": field.box.commitment, "key": key}
    assert resealed({"output": plain.events[0].output}, {"/output": seal}, plain=False)
    shown = json.loads(provable(body, {field: opened_box}, masked=True))["events"][0]["output"]
    assert shown == {"$masked": field.box.commitment}
    withheld = {"/output": {**seal, "key": None}}
    assert resealed({"output": shown}, withheld, plain=False) == {"output": {"$sealed": field.box.commitment}}
    with pytest.raises(NotCommitted):
        resealed({"output": {**shown, "a": "another"}}, withheld, plain=False)


def test_an_object_that_is_sensitive_as_a_whole_stays_an_object() -> None:
    plain = commit(completed({"a": MARKER}))
    body = CODEC.encode(sealed(plain, KEY, marked("")))
    (field,) = fields_in(plain.stream, body)
    seen = CODEC.decode("run", opened(TENANT, body, [field], KEYS, masked=True))
    assert seen.events[0].output == {"$masked": field.box.commitment}


def test_content_that_is_marked_otherwise_never_meets_the_same_nonce() -> None:
    boxes = [
        fields_in(commit().stream, CODEC.encode(sealed(commit(completed(MARKER)), KEY, marked(*places))))[0].box
        for places in ((), ("",), ("/a",), ("", "/a"))
    ]
    assert len({box.nonce for box in boxes}) == len(boxes)


def test_more_places_than_can_be_said_are_everything() -> None:
    plain = commit(completed({"a": MARKER}))
    body = CODEC.encode(sealed(plain, KEY, marked(*(f"/{number:08}" * 40 for number in range(200)))))
    (field,) = fields_in(plain.stream, body)
    assert KEY.open(TENANT, field.box).sensitive == WHOLE


async def as_read_without_keys(body: bytes) -> Any:
    stream = commit().stream
    return (await Contents().recorded(CODEC, Sequence(7), stream, body)).commit


async def test_a_reader_without_keys_is_given_the_same_on_the_short_way_as_on_the_long() -> None:
    for events in ((completed({"a": MARKER}),), (completed(None),), (completed("x"), failed(MARKER)), (DRIFTED,)):
        plain = commit(*events)
        for body in (stored(plain), CODEC.encode(plain)):
            long = CODEC.decode("run", veiled(body, fields_in(plain.stream, body)))
            assert await as_read_without_keys(body) == long


async def test_a_reader_without_keys_believes_no_box_that_says_it_belongs_elsewhere() -> None:
    body = stored(commit(completed({"a": MARKER})))
    elsewhere = stored(commit(completed({"a": MARKER}), stream="run_y"))
    other_field = stored(commit(replace(started(StreamRef(TENANT, "run", "run_x")), input={"who": MARKER})))
    for strange in (elsewhere, other_field):
        box = re.findall(rb'\{"\$sealed"[^}]+\}', strange)[0]
        with pytest.raises(BoxRefused):
            await as_read_without_keys(re.sub(rb'\{"\$sealed"[^}]+\}', box, body))
    with pytest.raises(BoxRefused):
        await as_read_without_keys(re.sub(rb'"v1\.ck1\.[^"]+"', b'"v1.ck1.AAAA"', body))


def test_the_swift_way_to_a_leaf_takes_nothing_for_a_box_that_is_none() -> None:
    sealed_field = b'{"$sealed":"%b","box":"v1.ck1.AAAA"}' % (b"0" * 64)
    looks = [
        sealed_field.replace(b"v1.ck1.AAAA", b"v1 ck1"),
        sealed_field.replace(b"0" * 64, b"0" * 63),
        sealed_field[:-1] + b',"more":1}',
        b'{"box":"v1.ck1.AAAA","$sealed":"%b"}' % (b"0" * 64),
        json.dumps(sealed_field.decode()).encode(),
        sealed_field.replace(b"AAAA", b'A\\"A'),
        b'{"x":[%b,{"$sealed":"%b"}]}' % (sealed_field, b"0" * 64),
        sealed_field[:-1] + b',"box":""}',
    ]
    plain = CODEC.encode(commit(completed("here")))
    place = Place(0, 7, TENANT, "run", "run_x", "cmd_1")
    for look in (sealed_field, *looks):
        body = plain.replace(b'"here"', look)
        assert leaf_text_of(place, body) == leaf_of(place, body).text
