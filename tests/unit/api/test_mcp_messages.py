"""Messages of the Model Context Protocol, and what a client is shown, without anybody on the other side."""

from contextlib import suppress
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from fairlead_sdk.contract import Effect
from hypothesis import given
from hypothesis import strategies as st

from fairlead.api.asked_calls import AskedCall, AskedError, PendingApproval
from fairlead.api.mcp import calling, eras, offers
from fairlead.api.mcp.messages import MAX_ID, Message, RpcError, error, message_of, progress, result
from fairlead.domain.ids import ApprovalId, CallId, RunId
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.tools import ToolCatalogue
from fairlead.domain.workflow.validation import validate
from tests.support.clock import T0
from tests.support.documents import EXPRESSIONS, outside_document, tool

REFERRING = {
    "$ref": "#/$defs/Pay",
    "$defs": {
        "Pay": {"type": "object", "properties": {"to": {"$ref": "#/$defs/To"}}, "required": ["to"]},
        "To": {"type": "string", "x-mcp-header": "to"},
    },
}
WAITING = AskedCall(
    call_id=CallId("tcl_x-1"),
    run_id=RunId("run_x"),
    run_status="waiting_for_approval",
    tool="bills.pay",
    step="call[0]",
    status="waiting",
    waits_for="approval",
    approval=PendingApproval(
        approval_id=ApprovalId("apr_x-2"), roles=("reviewer",), count=2, deadline_at=T0, rule_id="r", reason="money"
    ),
)


def rules(*tools: Any, **fields: Any) -> WorkflowRules:
    catalogue = ToolCatalogue(tools)
    plain = outside_document(**({"tools": [each.name for each in tools], "writes": ["payment"]} | fields))
    return WorkflowRules(validate(plain, catalogue, EXPRESSIONS), 1, catalogue, EXPRESSIONS)


def found(body: bytes) -> int:
    with pytest.raises(RpcError) as refused:
        message_of(body)
    assert refused.value.http_status == 400
    return refused.value.code


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd_to_be_refused(body: bytes) -> None:
    with suppress(RpcError):
        assert message_of(body).jsonrpc == "2.0"


@pytest.mark.parametrize(("request_id", "taken"), [("x" * MAX_ID, True), ("x" * (MAX_ID + 1), False), (1.5, False)])
def test_ids_are_bounded(request_id: Any, taken: bool) -> None:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "method": "ping"})
    if taken:
        assert message_of(body).id == request_id
    else:
        assert found(body) == -32600


def test_answers_are_json_rpc_on_one_line() -> None:
    for body in (result(1, {"a": "\n"}), error("x", RpcError(-1, "no", {"b": 1})), progress("t", 1, "m")):
        assert b"\n" not in body
        assert msgspec.json.decode(body)["jsonrpc"] == "2.0"


@pytest.mark.parametrize(
    ("value", "plain"),
    [(None, None), ("pay", "pay"), ("=?base64?w6k=?=", "é"), ("=?base64?!!?=", None), ("=?base64?/w==?=", None)],
)
def test_headers_are_read_as_they_are_written(value: str | None, plain: str | None) -> None:
    assert eras.plain(value) == plain


def test_a_version_is_negotiated_among_those_of_its_era() -> None:
    assert [eras.negotiated(each) for each in ("2025-06-18", "2026-07-28", "1999", None, 7)] == [
        "2025-06-18",
        *["2025-11-25"] * 4,
    ]
    message = Message(jsonrpc="2.0", id=1, method="tools/list")
    assert eras.era_of({}, message) == "handshake"
    assert eras.era_of({"mcp-protocol-version": "2026-07-28"}, message) == "stateless"


