"""What a call of a model costs: dated rates, a tenant's own before those that everybody has.

What nobody knows the price of is refused, and never free. Whoever records a cost records the version of the table too.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from fairlead.domain.errors import NotFound
from fairlead.domain.instant import Instant
from fairlead.domain.models.answer import Usage
from fairlead.domain.money import UsdMicros

PER = 1_000_000  # tokens that a rate is for
ANY_END = "*"  # at the end of a model's name: every name that begins so
DIGIT, DIGITS = "#", frozenset("0123456789")

Rate = Annotated[int, Meta(ge=0, le=10**12)]


class PriceUnknown(NotFound):
    """No table has a price for this model at this time."""

    code = "price_unknown"

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(f"nobody has said what {model} of {provider} costs")


class Charged(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Millionths of a US dollar for a million tokens of each kind.

    What came from a cache, went into one, or was thinking, costs like other input and output where nothing is said;
    what a cache keeps for an hour costs like what else goes into one.
    """

    input: Rate
    output: Rate
    cached_input: Rate | None = None
    cache_write: Rate | None = None
    long_cache_write: Rate | None = None
    reasoning: Rate | None = None

    @property
    def dearest_input(self) -> int:
        return max(self.input, self.cached_input or 0, self.cache_write or 0, self.long_cache_write or 0)

    @property
    def dearest_output(self) -> int:
        return max(self.output, self.reasoning or 0)

    def counted(self, usage: Usage) -> int:
        """Millionths of a US dollar, times a million."""
        plain_input = max(0, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens)
        plain_output = max(0, usage.output_tokens - usage.reasoning_tokens)
        short_write = max(0, usage.cache_write_tokens - usage.long_cache_write_tokens)
        of_write = _or(self.cache_write, self.input)
        return (
            plain_input * self.input
            + usage.cached_input_tokens * _or(self.cached_input, self.input)
            + short_write * of_write
            + usage.long_cache_write_tokens * _or(self.long_cache_write, of_write)
            + plain_output * self.output
            + usage.reasoning_tokens * _or(self.reasoning, self.output)
        )


class Tier(Charged, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What every token of a call costs that reads more than `above`."""

    above: Annotated[int, Meta(ge=1, le=10**9)]


class Rates(Charged, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a model costs from `valid_from` until later rates of the same name. `call` is for the call itself.

    `model` is a name; `#` in it stands for one digit, and `*` at its end for any end.
    """

    provider: Annotated[str, Meta(min_length=1, max_length=100)]
    model: Annotated[str, Meta(min_length=1, max_length=200)]
    valid_from: Instant
    call: Rate = 0
    tiers: Annotated[tuple[Tier, ...], Meta(max_length=8)] = ()

    def names(self, provider: str, model: str) -> bool:
        return self.provider == provider and is_named(self.model, model)

    def cost(self, usage: Usage) -> UsdMicros:
        """Rounded up, so that we never count less than the provider's invoice."""
        charged: Charged = self
        for tier in sorted(self.tiers, key=lambda tier: tier.above):
            if usage.input_tokens > tier.above:
                charged = tier
        return UsdMicros(-(-charged.counted(usage) // PER) + self.call)

    def bound(self, input_size_bytes: int, max_output_tokens: int) -> UsdMicros:
        """The most that a call of this size can cost, whatever is cached: no token is shorter than a byte."""
        possible: list[Charged] = [self, *(tier for tier in self.tiers if input_size_bytes > tier.above)]
        dearest_input = max(each.dearest_input for each in possible)
        dearest_output = max(each.dearest_output for each in possible)
        counted = input_size_bytes * dearest_input + max_output_tokens * dearest_output
        return UsdMicros(-(-counted // PER) + self.call)


def is_named(pattern: str, model: str) -> bool:
    """Whether the pattern of rates is meant for this model. Letters count alike, large or small."""
    beginning, model = pattern.removesuffix(ANY_END).lower(), model.lower()
    if len(model) != len(beginning) and (not pattern.endswith(ANY_END) or len(model) < len(beginning)):
        return False
    if DIGIT not in beginning:
        return model.startswith(beginning)
    return all(
        wanted == found or (wanted == DIGIT and found in DIGITS)
        for wanted, found in zip(beginning, model, strict=False)
    )


def _or(rate: int | None, usual: int) -> int:
    return usual if rate is None else rate


class PriceTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of what somebody says of prices. A later version is another document."""

    version: Annotated[str, Meta(min_length=1, max_length=100)]
    rates: Annotated[tuple[Rates, ...], Meta(max_length=5_000)]

    def rates_of(self, provider: str, model: str, at: datetime) -> Rates | None:
        """Those in force at that time: a full name before one with open digits, that before the beginning of one, and a
        longer beginning before a shorter."""
        found = [each for each in self.rates if each.valid_from <= at and each.names(provider, model)]
        return max(found, key=_rank, default=None)


class PriceIndex:
    """A table to look up many calls in."""

    def __init__(self, table: PriceTable) -> None:
        self.version = table.version
        sold: dict[str, list[Rates]] = {}
        for rates in table.rates:
            sold.setdefault(rates.provider, []).append(rates)
        self._sold = {name: PriceTable(version=table.version, rates=tuple(found)) for name, found in sold.items()}

    def rates_of(self, provider: str, model: str, at: datetime) -> Rates | None:
        """As the table says it."""
        sold = self._sold.get(provider)
        return None if sold is None else sold.rates_of(provider, model, at)


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


def _rank(rates: Rates) -> tuple[bool, bool, int, datetime]:
    return not rates.model.endswith(ANY_END), DIGIT not in rates.model, len(rates.model), rates.valid_from
