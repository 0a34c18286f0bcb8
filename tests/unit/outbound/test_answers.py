"""What an answer's status means to whoever called."""

import pytest
from fairlead_sdk.answers import MAX_RETRY_AFTER_S, SLOW_DOWN_S, json_of, retry_after_s, succeeded
from fairlead_sdk.contract import Effect
from fairlead_sdk.errors import BadArguments, NeedsReconnect, OutcomeUnknown, Refused, ToolError, TryLater
from fairlead_sdk.outbound import HttpAnswer

NOW = "Sat, 21 Nov 2026 13:00:00 GMT"
AT = 1_795_266_000  # the same in seconds since 1970
USED_UP = {"x_ratelimit_remaining": "0"}
SLOW_DOWN = b'{"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}'


def answer(status: int = 200, body: bytes = b"", **headers: str) -> HttpAnswer:
    return HttpAnswer(status=status, headers={name.replace("_", "-"): v for name, v in headers.items()}, body=body)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_what_worked_is_handed_on(status: int) -> None:
    assert succeeded(answer(status), Effect.WRITE).status == status


@pytest.mark.parametrize(
    ("status", "of_a_read", "of_a_write", "code"),
    [
        (301, Refused, Refused, "redirected"),
        (400, BadArguments, BadArguments, "bad_request"),
        (401, NeedsReconnect, NeedsReconnect, "unauthorized"),
        (403, Refused, Refused, "forbidden"),
        (404, Refused, Refused, "not_found"),
        (408, TryLater, TryLater, "http_408"),
        (409, Refused, Refused, "conflict"),
        (418, Refused, Refused, "http_418"),
        (422, Refused, Refused, "unprocessable"),
        (429, TryLater, TryLater, "rate_limited"),
        (499, Refused, Refused, "http_499"),
        (500, TryLater, OutcomeUnknown, "http_500"),
        (501, Refused, Refused, "not_implemented"),
        (502, TryLater, OutcomeUnknown, "http_502"),
        (503, TryLater, TryLater, "http_503"),
        (504, TryLater, OutcomeUnknown, "http_504"),
    ],
)
def test_a_status_says_what_to_do_next(
    status: int, of_a_read: type[ToolError], of_a_write: type[ToolError], code: str
) -> None:
    for effect, expected in ((Effect.READ, of_a_read), (Effect.WRITE, of_a_write), (Effect.DESTRUCTIVE, of_a_write)):
        with pytest.raises(ToolError) as raised:
            succeeded(answer(status, b'{"token": "hush"}'), effect)
        assert (type(raised.value), raised.value.code) == (expected, code)
        assert "hush" not in str(raised.value)


@pytest.mark.parametrize("headers", [{"retry_after": "7"}, {"x_ratelimit_remaining": "0"}])
def test_too_many_requests_may_be_called_forbidden(headers: dict[str, str]) -> None:
    with pytest.raises(TryLater) as raised:
        succeeded(answer(403, b"", **headers), Effect.WRITE)
    assert raised.value.code == "rate_limited"


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [({}, SLOW_DOWN_S), ({"retry_after": "7"}, 7.0), ({**USED_UP, "x_ratelimit_reset": "90"}, 90.0)],
)
@pytest.mark.parametrize("status", [403, 429])
def test_a_limit_that_only_the_text_tells_of_is_waited_out_for_a_minute_unless_more_is_said(
    status: int, headers: dict[str, str], expected_s: float
) -> None:
    with pytest.raises(TryLater) as raised:
        succeeded(answer(status, SLOW_DOWN, **headers), Effect.WRITE)
    assert (raised.value.code, raised.value.retry_after_s) == ("rate_limited", expected_s)


@pytest.mark.parametrize(
    ("status", "body"), [(403, b" " * 4096 + SLOW_DOWN), (403, b"no rate limit"), (422, SLOW_DOWN)]
)
def test_only_what_is_said_first_of_a_refusal_makes_it_a_limit(status: int, body: bytes) -> None:
    with pytest.raises(Refused):
        succeeded(answer(status, body), Effect.WRITE)


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": " 120 "}, 120.0),
        ({"retry_after": "86400"}, MAX_RETRY_AFTER_S),
        ({"retry_after": "999999999"}, MAX_RETRY_AFTER_S),
        ({"retry_after": "9999999999"}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "1.5"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "soon"}, None),
        ({}, None),
        ({"retry_after": "Sat, 21 Nov 2026 13:00:30 GMT", "date": NOW}, 30.0),
        ({"retry_after": "Saturday, 21-Nov-26 13:00:30 GMT", "date": NOW}, 30.0),
        ({"retry_after": "Sat, 21 Nov 2026 12:00:00 GMT", "date": NOW}, 0.0),
        ({"retry_after": "Sat, 21 Nov 2099 13:00:00 GMT", "date": NOW}, MAX_RETRY_AFTER_S),
        ({"retry_after": "Sat, 21 Nov 2026 13:00:30 GMT"}, None),
        ({"retry_after": "Sat, 21 Nov 2026 13:00:30", "date": NOW}, None),
        ({**USED_UP, "x_ratelimit_reset": str(AT + 30), "date": NOW}, 30.0),
        ({**USED_UP, "x_ratelimit_reset": str(AT - 30), "date": NOW}, 0.0),
        ({**USED_UP, "x_ratelimit_reset": str(AT * 100), "date": NOW}, MAX_RETRY_AFTER_S),
        ({**USED_UP, "x_ratelimit_reset": str(AT + 30)}, None),
        ({**USED_UP, "x_ratelimit_reset": "90"}, 90.0),
        ({**USED_UP, "x_ratelimit_reset": "soon", "date": NOW}, None),
        ({**USED_UP, "x_ratelimit_reset": "90", "retry_after": "5"}, 5.0),
        ({"x_ratelimit_remaining": "3", "x_ratelimit_reset": "90"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_counted_from_the_answers_own(
    headers: dict[str, str], expected_s: float | None
) -> None:
    assert retry_after_s(answer(429, b"", **headers)) == expected_s
    with pytest.raises(TryLater) as raised:
        succeeded(answer(429, b"", **headers), Effect.WRITE)
    assert raised.value.retry_after_s == expected_s


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/problem+json", "text/json"]
)
def test_json_is_read_by_any_of_its_names(kind: str) -> None:
    assert json_of(answer(200, b'{"a": [1]}', content_type=kind), Effect.READ) == {"a": [1]}


def test_an_empty_body_is_nothing() -> None:
    assert json_of(answer(204), Effect.WRITE) is None


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("text/html", b"<h1>sign in</h1>", "wrong_content_type"),
        ("", b"{}", "wrong_content_type"),
        ("application/jsonp", b"{}", "wrong_content_type"),
        ("application/json", b"{", "bad_json"),
        ("application/json", b"\xff\xfe", "bad_json"),
        ("application/json", b"[" * 100_000, "bad_json"),
        ("application/json", b"NaN", "bad_json"),
    ],
)
def test_an_answer_that_is_no_json_leaves_a_write_unknown_and_a_read_for_later(
    kind: str, body: bytes, code: str
) -> None:
    for effect, expected in ((Effect.READ, TryLater), (Effect.WRITE, OutcomeUnknown)):
        with pytest.raises(ToolError) as raised:
            json_of(answer(200, body, content_type=kind), effect)
        assert (type(raised.value), raised.value.code) == (expected, code)