def test_what_is_shown_is_the_allow_list_with_schemas_that_begin_with_an_object() -> None:
    pay = tool("bills.pay", effect=Effect.WRITE, writes=("payment",), schema=REFERRING)
    wipe = tool("bills.wipe", effect=Effect.DESTRUCTIVE, writes=("payment",))
    shown = {each["name"]: each for each in offers.listed(rules(pay, wipe))}
    assert list(shown) == ["bills_pay", "bills_wipe", *offers.OWN]
    schema = shown["bills_pay"]["inputSchema"]
    assert (schema["type"], schema["required"], "x-mcp-header" in str(schema)) == ("object", ["to"], False)
    assert jsonschema_rs.is_valid(schema, {"to": "x"})
    assert not jsonschema_rs.is_valid(schema, {"to": 1})
    hints = [(each["annotations"]["readOnlyHint"], each["annotations"]["destructiveHint"]) for each in shown.values()]
    assert hints == [(False, False), (False, True), (True, False), (False, False), (False, False)]


def test_a_tool_that_is_called_like_one_of_the_doors_own_has_another_name() -> None:
    finish = tool("fairlead.finish")
    names = offers.names_of(rules(finish))
    assert names.tool("fairlead_finish") == "fairlead_finish"
    assert names.tool(names.on_wire("fairlead.finish")) == "fairlead.finish"


@pytest.mark.parametrize(
    ("output", "fits", "breaks"),
    [
        ({"type": "object", "required": ["n"]}, {"n": 1}, {}),
        ({"$ref": "#/$defs/N", "$defs": {"N": {"type": "integer"}}}, 1, "x"),
        ({"type": "object", "properties": {"a": {}, "b": {"$ref": "#/properties/a"}}}, {"b": 1}, None),
    ],
)
def test_finishing_asks_for_the_output_of_the_workflow(output: Any, fits: Any, breaks: Any) -> None:
    (finish,) = [each for each in offers.listed(rules(tool("bills.find"), output=output)) if "finish" in each["name"]]
    assert jsonschema_rs.is_valid(finish["inputSchema"], {"output": fits})
    if breaks is not None:
        assert not jsonschema_rs.is_valid(finish["inputSchema"], {"output": breaks})


def test_a_call_that_waits_is_handed_back_as_its_era_has_it() -> None:
    assert calling.told(WAITING, "stateless", 2) == {"resultType": "input_required", "requestState": "tcl_x-1/3"}
    for told in (calling.told(WAITING, "stateless", calling.MOST_ROUNDS), calling.told(WAITING, "handshake")):
        assert told["structuredContent"]["call_id"] == "tcl_x-1"
        assert "approval by 2 of: reviewer (money)" in told["content"][0]["text"]
        assert not told["isError"]


@pytest.mark.parametrize("state", [None, 1, "", "tcl_x-1", "tcl_x-1/", "tcl_x-1/-1", "tcl_x-1/9999", "tcl_x-1/²"])
def test_what_a_client_comes_back_with_is_looked_at(state: Any) -> None:
    with pytest.raises(RpcError):
        calling.named_in(state)
    assert calling.named_in("tcl_x-1/3") == ("tcl_x-1", 3)


@pytest.mark.parametrize("wait_s", [-1, 25.1, "1", True, None])
def test_a_wait_is_bounded(wait_s: Any) -> None:
    with pytest.raises(RpcError):
        calling.wait_of({"wait_s": wait_s})
    assert (calling.wait_of({"wait_s": 25}), calling.wait_of({})) == (25.0, calling.WAIT_S)


def test_outputs_are_told_as_they_are_and_denials_are_errors() -> None:
    done = msgspec.structs.replace(WAITING, status="completed", output={"n": 1}, approval=None)
    assert calling.told(done, "handshake")["structuredContent"] == {"n": 1}
    listed = msgspec.structs.replace(done, output=[1])
    assert "structuredContent" not in calling.told(listed, "stateless")
    error_ = AskedError(error_class="policy", code="denied_by_policy", message="never", rule_id="no")
    denied = calling.told(msgspec.structs.replace(done, status="denied", output=None, error=error_), "stateless")
    assert (denied["isError"], denied["content"][0]["text"]) == (True, "denied: never (rule no)")
