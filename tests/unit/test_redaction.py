"""No secret reaches an event, and what only looks like one stays readable."""

import timeit
from typing import Any

import msgspec
import pytest
from fairlead_tenants.ids import TenantId
from fairlead_tenants.keys import key_text
from hypothesis import given
from hypothesis import strategies as st

from fairlead.domain.redaction import MAX_BYTES, MAX_DEPTH, MAX_PATHS, SECRET_NAMES, redact, redact_text

OUR_KEY = key_text("live", TenantId("tnt_" + "0" * 26), "Q" * 43)
BODY = "A1b2C3d4E5f6G7h8J9k0L1m2N3p4Q5r6S7t8"  # 36 characters of nothing
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n{BODY}\n-----END RSA PRIVATE KEY-----"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{BODY}"

# kind, a text with the secret in it, the secret, what is left
PLANTED = [
    ("fairlead_key", f"key {OUR_KEY} was used", OUR_KEY, "key [redacted:fairlead_key] was used"),
    ("aws_access_key", "id AKIAABCDEFGHIJKLMNOP.", "AKIAABCDEFGHIJKLMNOP", "id [redacted:aws_access_key]."),
    ("github_token", f"ghp_{BODY}", f"ghp_{BODY}", "[redacted:github_token]"),
    ("github_token", f"<gho_{BODY}>", f"gho_{BODY}", "<[redacted:github_token]>"),
    ("github_token", f"github_pat_{BODY}_{BODY}", BODY, "[redacted:github_token]"),
    ("gitlab_token", f"glpat-{BODY}", BODY, "[redacted:gitlab_token]"),
    ("slack_token", "xoxb-" + "1234567890-abcDEF", "1234567890-abcDEF", "[redacted:slack_token]"),
    ("slack_webhook", "https://hooks.slack.com/" + f"services/T0/B0/{BODY}", BODY, "https://[redacted:slack_webhook]"),
    ("stripe_key", "sk_live_" + BODY, BODY, "[redacted:stripe_key]"),
    ("model_provider_key", f"sk-ant-{BODY}", BODY, "[redacted:model_provider_key]"),
    ("model_provider_key", f"sk-{BODY}", BODY, "[redacted:model_provider_key]"),
    ("google_key", f"AIza{BODY[:35]}", BODY[:35], "[redacted:google_key]"),
    ("package_token", f"npm_{BODY}", BODY, "[redacted:package_token]"),
    ("sendgrid_key", f"SG.{BODY}.{BODY}", BODY, "[redacted:sendgrid_key]"),
    ("private_key", f"before {PEM} after", BODY, "before [redacted:private_key] after"),
    ("private_key", PEM.partition("-----END")[0], BODY, "[redacted:private_key]"),
    ("private_key", PEM.replace("RSA ", ""), BODY, "[redacted:private_key]"),
    ("jwt", f"got {JWT}!", BODY, "got [redacted:jwt]!"),
    ("authorization_header", "Authorization: Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy",
     "Authorization: [redacted:authorization_header]"),
    ("authorization_header", '{"authorization": "Bearer hunter2"}', "hunter2",
     '{"authorization": "[redacted:authorization_header]"}'),
    ("authorization_header", "authorization=AWS4-HMAC-SHA256 Credential=a/b, Signature=hunter2\nHost: h", "hunter2",
     "authorization=[redacted:authorization_header]\nHost: h"),
    ("bearer_token", f"sent bearer {BODY}", BODY, "sent [redacted:bearer_token]"),
    ("url_password", "postgresql://app:hunter2@db:5432/x", "hunter2", "postgresql://[redacted:url_password]db:5432/x"),
    ("url_password", "nats://u:p@ss-hunter2@h", "hunter2", "nats://[redacted:url_password]h"),
    ("assigned_secret", "https://x.example/?page=2&access_token=hunter2&z=1", "hunter2",
     "https://x.example/?page=2&access_token=[redacted:assigned_secret]&z=1"),
    ("assigned_secret", "PASSWORD=hunter2 ./run", "hunter2", "PASSWORD=[redacted:assigned_secret] ./run"),
    ("assigned_secret", '{"user": "u", "password" : "hunter 2"}', "hunter 2",
     '{"user": "u", "password" : "[redacted:assigned_secret]"}'),
    ("assigned_secret", r'"{\"client_secret\": \"hunter2\"}"', "hunter2",
     r'"{\"client_secret\": \"[redacted:assigned_secret]\"}"'),
]  # fmt: skip

HARMLESS = [
    "The token count was 1200 of 4096.",
    "Please reset your password: it must have 12 characters.",
    "secret santa = fun",
    "basic authorization is required",
    "The bearer of this letter, Mr. Bearer Instruments",
    "https://example.com:8443/path?user=a@b.example",
    "mailto:ann@harbour.example",
    "http://host:8080/a@b:c@d",
    "task-0123456789abcdef0123456789abcdef",
    "sk-learn is a nickname of scikit-learn",
    "risk_live_assessment and desk_test_results",
    "flk_live",
    "AKIAtoo short and ASIAN markets",
    "eyJ is how many tokens begin",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    "DE89370400440532013000",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "run_01jq3v9d8k0000000000000000 key_01jq3v9d8k0000000000000000",
    "monkey=banana&page_token=abcdef",
    "token=",
]

KEPT_NAMES = [
    "token_count", "tokens", "max_tokens", "next_page_token", "tokenizer", "secretary", "password_policy", "passenger",
    "author", "authority", "authorized_by", "key", "keys", "primary_key", "idempotency_key", "public_key", "api_key_id",
    "key_id", "pinned", "shipping", "cookie_consent", "credential_type", "secret_name", "",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "secret", "left"), PLANTED, ids=[f"{row[0]}-{i}" for i, row in enumerate(PLANTED)])  # fmt: skip  # noqa: E501
