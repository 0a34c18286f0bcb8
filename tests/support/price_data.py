"""`make prices`: the price table that ships, from the data of genai-prices. Nothing at run time reads that package.

Taken is what can be said exactly: models that read and write text at rates for tokens, of vendors that speak a wire of
ours at one address and charge what they list. What the table would say otherwise than its source is an error.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from genai_prices import types as g
from genai_prices.data import providers

from fairlead.adapters import shipped_prices
from fairlead.domain.prices import ANY_END, DIGIT, PriceTable, Rates, Tier

VENDORS = frozenset(
    {"anthropic", "cerebras", "deepseek", "fireworks", "google", "groq", "minimax", "mistral", "moonshotai", "openai"}
    | {"together", "x-ai", "zai"}
)
ALWAYS = datetime(2020, 1, 1, tzinfo=UTC)  # of prices without a beginning
KINDS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "long_cache_write",
    "output_reasoning_mtok": "reasoning",
}
# What a vendor's own tools cost, or is sent and written besides text: not asked for by us.
BESIDES = re.compile(r"(web|storage)_searches_kcount|(cache_|input_|output_)(audio|image|video)(_read)?_(mtok|hours)")
MICROS = 1_000_000
FREE = Rates(provider="recorded", model=ANY_END, valid_from=ALWAYS, input=0, output=0)
_DATED = re.compile(r"\^((?:[\w/-]|\\\.)+?)((?:-?\\d(?:\{\d\})?)+)\$")
_REPEATED = re.compile(r"\\d(?:\{(\d)\})?")


def table() -> PriceTable:
    found = [FREE, *(rates for vendor in providers if vendor.id in VENDORS for rates in _of_vendor(vendor))]
    digest = sha256(msgspec.json.encode(found, order="deterministic")).hexdigest()[:8]
    made = PriceTable(version=f"genai-prices-{version('genai-prices')}-{digest}", rates=tuple(found))
    _check(made)
    return made


def _of_vendor(vendor: g.Provider) -> Iterator[Rates]:
    taken: set[str] = set()
    for model in vendor.models:
        for name in dict.fromkeys(_names(model.match)):
            sold = vendor.find_model(_example(name))
            if sold is model and name not in taken and not _is_shadowed(vendor, model, name):
                taken.add(name)
                yield from _dated(vendor.id, name, model)


def _is_shadowed(vendor: g.Provider, model: g.ModelInfo, name: str) -> bool:
    """Whether an earlier model has a say in some of what begins so: its names would have to be listed too."""
    if not name.endswith(ANY_END):
        return False
    earlier = vendor.models[: vendor.models.index(model)]
    return any(each.match.is_match(_example(name)) for each in earlier)


def _names(match: Any) -> Iterator[str]:
    """Those parts of the condition that are a name, a beginning, or a name with a date."""
    match match:
        case g.ClauseEquals(equals=text):
            yield text.lower()
        case g.ClauseStartsWith(starts_with=text):
            yield text.lower() + ANY_END
        case g.ClauseRegex(regex=text):
            if (dated := _DATED.fullmatch(text)) is not None:
                digits = _REPEATED.sub(lambda found: DIGIT * int(found[1] or 1), dated[2])
                yield dated[1].replace("\\", "") + digits
        case g.ClauseOr(or_=clauses):
            for each in clauses:
                yield from _names(each)


def _example(name: str) -> str:
    return name.replace(DIGIT, "7").replace(ANY_END, "-of-some-day")


def _dated(vendor: str, name: str, model: g.ModelInfo) -> Iterator[Rates]:
    """The dearest of what a day may cost counts all day."""
    listed = [(None, model.prices)] if isinstance(model.prices, g.ModelPrice) else [_begun(p) for p in model.prices]
    by_day: dict[date | None, list[g.ModelPrice]] = {}
    for begins, prices in listed:
        by_day.setdefault(begins, []).append(prices)
    said: list[Rates] = []
    for begins in sorted(by_day, key=lambda day: day or date.min):
        kinds = [_charged(prices) for prices in by_day[begins]]
        if None in kinds:
            return  # charged by what we do not count
        at = ALWAYS if begins is None else datetime(begins.year, begins.month, begins.day, tzinfo=UTC)
        fields: dict[str, Any] = max((each for each in kinds if each), key=lambda each: (each["output"], each["input"]))
        said.append(Rates(provider=vendor, model=name, valid_from=at, **fields))
    if all(rates.input or rates.output for rates in said):  # nothing is free by hearsay
        yield from said


def _begun(price: g.ConditionalPrice) -> tuple[date | None, g.ModelPrice]:
    start = price.constraint.start_date if isinstance(price.constraint, g.StartDateConstraint) else None
    return start, price.prices


def _charged(prices: g.ModelPrice) -> dict[str, Any] | None:
    given = {name: value for name, value in prices.__dict__.items() if value is not None}
    if not {"input_mtok", "output_mtok"} <= given.keys():
        return None
    besides = given.keys() - KINDS.keys() - {"requests_kcount"}
    if not all(BESIDES.fullmatch(name) for name in besides):
        return None
    kinds = {ours: given[theirs] for theirs, ours in KINDS.items() if theirs in given}
    tiered = [value for value in kinds.values() if isinstance(value, g.TieredPrices)]
    starts = sorted({tier.start for value in tiered for tier in value.tiers})
    tiers = tuple(Tier(above=at, **{name: _micros(value, at) for name, value in kinds.items()}) for at in starts)
    call = {"call": -(-_micros(given["requests_kcount"], 0) // 1_000)} if "requests_kcount" in given else {}
    return {name: _micros(value, 0) for name, value in kinds.items()} | call | ({"tiers": tiers} if tiers else {})


def _micros(value: Decimal | g.TieredPrices, start: int) -> int:
    """Rounded up."""
    price = value
    if isinstance(value, g.TieredPrices):
        price = ([value.base] + [tier.price for tier in value.tiers if tier.start <= start])[-1]
    assert isinstance(price, Decimal), "a price is a number"
    return int(-(-price * MICROS // 1))


def _check(made: PriceTable) -> None:
    """The table says of every name that it or its source knows what the source says, or nothing."""
    by_id = {vendor.id: vendor for vendor in providers}
    now = datetime(2026, 11, 1, tzinfo=UTC)
    for vendor in VENDORS:
        known = [rates for rates in made.rates if rates.provider == vendor]
        asked = {_example(rates.model) for rates in known} | {model.id for model in by_id[vendor].models}
        for name in asked | {f"{name}-latest" for name in asked}:
            rates = PriceTable(version="", rates=tuple(known)).rates_of(vendor, name, now)
            if rates is None:
                continue
            sold = by_id[vendor].find_model(name)
            said = None if sold is None else _at(list(_dated(vendor, rates.model, sold)), now)
            assert said == rates, f"{name} of {vendor}: {rates} and not {said}"


def _at(rates: list[Rates], now: datetime) -> Rates | None:
    return max((each for each in rates if each.valid_from <= now), key=lambda each: each.valid_from, default=None)


def written(made: PriceTable) -> str:
    """A line for each, so that a difference can be read."""
    lines = [json.dumps(msgspec.to_builtins(rates)) for rates in made.rates]
    return f'{{"version": {json.dumps(made.version)}, "rates": [\n' + ",\n".join(lines) + "\n]}\n"


if __name__ == "__main__":
    Path(shipped_prices.__file__).with_name(shipped_prices.FILE).write_text(written(table()))
