"""A tenant's own prices: what may be said, that versions stay, and whose price counts."""

from datetime import timedelta
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.adapters.memory_log import MemoryLog
from fairlead.domain import price_lists as p
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import Actor
from fairlead.domain.errors import Invalid
from fairlead.domain.ids import CommandId
from fairlead.domain.prices import PriceTable, PriceUnknown, Rates
from fairlead.handling.handler import Cause, Decider, Handler
from fairlead.handling.prices import FRESH_FOR, PriceBook
from tests.support.clock import T0, ManualClock

TENANT, OTHER = TenantId("tnt_a"), TenantId("tnt_b")
RATES = {"provider": "acme", "model": "m-1", "valid_from": "2026-01-01T00:00:00Z", "input": 3, "output": 4}
DOCUMENT: dict[str, Any] = {"fairlead_prices": 1, "rates": [RATES]}
OUTCOME = {"workflow": "refunds", "valid_from": "2026-01-01T00:00:00Z", "usd_micros": 900_000}
SHIPPED = PriceTable(version="shipped", rates=(Rates(provider="vendor", model="*", valid_from=T0, input=1, output=1),))


def codes(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        p.checked(document)
    return [(problem.path, problem.code) for problem in refused.value.problems]


def test_a_document_says_rates_outcomes_and_what_a_review_costs() -> None:
    said = p.checked(
        DOCUMENT
        | {
            "outcomes": [OUTCOME, {**OUTCOME, "account": "harbour", "usd_micros": 700_000}],
            "review": {"minute_usd_micros": 750_000},
            "account_label": "customer",
        }
    )
    assert said.outcome_price("refunds", "harbour", T0) == 700_000
    assert said.outcome_price("refunds", "other", T0) == 900_000
    assert said.outcome_price("claims", "harbour", T0) is None
    assert said.outcome_price("refunds", "harbour", T0 - timedelta(days=365)) is None


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"rates": [RATES, RATES]}, "/rates/0"),
        ({"rates": [{**RATES, "model": "m*1"}]}, "/rates/0/model"),
        ({"rates": [{**RATES, "input": -1}]}, "/rates/0/input"),
        ({"rates": [{**RATES, "input": 0.5}]}, "/rates/0/input"),
        ({"rates": [{**RATES, "free": True}]}, "/rates/0/free"),
        ({"rates": [RATES] * (p.MAX_RATES + 1)}, "/rates"),
        ({"rates": [{**RATES, "valid_from": "2026-01-01T00:00:00"}]}, "/rates/0/valid_from"),
        ({"outcomes": [OUTCOME, OUTCOME]}, "/outcomes/0"),
        ({"outcomes": [{**OUTCOME, "account": "harbour"}]}, "/outcomes/0"),
        ({"fairlead_prices": 2}, "/fairlead_prices"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(change: dict[str, Any], path: str) -> None:
    assert path in [where for where, _ in codes(DOCUMENT | change)]


def publish(version: int | None = None, **change: Any) -> p.PublishPrices:
    return p.PublishPrices(document=DOCUMENT | change, reason="our contract", expected_version=version)


def test_the_same_document_is_no_new_version_and_a_stale_author_is_told() -> None:
    (first,) = p.decide(publish(0), p.initial())
    state = p.evolve(p.initial(), first)
    assert (state.version, p.decide(publish(), state)) == (1, [])
    with pytest.raises(p.PricesMoved):
        p.decide(publish(0, account_label="customer"), state)
    (second,) = p.decide(publish(1, account_label="customer"), state)
    assert (second.version, state.table.version) == (2, "own-1")


async def test_a_tenants_price_comes_before_the_shipped_one_and_is_nobody_elses() -> None:
    log, clock = MemoryLog(Codec(EVENTS, UPCASTERS)), ManualClock()
    handler = Handler(log, clock, {"prices": Decider(initial=p.initial, evolve=p.evolve, decide=p.decide)})
    book = PriceBook(log, clock, SHIPPED, {"api.vendor.example": "vendor"})
    cause = Cause(actor=Actor(kind="person", id=PrincipalId("prn_1")), command_id=CommandId("cmd_1"))
    with pytest.raises(PriceUnknown):
        await book.price(TENANT, "acme", "m-1")
    await handler.handle(p.stream_of(TENANT), publish(), cause)
    clock.forward(FRESH_FOR)
    assert (await book.price(TENANT, "acme", "m-1")).version == "own-1"
    with pytest.raises(PriceUnknown):
        await book.price(OTHER, "acme", "m-1")
    assert (await book.price(OTHER, "compatible", "m-1", host="api.vendor.example")).version == "shipped"
    with pytest.raises(PriceUnknown):
        await book.price(OTHER, "compatible", "m-1", host="api.vendor.example.evil.example")
    assert (await book.version(TENANT, 1)).document == DOCUMENT
    with pytest.raises(p.NoSuchPrices):
        await book.version(OTHER, 1)
