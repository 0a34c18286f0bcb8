"""What a writer of a wire is told and gives back."""

from typing import Any

from msgspec import Struct


class Written(Struct, frozen=True, kw_only=True):
    """`left_out` names what this wire has no place for; none of it changes what is asked, or it would be refused."""

    body: dict[str, Any]
    left_out: tuple[str, ...] = ()


class Dialect(Struct, frozen=True, kw_only=True):
    """In what providers of one wire differ."""

    max_tokens_field: str = "max_completion_tokens"
    default_max_tokens: int = 4_096


STANDARD = Dialect()
