"""What is spent: millionths of a US dollar, tokens, calls. Whole numbers, never below zero."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

Dimension = Literal["usd_micros", "tokens", "calls"]
DIMENSIONS: tuple[Dimension, ...] = ("usd_micros", "tokens", "calls")
MOST = 10**15  # a billion dollars
Number = Annotated[int, Meta(ge=0, le=MOST)]


class Amount(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    usd_micros: Number = 0
    tokens: Number = 0
    calls: Number = 0

    def plus(self, other: "Amount") -> "Amount":
        return Amount(
            usd_micros=self.usd_micros + other.usd_micros,
            tokens=self.tokens + other.tokens,
            calls=self.calls + other.calls,
        )

    def minus(self, other: "Amount") -> "Amount":
        """What was never added cannot be taken away."""
        left = Amount(
            usd_micros=self.usd_micros - other.usd_micros,
            tokens=self.tokens - other.tokens,
            calls=self.calls - other.calls,
        )
        assert min(left.usd_micros, left.tokens, left.calls) >= 0, "less than nothing"
        return left

    def of(self, dimension: Dimension) -> int:
        number: int = getattr(self, dimension)
        return number

    def beyond(self, bound: "Amount") -> "Amount":
        """What of this goes past the bound, in each dimension."""
        return Amount(
            usd_micros=max(0, self.usd_micros - bound.usd_micros),
            tokens=max(0, self.tokens - bound.tokens),
            calls=max(0, self.calls - bound.calls),
        )


NOTHING = Amount()


class Caps(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The most of each; None is without end."""

    usd_micros: Number | None = None
    tokens: Number | None = None
    calls: Number | None = None

    def __iter__(self) -> Iterator[tuple[Dimension, int]]:
        """Those that are set."""
        for dimension in DIMENSIONS:
            most: int | None = getattr(self, dimension)
            if most is not None:
                yield dimension, most
