"""What the platform asks of any connector, asked of the invoices connector."""

from typing import Any

import pluggy
import pytest
from fairlead_sdk import Connector, Effect, Idempotency, Tool, hookspecs
from fairlead_sdk.contract import input_schema, output_schema

import fairlead_invoices
from fairlead.domain.tools import ToolCatalogue, facts_of
from fairlead_invoices import InvoicesConnector

MANIFEST = InvoicesConnector().manifest


def test_the_hook_registers_one_connector_without_an_event_loop() -> None:
    plugins = pluggy.PluginManager("fairlead")
    plugins.add_hookspecs(hookspecs)
    plugins.register(fairlead_invoices)
    plugins.check_pending()
    found: list[Connector] = []
    plugins.hook.register_connectors(register=found.append)
    assert [connector.manifest.name for connector in found] == ["invoices"]


def test_the_platform_can_use_every_schema() -> None:
    assert len(ToolCatalogue([facts_of(MANIFEST, tool) for tool in MANIFEST.tools])) == len(MANIFEST.tools) == 9


@pytest.mark.parametrize("tool", MANIFEST.tools, ids=lambda tool: tool.name)
def test_every_tool_says_all_that_the_catalogue_shows(tool: Tool[Any, Any]) -> None:
    assert tool.name.startswith("invoices.")
    assert tool.title
    assert tool.description
    assert tool.scopes
    assert 0 < tool.timeout_s <= 20
    for schema in (input_schema(tool), output_schema(tool)):
        assert all(each["additionalProperties"] is False for each in schema["$defs"].values())


@pytest.mark.parametrize("tool", MANIFEST.tools, ids=lambda tool: tool.name)
def test_writes_name_what_they_write_and_can_be_read_back(tool: Tool[Any, Any]) -> None:
    writes = tool.effect is not Effect.READ
    assert bool(tool.writes) == (tool.verify is not None) == writes
    assert tool.idempotency is not Idempotency.NONE
    if tool.name in ("invoices.stage_invoice", "invoices.stage_credit", "invoices.stage_payment"):
        assert tool.preview is not None
