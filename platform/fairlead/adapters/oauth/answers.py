"""What a provider may say, read strictly. What it says goes into no message: only words that we know."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeVar

import msgspec
from fairlead_sdk.outbound import HttpAnswer
from msgspec import Meta, Struct

from fairlead.domain.connections.errors import GrantRefused, ProviderMisfit, ProviderUnavailable
from fairlead.domain.connections.grants import DeviceRequest, Grant
from fairlead.domain.errors import FairleadError

T = TypeVar("T")

MAX_USE = timedelta(hours=1)  # of an access token that can be had anew
MAX_PAUSE_S = 3600
DEFAULT_PAUSE_S = 5

_TEN_YEARS_S = 315_360_000
_Token = Annotated[str, Meta(min_length=1, max_length=16_384, pattern=r"^[!-~]+$")]  # it becomes a header
_Scope = Annotated[str, Meta(max_length=8_192, pattern=r"^[ !#-\[\]-~]*$")]
_Url = Annotated[str, Meta(max_length=2_048, pattern=r"^https?://[!-~]+$")]


class TokenAnswer(Struct, frozen=True, kw_only=True):
    """RFC 6749, 5.1. Fields that we do not know are passed over."""

    access_token: _Token
    token_type: Annotated[str, Meta(max_length=64)]
    expires_in: Annotated[int, Meta(ge=0)] | None = None
    refresh_token: _Token | None = None
    scope: _Scope | None = None
    id_token: _Token | None = None
    issued_token_type: Annotated[str, Meta(max_length=256)] | None = None

    def __repr__(self) -> str:
        return "TokenAnswer(…)"


class _DeviceAnswer(Struct, frozen=True, kw_only=True):
    """RFC 8628, 3.2."""

    device_code: _Token
    user_code: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[ -~]+$")]
    verification_uri: _Url
    expires_in: Annotated[int, Meta(ge=1)]
    verification_uri_complete: _Url | None = None
    interval: Annotated[int, Meta(ge=1, le=MAX_PAUSE_S)] = DEFAULT_PAUSE_S

    def __repr__(self) -> str:
        return "DeviceAnswer(…)"


class _ErrorAnswer(Struct, frozen=True):
    error: Annotated[str, Meta(max_length=64)]


# The person or the provider has ended it, or never gave it: only a new consent helps.
_GRANT_IS_GONE = frozenset(
    {"invalid_grant", "access_denied", "expired_token", "interaction_required", "login_required", "consent_required"}
)
_WAITS = ("authorization_pending", "slow_down")
_LATER = frozenset({"temporarily_unavailable", "server_error", *_WAITS})
# Something is wrong with the client, the connector or the provider; a new consent would not help.
_MISFITS = frozenset(
    {
        "invalid_client",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
        "unsupported_token_type",
    }
)


def token_answer(answer: HttpAnswer) -> TokenAnswer:
    """Raises GrantRefused, ProviderUnavailable, ProviderMisfit."""
    if answer.status != 200:
        raise refusal(answer)
    said = read(answer, TokenAnswer)
    if said is None:
        raise (
            refusal(answer) if _word(answer) else ProviderUnavailable(may_have_happened=True)
        )  # some refuse with a 200
    if said.token_type.lower() != "bearer":
        raise ProviderMisfit("the provider gives other tokens than bearer tokens")
    return said


def granted(
    said: TokenAnswer, asked: tuple[str, ...], sent_at: datetime, *, refresh_token: str | None, renewable: bool
) -> Grant:
    """`refresh_token` is the one that was spent, kept where none took its place. The time counts from when we asked,
    so that the provider's clock does not matter."""
    kept = said.refresh_token or refresh_token
    return Grant(
        access_token=said.access_token,
        refresh_token=kept,
        expires_at=_end(said.expires_in, sent_at, renewable=renewable or kept is not None),
        scopes=asked if said.scope is None else _scopes(said.scope, asked),
    )


def device_answer(answer: HttpAnswer, sent_at: datetime) -> DeviceRequest:
    if answer.status != 200:
        raise refusal(answer)
    said = read(answer, _DeviceAnswer)
    if said is None:
        raise ProviderMisfit("the provider's answer for a device cannot be read")
    return DeviceRequest(
        device_code=said.device_code,
        user_code=said.user_code,
        verification_url=said.verification_uri,
        verification_url_complete=said.verification_uri_complete,
        expires_at=sent_at + timedelta(seconds=min(said.expires_in, _TEN_YEARS_S)),
        interval_s=said.interval,
    )


def waiting(answer: HttpAnswer) -> Literal["authorization_pending", "slow_down"] | None:
    """Whether the person at the device has not decided yet."""
    match _word(answer):
        case "authorization_pending":
            return "authorization_pending"
        case "slow_down":
            return "slow_down"
        case _:
            return None


def refusal(answer: HttpAnswer) -> FairleadError:
    """What an answer means that brings nothing. A gateway may have given it after the provider had done its work."""
    word = _word(answer)
    if word in _GRANT_IS_GONE:
        return GrantRefused(word)
    if answer.status == 429 or word in _LATER:
        return ProviderUnavailable(retry_after_s(answer))
    if answer.status >= 500:
        return ProviderUnavailable(retry_after_s(answer), may_have_happened=True)
    if word in _MISFITS:
        return ProviderMisfit(f"the provider refused: {word}")
    return ProviderMisfit(f"the provider refused with status {answer.status}")


def retry_after_s(answer: HttpAnswer) -> int:
    """What the provider asks for, in seconds, within an hour."""
    asked = answer.headers.get("retry-after", "")
    return min(max(int(asked), 1), MAX_PAUSE_S) if re.fullmatch(r"[0-9]{1,6}", asked) else 1


def read(answer: HttpAnswer, shape: type[T]) -> T | None:
    """None for what is no such object, or deeper than anybody means it."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _word(answer: HttpAnswer) -> str | None:
    said = read(answer, _ErrorAnswer)
    return None if said is None else said.error


def _end(expires_in_s: int | None, sent_at: datetime, *, renewable: bool) -> datetime | None:
    """What can be had anew is not used for longer than an hour, however long it would last."""
    if expires_in_s is None:
        return sent_at + MAX_USE if renewable else None
    lasts = timedelta(seconds=min(expires_in_s, _TEN_YEARS_S))
    return sent_at + (min(lasts, MAX_USE) if renewable else lasts)


def _scopes(said: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    """In the provider's order, each once. GitHub and others put commas between them, against RFC 6749."""
    has_commas = "," in said and " " not in said and not any("," in scope for scope in asked)
    return tuple(dict.fromkeys((said.replace(",", " ") if has_commas else said).split()))
