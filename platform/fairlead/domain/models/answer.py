"""What a model answers, whole or in pieces."""

from typing import Any, Literal

from fairlead_sdk.models import Wire
from msgspec import Struct

from fairlead.domain.models.content import Extra, Part

FinishReason = Literal["stop", "length", "tool_calls", "content_refused", "context_too_long", "paused", "other"]


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens. `input_tokens` is all that was read, what came from a cache or went into one included;
    `output_tokens` is all that was written, thinking included. `long_cache_write_tokens` are those of
    `cache_write_tokens` that are kept for an hour."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    long_cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    extra: Extra | None = None


class Finish(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why the answer ends. `said` is the provider's word for it, on `wire`."""

    reason: FinishReason
    said: str = ""
    wire: Wire | None = None

    def word(self, wire: Wire, words: "dict[FinishReason, str]") -> str:
        """Its word on a wire, whose own words for the reasons are given."""
        return self.said if self.said and self.wire is wire else words[self.reason]


class ModelAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`usage` is None where the provider did not say; that is never the same as nothing used."""

    answer_id: str
    model: str
    parts: tuple[Part, ...]
    finish: Finish
    usage: Usage | None = None
    created_s: int | None = None  # seconds since 1970
    extra: Extra | None = None


class Began(Struct, frozen=True, kw_only=True, tag="began", omit_defaults=True):
    answer_id: str
    model: str
    created_s: int | None = None
    extra: Extra | None = None


class PartBegan(Struct, frozen=True, kw_only=True, tag="part_began"):
    """`part` is as it is before anything is added: its text may be empty. `at` is its place in the answer."""

    at: int
    part: Part


class PartGrew(Struct, frozen=True, kw_only=True, tag="part_grew", omit_defaults=True):
    """More of the text, thinking, refusal or arguments at that place; `signature` of thinking."""

    at: int
    text: str = ""
    signature: str = ""


class UsageSeen(Struct, frozen=True, kw_only=True, tag="usage_seen"):
    """All so far; the last one counts."""

    usage: Usage


class Finished(Struct, frozen=True, kw_only=True, tag="finished"):
    finish: Finish


class Passed(Struct, frozen=True, kw_only=True, tag="passed"):
    """An event of a wire that we have no word for."""

    wire: Wire
    body: dict[str, Any]


class Noted(Struct, frozen=True, kw_only=True, tag="noted"):
    """Fields of the answer, learned on the way, that we have no word for."""

    extra: Extra


class Ended(Struct, frozen=True, kw_only=True, tag="ended"):
    """The provider's own last word. A stream without it was cut off."""


Delta = Began | PartBegan | PartGrew | UsageSeen | Finished | Passed | Noted | Ended
