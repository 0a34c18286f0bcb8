"""What a call of a model costs: dated rates, a tenant's own before those that everybody has.

What nobody knows the price of is refused, and never free. Whoever records a cost records the version of the table too.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from fairlead.domain.errors import Rejected
from fairlead.domain.instant import Instant
from fairlead.domain.models.answer import Usage
from fairlead.domain.money import UsdMicros

PER = 1_000_000  # tokens that a rate is for
ANY_END = "*"  # at the end of a model's name: every name that begins so

Rate = Annotated[int, Meta(ge=0, le=10**12)]


class PriceUnknown(Rejected):
    """No table has a price for this model at this time."""

    code = "price_unknown"

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(f"nobody has said what {model} of {provider} costs")


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Millionths of a US dollar for a million tokens, from `valid_from` until later rates of the same name.

    What came from a cache, went into one, or was thinking, costs like other input and output where nothing is said.
    `call` is for the call itself.
    """

    provider: Annotated[str, Meta(min_length=1, max_length=100)]
    model: Annotated[str, Meta(min_length=1, max_length=200)]
    valid_from: Instant
    input: Rate
    output: Rate
    cached_input: Rate | None = None
    cache_write: Rate | None = None
    reasoning: Rate | None = None
    call: Rate = 0

    def names(self, provider: str, model: str) -> bool:
        if self.provider != provider:
            return False
        if self.model.endswith(ANY_END):
            return model.startswith(self.model.removesuffix(ANY_END))
        return model == self.model

    def cost(self, usage: Usage) -> UsdMicros:
        """Rounded up, so that we never count less than the provider's invoice."""
        plain_input = max(0, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens)
        plain_output = max(0, usage.output_tokens - usage.reasoning_tokens)
        counted = (
            plain_input * self.input
            + usage.cached_input_tokens * self._or(self.cached_input, self.input)
            + usage.cache_write_tokens * self._or(self.cache_write, self.input)
            + plain_output * self.output
            + usage.reasoning_tokens * self._or(self.reasoning, self.output)
        )
        return UsdMicros(-(-counted // PER) + self.call)

    def bound(self, input_size_bytes: int, max_output_tokens: int) -> UsdMicros:
        """The most that a call of this size can cost, whatever is cached: no token is shorter than a byte."""
        dearest_input = max(self.input, self.cached_input or 0, self.cache_write or 0)
        dearest_output = max(self.output, self.reasoning or 0)
        counted = input_size_bytes * dearest_input + max_output_tokens * dearest_output
        return UsdMicros(-(-counted // PER) + self.call)

    @staticmethod
    def _or(rate: int | None, usual: int) -> int:
        return usual if rate is None else rate


class PriceTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of what somebody says of prices. A later version is another document."""

    version: Annotated[str, Meta(min_length=1, max_length=100)]
    rates: Annotated[tuple[Rates, ...], Meta(max_length=5_000)]

    def rates_of(self, provider: str, model: str, at: datetime) -> Rates | None:
        """Those in force at that time: a full name before the beginning of one, a longer beginning before a shorter."""
        found = [each for each in self.rates if each.valid_from <= at and each.names(provider, model)]
        return max(found, key=_rank, default=None)


class Priced(Struct, frozen=True, kw_only=True):
    """`version` is the table's that the rates are from."""

    version: str
    rates: Rates


def price_of(tables: Iterable[PriceTable], provider: str, model: str, at: datetime) -> Priced:
    """From the first of the tables that has one. Raises PriceUnknown."""
    for table in tables:
        if (rates := table.rates_of(provider, model, at)) is not None:
            return Priced(version=table.version, rates=rates)
    raise PriceUnknown(provider, model)


def _rank(rates: Rates) -> tuple[bool, int, datetime]:
    return not rates.model.endswith(ANY_END), len(rates.model), rates.valid_from