def test_a_planted_secret_is_taken_out_and_the_rest_stays(kind: str, text: str, secret: str, left: str) -> None:
    assert secret in text
    assert redact({"output": [{"message": text}]}) == ({"output": [{"message": left}]}, ["/output/0/message"])
    assert f"[redacted:{kind}]" in left
    assert redact_text(text) == left


@pytest.mark.parametrize("text", HARMLESS)
def test_a_near_miss_stays(text: str) -> None:
    value = {"message": text, text: [text]}
    assert redact(value) == (value, [])


@pytest.mark.parametrize(
    "name", [*sorted(SECRET_NAMES), "API-Key", "apiKey", "X-Api-Key", "Client_Secret", "set-cookie"]
)
def test_a_field_with_the_name_of_a_secret_is_emptied_whatever_it_holds(name: str) -> None:
    for held in ("hunter2", 1234, 1.5, ["hunter2"], {"value": "hunter2"}):
        assert redact({name: held, "n": 1}) == ({name: "[redacted:field]", "n": 1}, [f"/{name}"])


@pytest.mark.parametrize("name", KEPT_NAMES)
def test_a_field_with_a_similar_name_stays(name: str) -> None:
    assert redact({name: "hunter2"}) == ({name: "hunter2"}, [])


@pytest.mark.parametrize("held", [None, True, False, "", [], {}])
def test_nothing_is_no_secret(held: object) -> None:
    assert redact({"password": held}) == ({"password": held}, [])


@pytest.mark.parametrize("label", ["name", "key", "header"])
def test_a_labelled_value_is_emptied(label: str) -> None:
    headers = [{label: "Authorization", "value": "hunter2"}, {label: "Accept", "value": "text/xml"}]
    cleaned, paths = redact({"headers": headers})
    assert paths == ["/headers/0/value"]
    assert cleaned["headers"] == [{label: "Authorization", "value": "[redacted:field]"}, headers[1]]


def test_a_secret_as_a_name_is_taken_out_and_two_of_them_stay_two_fields() -> None:
    cleaned, paths = redact({"a": {f"ghp_{BODY}": 1, f"gho_{BODY}": 2}})
    assert cleaned == {"a": {"[redacted:github_token]#0": 1, "[redacted:github_token]#1": 2}}
    assert paths == ["/a/[redacted:github_token]#0", "/a/[redacted:github_token]#1"]


def test_paths_are_json_pointers() -> None:
    assert redact({"a/b": [{"m~n": {"token": "x"}}]})[1] == ["/a~1b/0/m~0n/token"]


def test_several_secrets_of_one_text_all_go() -> None:
    text = f"ghp_{BODY} and xoxb-1234567890-abcdef, postgres://a:hunter2@b and {JWT}"
    cleaned = redact_text(text)
    assert cleaned.count("[redacted:") == 4
    assert "hunter2" not in cleaned


def test_the_argument_stays_as_it_was() -> None:
    value = {"password": "hunter2", "list": [f"ghp_{BODY}"]}
    before = msgspec.json.encode(value)
    redact(value)
    assert msgspec.json.encode(value) == before


def nested(depth: int, inside: object) -> object:
    for _ in range(depth):
        inside = [inside]
    return inside


def test_what_is_nested_too_deep_to_read_is_taken_out() -> None:
    at_limit = nested(MAX_DEPTH, "hunter2")
    assert redact(at_limit) == (at_limit, [])
    cleaned, paths = redact(nested(MAX_DEPTH + 1, "hunter2"))
    assert b"hunter2" not in msgspec.json.encode(cleaned)
    assert paths == ["/0" * MAX_DEPTH]
    assert redact(nested(100_000, "x")) == ("[redacted:unreadable]", [""])


def test_what_is_too_long_to_read_is_taken_out() -> None:
    assert redact("x" * (MAX_BYTES - 2)) == ("x" * (MAX_BYTES - 2), [])
    assert redact("x" * (MAX_BYTES - 1)) == ("[redacted:too_long]", [""])
    assert redact_text("x" * (MAX_BYTES + 1)) == "[redacted:too_long]"


def test_what_is_no_json_is_taken_out() -> None:
    assert redact({"a": object()}) == ("[redacted:unreadable]", [""])


def test_no_more_paths_are_reported_than_stated_and_every_secret_goes_all_the_same() -> None:
    cleaned, paths = redact([{"token": "hunter2"}] * (MAX_PATHS + 5))
    assert len(paths) == MAX_PATHS
    assert b"hunter2" not in msgspec.json.encode(cleaned)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_redacting_twice_changes_nothing_more(value: Any) -> None:
    once, _ = redact(value)
    assert redact(once)[0] == once


@given(json_values, st.sampled_from([OUR_KEY, f"ghp_{BODY}", JWT, PEM]), st.data())
def test_a_secret_is_found_wherever_it_is_planted(value: Any, secret: str, data: st.DataObject) -> None:
    holder = data.draw(st.sampled_from([secret, [secret], {"note": secret}, {secret: 1}]))
    cleaned, paths = redact([value, {"deep": [holder]}])
    assert secret.encode() not in msgspec.json.encode(cleaned)
    assert paths


def test_long_hostile_text_is_read_in_linear_time() -> None:
    def seconds(copies: int) -> float:
        text = "-----BEGIN PRIVATE KEY " * copies + "://a:" * copies + '"token":' * copies + "eyJ" * copies
        return min(timeit.repeat(lambda: redact({"text": text}), number=1, repeat=3))

    assert seconds(16_000) < 40 * max(seconds(2_000), 0.001), "eight times the text, not sixty-four times the time"
