"""What an HTTP answer means: its status as one of the SDK's errors, its JSON, and when to ask again."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from fairlead_sdk.contract import Effect
from fairlead_sdk.errors import BadArguments, NeedsReconnect, OutcomeUnknown, Refused, ToolError, TryLater
from fairlead_sdk.outbound import HttpAnswer

MAX_RETRY_AFTER_S = 24 * 3600.0
SLOW_DOWN_S = 60.0  # what GitHub asks of whoever met its secondary limit and was not told for how long

_SECONDS = re.compile(r"[0-9]{1,9}")
_COUNT = re.compile(r"[0-9]{1,12}")
_JSON = re.compile(r"\s*(?:application|text)/(?:[\w.-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_CODES = {
    401: "unauthorized",
    402: "payment_required",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    410: "gone",
    412: "precondition_failed",
    413: "body_too_large",
    422: "unprocessable",
    423: "locked",
    501: "not_implemented",
}
_SLOW_DOWN = re.compile(rb"secondary rate limit|abuse detection mechanism", re.IGNORECASE)
_SAID_WITHIN_BYTES = 4096
_NOT_YET = frozenset({408, 425, 429, 503})  # each says that the request was not worked on


def succeeded(answer: HttpAnswer, effect: Effect) -> HttpAnswer:
    """The answer itself when its status is 2xx. Raises the error that says what to do next; it quotes no body."""
    if 200 <= answer.status < 300:
        return answer
    raise _error(answer, effect)


def json_of(answer: HttpAnswer, effect: Effect) -> Any:
    """Its body as plain JSON, None for an empty one. After a write, what cannot be read is an unknown outcome."""
    if not answer.body:
        return None
    if not _JSON.fullmatch(answer.headers.get("content-type", "")):
        raise _unreadable(effect, "is not JSON", "wrong_content_type")
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unreadable(effect, "is no proper JSON", "bad_json") from None


def retry_after_s(answer: HttpAnswer) -> float | None:
    """Seconds until it may be asked again, at most a day. Points in time count from the answer's own date.

    Where there is no Retry-After, `x-ratelimit-reset` is read of an answer that says that nothing remains: seconds
    since 1970, or those that are left. An answer that only its text tells to be about too many requests has a minute.
    """
    headers = answer.headers
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):  # no dates, or one of them without a zone
        return None if text else _unsaid_s(answer)
    return min(max(until.total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _unsaid_s(answer: HttpAnswer) -> float | None:
    if _is_used_up(answer):
        return _until_reset_s(answer.headers)
    return SLOW_DOWN_S if _says_slow_down(answer) else None


def _until_reset_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("x-ratelimit-reset", "").strip()
    if not _COUNT.fullmatch(text):
        return None
    left_s = float(text)
    if left_s > MAX_RETRY_AFTER_S:
        try:
            left_s -= parsedate_to_datetime(headers.get("date", "")).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(left_s, 0.0), MAX_RETRY_AFTER_S)


def _error(answer: HttpAnswer, effect: Effect) -> ToolError:
    status = answer.status
    said = f"the counterpart answered {status}"
    code = _CODES.get(status, f"http_{status}")
    if status in _NOT_YET or _is_throttled(answer):
        return TryLater(said, "rate_limited" if status in (403, 429) else code, retry_after_s(answer))
    if status == 401:
        return NeedsReconnect(said, code)
    if status == 400:
        return BadArguments(said, "bad_request")
    if status < 500 or status == 501:
        return Refused(said, "redirected" if 300 <= status < 400 else code)
    if effect is Effect.READ:
        return TryLater(said, code, retry_after_s(answer))
    return OutcomeUnknown(said, code)


def _is_throttled(answer: HttpAnswer) -> bool:
    """Some say 403 for too many requests."""
    return answer.status == 403 and ("retry-after" in answer.headers or _is_used_up(answer) or _says_slow_down(answer))


def _says_slow_down(answer: HttpAnswer) -> bool:
    """GitHub's secondary limits come without a header; what they say is documented."""
    return answer.status in (403, 429) and _SLOW_DOWN.search(answer.body, 0, _SAID_WITHIN_BYTES) is not None


def _is_used_up(answer: HttpAnswer) -> bool:
    return answer.headers.get("x-ratelimit-remaining") == "0"


def _unreadable(effect: Effect, what: str, code: str) -> ToolError:
    kind = TryLater if effect is Effect.READ else OutcomeUnknown
    return kind(f"what the counterpart answered {what}", code)
