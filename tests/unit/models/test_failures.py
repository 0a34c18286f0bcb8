"""What a provider's refusal means: can it be asked again, when, and by whom."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.domain.models.failures import Window, failure_in_stream, failure_of, retry_after_s, windows_of

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "body", "error_class"),
    [
        (401, b"{}", "permission"),
        (403, b"", "permission"),
        (404, b'{"error": {"type": "not_found_error"}}', "permanent"),
        (400, b'{"error": {"type": "invalid_request_error", "message": "top_p is a number"}}', "validation"),
        (400, b'{"error": {"code": "context_length_exceeded"}}', "context_too_long"),
        (400, b'{"error": {"message": "prompt is too long: 9 > 8"}}', "context_too_long"),
        (413, b'{"error": {"type": "request_too_large"}}', "validation"),
        (400, b'{"error": {"code": "content_filter"}}', "content_refused"),
        (429, b"not json", "rate_limited"),
        (429, b'{"error": {"code": "insufficient_quota"}}', "permission"),
        (408, b"[]", "timeout"),
        (504, b'{"error": 7}', "timeout"),
        (500, b"", "transient"),
        (529, b'{"error": {"type": "overloaded_error"}}', "transient"),
        (418, b"[" * 5_000, "permanent"),
        (302, b"", "permanent"),
    ],
)
def test_each_refusal_has_its_class(status: int, body: bytes, error_class: str) -> None:
    assert failure_of(status, {}, body, NOW).error_class == error_class


def test_a_code_is_a_short_word_or_the_status() -> None:
    assert failure_of(400, {}, b'{"error": {"code": "my password is 1234"}}', NOW).code == "http_400"
    assert failure_of(400, {}, b'{"error": {"code": "bad_thing"}}', NOW).code == "bad_thing"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "20"}, 0.25),
        ({"retry-after": "Mon, 02 Mar 2026 09:01:00 GMT"}, 60.0),
        ({"retry-after": "Mon, 02 Mar 2026 08:00:00 GMT"}, 0.0),
        ({"retry-after": "999999999"}, 86_400.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
def test_a_wait_is_read_in_each_form_and_bounded(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("6m0s", 360.0),
        ("1h2m3.5s", 3_723.5),
        ("120ms", 0.12),
        ("17", 17.0),
        ("2026-03-02T09:00:30Z", 30.0),
        ("2026-03-02T08:00:00Z", 0.0),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_a_limit_says_when_it_is_whole_again(reset: str, seconds: float | None) -> None:
    headers = {"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": reset}
    assert windows_of(headers, NOW) == (Window(kind="tokens", remaining=5, resets_in_s=seconds),)


def test_numbers_that_are_none_are_no_limits() -> None:
    assert windows_of({"x-ratelimit-limit-requests": "many", "anthropic-ratelimit-tokens-limit": "-1"}, NOW) == ()


def test_an_event_of_a_stream_without_an_error_is_no_failure() -> None:
    assert failure_in_stream({"type": "ping", "error": None}) is None
    failed = failure_in_stream({"error": {"type": "invalid_request_error"}})
    assert failed is not None
    assert failed.error_class == "validation"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": {"type": "rate_limit_error"}},
        {"error": {"code": "rate_limit_exceeded"}},
        {"type": "error", "code": "rate_limit_exceeded", "message": "slow down"},
        {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}},
    ],
)
def test_an_error_in_a_stream_is_known_in_the_form_of_each_wire(event: dict[str, Any]) -> None:
    failed = failure_in_stream(event)
    assert failed is not None
    assert failed.error_class == "rate_limited"
