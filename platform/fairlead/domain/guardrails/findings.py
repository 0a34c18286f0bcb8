"""What a guardrail finds, and what is done about it as configured."""

from collections.abc import Iterable
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

Side = Literal["input", "output"]
Wish = Literal["off", "note", "mark", "redact", "block"]
Action = Literal["noted", "marked", "redacted", "blocked"]
ACTION_OF: dict[str, Action] = {"note": "noted", "mark": "marked", "redact": "redacted", "block": "blocked"}
MAX_FINDINGS = 50  # of one text or value; what is done about it does not stop there


class Finding(Struct, frozen=True, kw_only=True):
    """`where` is a JSON Pointer into what was looked at, never the text; `detector` also says the kind, as in
    `injection.override`."""

    detector: str
    version: int
    where: str
    action: Action


class Span(Struct, frozen=True):
    """A piece of a text, and what it was taken for."""

    start: int
    end: int
    kind: str


class Detector(Protocol):
    name: str
    version: int

    def find(self, text: str) -> Iterable[Span]:
        """In time that is proportional to the text."""


class Guards(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is done about each kind of finding on one side.

    `note` records it, `mark` also says so beside the text, `redact` takes the piece out, `block` the whole text: on the
    way in a model reads that something was left out, on the way out its answer is not used.
    """

    injection: Annotated[Wish, Meta(description="Texts that give orders to a model.")] = "mark"
    secrets: Annotated[Wish, Meta(description="Keys, tokens, passwords.")] = "redact"
    personal_data: Annotated[Wish, Meta(description="Accounts, cards and national numbers whose check digits fit.")] = (
        "note"
    )
    size: Annotated[Wish, Meta(description="Texts longer than `max_chars`.")] = "block"
    max_chars: Annotated[int, Meta(ge=100, le=1_000_000)] = 200_000


class Guardrails(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`input` is what tools, people and documents said; `output` what the model says."""

    input: Guards = Guards()
    output: Guards = Guards(injection="note", secrets="block")
