"""The conformance suite fails where it should."""

from collections.abc import Callable
from typing import Any

import pytest
from fairlead_sdk import Call, Effect, Idempotency, Tool
from fairlead_sdk.conformance import ConnectorSuite
from fairlead_sdk.testing import Example

from tests.support.connectors import Bill, BillsConnector, manifest, pay, tool


class Ledger:
    async def pay(self, arguments: Bill, call: Call) -> Bill:
        return await pay(arguments, call)


SHARED = Ledger()
READ: dict[str, Any] = {"effect": Effect.READ, "idempotency": Idempotency.NATURAL, "writes": ()}


def suite(*tools: Tool[Any, Any]) -> ConnectorSuite:
    class Suite(ConnectorSuite):
        connector = staticmethod(lambda: BillsConnector(manifest(*tools)))

    return Suite()


def test_a_connector_whose_tools_belong_to_it_passes() -> None:
    class Owning(ConnectorSuite):
        connector = staticmethod(lambda: BillsConnector(manifest(tool("bills.list", run=Ledger().pay, **READ))))
        examples = (Example(tool="bills.list", arguments={"number": "B-1", "amount": 5}),)

    checks = [name for name in dir(Owning) if name.startswith("test_")]
    assert checks
    for name in checks:
        getattr(Owning(), name)()


@pytest.mark.parametrize(
    ("tools", "check"),
    [
        ((tool(description=""),), ConnectorSuite.test_the_connector_check_finds_nothing),
        ((tool(run=SHARED.pay),), ConnectorSuite.test_two_of_it_share_no_object_that_serves_calls),
        ((tool(**READ),), ConnectorSuite.test_names_do_not_belittle_effects),
        ((tool("bills.delete_all"),), ConnectorSuite.test_names_do_not_belittle_effects),
        ((tool("bills.list"),), ConnectorSuite.test_names_do_not_belittle_effects),
        (
            (tool(description="Same."), tool("bills.send", description="Same.")),
            ConnectorSuite.test_descriptions_tell_the_tools_apart,
        ),
        ((tool("bills.list", preview=pay, **READ),), ConnectorSuite.test_only_tools_with_an_effect_are_previewed),
    ],
)
def test_a_connector_that_breaks_a_promise_fails(
    tools: tuple[Tool[Any, Any], ...], check: Callable[[ConnectorSuite], None]
) -> None:
    with pytest.raises(AssertionError):
        check(suite(*tools))


def test_a_manifest_that_depends_on_more_than_the_class_fails() -> None:
    titles = iter(["First", "Second"])

    class Moody(ConnectorSuite):
        connector = staticmethod(lambda: BillsConnector(manifest(title=next(titles))))

    with pytest.raises(AssertionError):
        Moody().test_its_manifest_is_the_same_each_time_it_is_built()
