"""Rates, bodies, traces and cursors at, below and above their limits."""

import msgspec
import pytest

from fairlead.api.admission import Admission, BacklogFull
from fairlead.api.bodies import MAX_DEPTH, decoded, is_deeper
from fairlead.api.documents import from_yaml
from fairlead.api.etags import check_match, expected_version
from fairlead.api.paging import after, page
from fairlead.api.problems import MalformedBody, PreconditionFailed
from fairlead.api.rate_limit import RateLimit, RateLimited, RateLimiter
from fairlead.api.tracing import trace_of
from fairlead.domain.errors import Invalid, Unavailable

ALICE, BOB = "tnt_alice", "tnt_bob"


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    limiter = RateLimiter(RateLimit(per_second=2.0, burst=3))
    assert [limiter.take("a", 0.0).remaining for _ in range(3)] == [2, 1, 0]
    with pytest.raises(RateLimited) as refused:
        limiter.take("a", 0.0)
    assert refused.value.retry_after_s == 1
    assert limiter.take("b", 0.0).remaining == 2
    with pytest.raises(RateLimited):
        limiter.take("a", 0.49)
    assert limiter.take("a", 0.5).remaining == 0
    assert limiter.take("a", 1000.0).remaining == 2


@pytest.mark.parametrize(
    ("body", "deeper"),
    [
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, False),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), True),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), True),
        (b'"' + b"[" * 1000 + b'"', False),
        (b'"\\"' + b"[" * 1000 + b'"', False),
        (b"[" + b"[],{}," * 1000 + b"[]]", False),
        (b'"' + b'\\"' * 100_000, False),
    ],
)
def test_depth_is_counted_outside_of_strings(body: bytes, deeper: bool) -> None:
    assert is_deeper(body, MAX_DEPTH) is deeper


def test_numbers_are_not_made_of_text() -> None:
    with pytest.raises(Invalid) as refused:
        decoded(b'{"a": [1, "2"]}', msgspec.json.Decoder(dict[str, list[int]]))
    assert refused.value.problems[0].path == "/.../1"  # the decoder does not name keys of a map


def test_what_nests_too_deeply_is_malformed() -> None:
    with pytest.raises(MalformedBody):
        decoded(b"[" * 100_000)


@pytest.mark.parametrize(
    "header",
    [
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"nonsense",
    ],
)
def test_a_trace_that_is_none_is_begun_anew(header: bytes) -> None:
    trace = trace_of([(b"traceparent", header)])
    assert trace.trace_id not in header.decode()
    assert trace.parent.split("-")[1] == trace.trace_id


def test_a_trace_goes_on_with_a_span_of_its_own_and_the_callers_flags() -> None:
    trace = trace_of([(b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")])
    version, trace_id, span, flags = trace.parent.split("-")
    assert (version, trace_id, flags) == ("00", "4bf92f3577b34da6a3ce929d0e0e4736", "00")
    assert span != "00f067aa0ba902b7"


def test_a_cursor_is_good_for_its_list_and_its_tenant_only() -> None:
    first = page(["a", "b", "c"], 2, "letters", ALICE, lambda letter: letter)
    assert first.items == ["a", "b"]
    assert after(first.next_cursor, "letters", ALICE, str) == "b"
    assert page(["c"], 2, "letters", ALICE, lambda letter: letter).next_cursor is None
    for of, tenant, kind in (("letters", BOB, str), ("numbers", ALICE, str), ("letters", ALICE, int)):
        with pytest.raises(Invalid):
            after(first.next_cursor, of, tenant, kind)
    for text in ("", "é", "!!!!", "W10", first.next_cursor[:-2] if first.next_cursor else ""):
        with pytest.raises(Invalid):
            after(text, "letters", ALICE, str)


def test_a_precondition_names_one_version_or_none_or_any() -> None:
    assert expected_version(None, None) is None
    assert expected_version("*", None) is None
    assert expected_version('"7"', None) == expected_version('W/"7"', None) == 7
    assert expected_version(None, "*") == 0
    check_match('"7"', 7)
    with pytest.raises(PreconditionFailed):
        check_match('"7"', 8)
    for header in ("7", '"x"', '"1", "2"'):
        with pytest.raises(Invalid):
            expected_version(header, None)


async def test_work_is_taken_up_to_the_limit_and_when_nothing_is_known() -> None:
    async def backlog() -> int:
        return 11

    async def unknown() -> int:
        raise Unavailable("the database")

    await Admission(backlog, 11).check()
    with pytest.raises(BacklogFull):
        await Admission(backlog, 10).check()
    await Admission(unknown, 0).check()


def test_yaml_means_what_a_person_means() -> None:
    assert from_yaml(b"on: yes\nno: 2026-01-02\nn: 012\nx: 0x10\nz: 1:30\nt: true\nv: null\nf: 1e3\nm: <<\n") == {
        "on": "yes",
        "no": "2026-01-02",
        "n": 12,
        "x": "0x10",
        "z": "1:30",
        "t": True,
        "v": None,
        "f": 1000.0,
        "m": "<<",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: &x 1\nb: *x", "line 2, column 4: aliases are not taken"),
        (b"a: 1\na: 2", "line 2, column 1: the key stands twice"),
        (b"a: !!python/name:os.system ''", "line 1, column 4: tags are not taken"),
        (b"? [a]\n: 1", "line 1, column 3: a key is text"),
        (b"[" * 1000, "line 1, column 65: nests deeper than 64 levels"),
        (b"x" * (256 * 1024 + 1), "the document is larger than 256 KiB"),
        (b"1" * 5000, "the text is not YAML"),
    ],
)
def test_yaml_that_is_more_than_data_is_refused_with_its_place(text: bytes, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        from_yaml(text)
    assert refused.value.problems[0].message == message
