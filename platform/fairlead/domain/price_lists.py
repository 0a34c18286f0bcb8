"""A tenant's own prices: versions of one document that never change. The newest counts for whatever is called next.

What a call has cost was worked out when it was made, and no later version changes it.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from fairlead_tenants.ids import TenantId
from jsonschema_rs import Draft202012Validator
from msgspec import Meta, Struct

from fairlead.domain.envelope import Event, StreamRef
from fairlead.domain.errors import FairleadError, Invalid, NotFound, Problem, Rejected
from fairlead.domain.instant import Instant
from fairlead.domain.money import UsdMicros
from fairlead.domain.prices import ANY_END, DIGIT, PriceTable, Rate, Rates
from fairlead.domain.tenants import limits
from fairlead.domain.workflow.document import NAME
from fairlead.domain.workflow.plain import document_hash, plain_problems, pointer, secret_problems, unseen_problems
from fairlead.domain.workflow.schema import DIALECT, without_nulls
from fairlead.domain.workflow.schemas import compile_schema, problems_of

SCHEMA_ID = "urn:fairlead:prices:1"
MAX_VERSIONS = 1_000
MAX_RATES = 500
MAX_OUTCOMES = 500
MAX_PROBLEMS = 100


class OutcomePrice(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a run of a workflow that has succeeded is paid with, by anybody or by one account alone."""

    workflow: Annotated[str, Meta(pattern=NAME)]
    valid_from: Instant
    usd_micros: Rate
    account: Annotated[str, Meta(max_length=200)] = ""


class ReviewPrice(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a minute of a person costs who decides. `minutes` is what a decision counts that nobody had claimed, and the
    most that one counts."""

    minute_usd_micros: Rate
    minutes: Annotated[int, Meta(ge=1, le=480)] = 5


FREE_REVIEW = ReviewPrice(minute_usd_micros=0)


class PriceList(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`rates` come before those of the table that ships. `account_label` is the label of runs that names whose they
    are."""

    fairlead_prices: Literal[1]
    rates: Annotated[tuple[Rates, ...], Meta(max_length=MAX_RATES)] = ()
    outcomes: Annotated[tuple[OutcomePrice, ...], Meta(max_length=MAX_OUTCOMES)] = ()
    review: ReviewPrice = FREE_REVIEW
    account_label: Annotated[str, Meta(max_length=63)] = ""

    def outcome_price(self, workflow: str, account: str, at: datetime) -> UsdMicros | None:
        """The account's own before everybody's; None where nothing is said."""
        found = [
            each
            for each in self.outcomes
            if each.workflow == workflow and each.account in ("", account) and each.valid_from <= at
        ]
        best = max(found, key=lambda each: (bool(each.account), each.valid_from), default=None)
        return None if best is None else UsdMicros(best.usd_micros)


EMPTY = PriceList(fairlead_prices=1)


class PricesPublished(Event, frozen=True, kw_only=True, tag="prices.published.v1"):
    """From now on calls cost this, where the document speaks of them. `document` is plain data."""

    version: int
    document: dict[str, Any]
    document_hash: str
    reason: str


PriceListEvent = PricesPublished


class PublishPrices(Struct, frozen=True, kw_only=True):
    """`document` has been checked. `expected_version` is the version the author saw, 0 for none, None for any."""

    document: dict[str, Any]
    reason: str
    expected_version: int | None = None


class Prices(Struct, frozen=True, kw_only=True):
    """`last` is None before anything is published."""

    last: PricesPublished | None = None
    list: PriceList = EMPTY

    @property
    def version(self) -> int:
        return self.last.version if self.last else 0

    @property
    def table(self) -> PriceTable:
        return PriceTable(version=f"own-{self.version}", rates=self.list.rates)


class PricesMoved(FairleadError):
    """Somebody published since: look at the newest version and decide again."""

    code = "prices_moved"


class TooManyPriceVersions(Rejected):
    """The tenant's prices have as many versions as they may have."""

    code = "too_many_price_versions"


class NoSuchPrices(NotFound):
    """No prices were published, or no such version of them."""

    code = "prices_not_found"


def stream_of(tenant_id: TenantId) -> StreamRef:
    return StreamRef(tenant_id, "prices", f"prc_{tenant_id.partition('_')[2] or tenant_id}")


def initial() -> Prices:
    return Prices()


def decide(command: PublishPrices, state: Prices) -> list[PriceListEvent]:
    """Raises Invalid, PricesMoved, TooManyPriceVersions. The newest document again is no new version."""
    limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
    if command.expected_version not in (None, state.version):
        raise PricesMoved(f"the newest version is {state.version}")
    digest = document_hash(command.document)
    if state.last is not None and state.last.document_hash == digest:
        return []
    if state.version >= MAX_VERSIONS:
        raise TooManyPriceVersions(f"there are {state.version} versions")
    return [
        PricesPublished(
            version=state.version + 1, document=command.document, document_hash=digest, reason=command.reason
        )
    ]


def evolve(_: Prices, event: PriceListEvent) -> Prices:
    return Prices(last=event, list=msgspec.convert(event.document, PriceList))


@cache
def document_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the document. Treat as read-only: there is one."""
    (root,), components = msgspec.json.schema_components([PriceList], ref_template="#/$defs/{name}")
    definitions = {name: without_nulls(schema) for name, schema in sorted(components.items())}
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **root, "$defs": definitions}


@cache
def _validator() -> Draft202012Validator:
    return compile_schema(document_schema())


def checked(document: Any) -> PriceList:
    """The prices that plain data describes. Raises Invalid with every problem and its path, up to MAX_PROBLEMS."""
    _refuse(plain_problems(document))
    _refuse([*secret_problems(document), *unseen_problems(document)])
    _refuse([problem for error in _validator().iter_errors(document) for problem in problems_of(error, ())])
    try:
        prices = msgspec.convert(document, PriceList)
    except msgspec.ValidationError as wrong:  # an instant without a zone, which a schema does not see
        raise Invalid([Problem(path="", message=str(wrong), code="malformed")], "the prices are not valid") from None
    _refuse([*_rate_problems(prices), *_outcome_problems(prices)])
    return prices


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise Invalid(tuple(problems)[:MAX_PROBLEMS], "the prices are not valid")


def _rate_problems(prices: PriceList) -> Iterator[Problem]:
    named = Counter((each.provider, each.model.lower(), each.valid_from) for each in prices.rates)
    for index, rates in enumerate(prices.rates):
        if named[rates.provider, rates.model.lower(), rates.valid_from] > 1:
            yield _problem("rates_repeated", "says it twice of the same time", "rates", index)
        if ANY_END in rates.model[:-1]:
            message = f"{ANY_END} stands at the end alone, and {DIGIT} for one digit"
            yield _problem("pattern_invalid", message, "rates", index, "model")
        if len({tier.above for tier in rates.tiers}) < len(rates.tiers):
            yield _problem("tiers_repeated", "two tiers begin at the same number of tokens", "rates", index, "tiers")


def _outcome_problems(prices: PriceList) -> Iterator[Problem]:
    named = Counter((each.workflow, each.account, each.valid_from) for each in prices.outcomes)
    for index, price in enumerate(prices.outcomes):
        if named[price.workflow, price.account, price.valid_from] > 1:
            yield _problem("outcomes_repeated", "says it twice of the same time", "outcomes", index)
        if price.account and not prices.account_label:
            yield _problem("account_unknown", "account_label has to name the label of accounts", "outcomes", index)


def _problem(code: str, message: str, *place: str | int) -> Problem:
    return Problem(path=pointer(place), code=code, message=message)
