"""What a provider may say: each bound at, below and above, and each error with what it means."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from fairlead_sdk.outbound import HttpAnswer
from hypothesis import given
from hypothesis import strategies as st

from fairlead.adapters.oauth.answers import device_answer, granted, refusal, retry_after_s, token_answer, waiting
from fairlead.domain.connections.errors import GrantRefused, ProviderMisfit, ProviderUnavailable
from tests.support.clock import T0

TOKEN: dict[str, Any] = {"access_token": "a-token", "token_type": "Bearer", "expires_in": 300}
DEVICE: dict[str, Any] = {
    "device_code": "a-code",
    "user_code": "ABCD-EFGH",
    "verification_uri": "https://id.test/device",
    "expires_in": 600,
}

# Objects that look like answers of a provider, with values of any kind.
JSON: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["access_token", "token_type", "expires_in", "refresh_token", "scope", "error", "id_token"]),
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20) | st.just("bearer") | st.just([]),
)


def answer(body: object, status: int = 200, **headers: str) -> HttpAnswer:
    return HttpAnswer(status=status, headers=headers, body=msgspec.json.encode(body))


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_may_be_spelt_in_any_case(kind: str) -> None:
    assert token_answer(answer(TOKEN | {"token_type": kind})).access_token == "a-token"


@pytest.mark.parametrize("kind", ["DPoP", "mac", "N_A", ""])
def test_tokens_of_other_kinds_are_refused(kind: str) -> None:
    with pytest.raises(ProviderMisfit, match="bearer"):
        token_answer(answer(TOKEN | {"token_type": kind}))


@pytest.mark.parametrize(
    "fields",
    [
        {"access_token": ""},
        {"access_token": None},
        {"access_token": 7},
        {"access_token": "a\r\nX-Injected: 1"},
        {"access_token": "a token"},
        {"access_token": "á"},
        {"access_token": "x" * 16_385},
        {"refresh_token": "a\nb"},
        {"refresh_token": ["a"]},
        {"expires_in": -1},
        {"expires_in": "300"},
        {"expires_in": 1.5},
        {"scope": 'a"b'},
        {"scope": "a\nb"},
        {"scope": ["a", "b"]},
        {"token_type": None},
    ],
    ids=str,
)
def test_an_answer_that_breaks_its_contract_counts_as_none(fields: dict[str, Any]) -> None:
    """The grant may have been spent for it, so it is not asked for again as if nothing had been."""
    with pytest.raises(ProviderUnavailable) as broken:
        token_answer(answer(TOKEN | fields))

    assert broken.value.may_have_happened


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"access_token=a-token&token_type=bearer", b"\xff"])
def test_what_is_no_object_counts_as_no_answer(body: bytes) -> None:
    with pytest.raises(ProviderUnavailable):
        token_answer(HttpAnswer(status=200, headers={}, body=body))


def test_an_answer_that_is_deeper_than_anybody_means_it_counts_as_none() -> None:
    deep = b'{"access_token": "a", "token_type": "bearer", "more": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"

    with pytest.raises(ProviderUnavailable):
        token_answer(HttpAnswer(status=200, headers={}, body=deep))
    assert waiting(HttpAnswer(status=400, headers={}, body=deep)) is None


@given(st.integers(100, 599), st.binary(max_size=200) | JSON.map(msgspec.json.encode))
def test_whatever_comes_is_a_token_or_one_of_three_errors(status: int, body: bytes) -> None:
    with suppress(GrantRefused, ProviderUnavailable, ProviderMisfit):
        assert token_answer(HttpAnswer(status=status, headers={}, body=body)).access_token


def test_a_token_may_have_all_the_characters_of_a_header_and_a_bound() -> None:
    longest = "".join(chr(33 + number % 94) for number in range(16_384))

    assert token_answer(answer(TOKEN | {"access_token": longest, "more": {"of": "it"}})).access_token == longest


@pytest.mark.parametrize(
    ("said", "asked", "scopes"),
    [
        (None, ("a", "b"), ("a", "b")),
        ("a", ("a", "b"), ("a",)),
        ("b a c", ("a",), ("b", "a", "c")),
        ("", ("a",), ()),
        ("a  a b", ("a",), ("a", "b")),
        ("repo,gist", ("repo",), ("repo", "gist")),
        ("a,b", ("a,b",), ("a,b",)),
        ("a,b c", ("c",), ("a,b", "c")),
    ],
)
def test_the_scopes_are_those_that_the_provider_names(
    said: str | None, asked: tuple[str, ...], scopes: tuple[str, ...]
) -> None:
    parsed = token_answer(answer(TOKEN | {"scope": said}))

    assert granted(parsed, asked, T0, refresh_token=None, renewable=False).scopes == scopes


@pytest.mark.parametrize(
    ("expires_in", "refresh_token", "ends_after_s"),
    [
        (300, "r", 300),
        (3600, "r", 3600),
        (3601, "r", 3600),
        (None, "r", 3600),
        (None, None, None),
        (86_400, None, 86_400),
        (0, "r", 0),
        (10**18, None, 315_360_000),
    ],
)
def test_a_token_is_used_for_an_hour_at_most_where_there_is_a_way_to_the_next(
    expires_in: int | None, refresh_token: str | None, ends_after_s: int | None
) -> None:
    """One that cannot be had anew is used until it ends: the only alternative is to ask the person each hour."""
    parsed = token_answer(answer(TOKEN | {"expires_in": expires_in, "refresh_token": refresh_token}))

    ends_at = granted(parsed, (), T0, refresh_token=None, renewable=False).expires_at

    assert ends_at == (None if ends_after_s is None else T0 + timedelta(seconds=ends_after_s))


@pytest.mark.parametrize("word", ["invalid_grant", "access_denied", "expired_token", "consent_required"])
def test_a_grant_that_is_gone_is_told_from_everything_else(word: str) -> None:
    for status in (200, 400, 401, 403):
        with pytest.raises(GrantRefused) as gone:
            token_answer(answer({"error": word}, status))
        assert gone.value.error == word


@pytest.mark.parametrize("word", ["invalid_client", "invalid_scope", "unsupported_grant_type", "invalid_target"])
def test_what_a_new_consent_would_not_mend_is_a_misfit(word: str) -> None:
    with pytest.raises(ProviderMisfit, match=word):
        token_answer(answer({"error": word}, 400))


def test_a_word_that_we_do_not_know_is_not_repeated() -> None:
    refused = refusal(answer({"error": "a_secret_word"}, 400))

    assert isinstance(refused, ProviderMisfit)
    assert str(refused) == "the provider refused with status 400"


@pytest.mark.parametrize(
    ("asked", "pause_s"),
    [("", 1), ("0", 1), ("1", 1), ("3600", 3600), ("3601", 3600), ("999999", 3600), ("-5", 1), ("1.5", 1), ("²", 1)],
)
def test_a_pause_is_what_was_asked_for_within_an_hour(asked: str, pause_s: int) -> None:
    assert retry_after_s(answer({}, 503, **{"retry-after": asked})) == pause_s


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"error": "authorization_pending"}, "authorization_pending"),
        ({"error": "slow_down"}, "slow_down"),
        ({"error": "expired_token"}, None),
        (TOKEN, None),
        ([], None),
    ],
)
def test_a_device_waits_for_two_words_only(said: object, expected: str | None) -> None:
    assert waiting(answer(said, 400)) == expected


def test_a_device_is_told_where_to_send_the_person_and_how_often_to_ask() -> None:
    request = device_answer(answer(DEVICE), T0)

    assert (request.user_code, request.verification_url, request.interval_s) == (
        "ABCD-EFGH",
        "https://id.test/device",
        5,
    )
    assert request.expires_at == T0 + timedelta(seconds=600)
    assert device_answer(answer(DEVICE | {"interval": 3600}), T0).interval_s == 3600


@pytest.mark.parametrize(
    "fields",
    [
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "https://id.test/a b"},
        {"verification_uri_complete": "data:text/html,x"},
        {"user_code": "A\x1b[2J"},
        {"user_code": "A" * 65},
        {"device_code": ""},
        {"interval": 0},
        {"interval": 3601},
        {"expires_in": 0},
    ],
    ids=str,
)
def test_what_a_person_would_be_shown_is_checked(fields: dict[str, Any]) -> None:
    with pytest.raises(ProviderMisfit):
        device_answer(answer(DEVICE | fields), T0)
