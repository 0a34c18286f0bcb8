"""Calls through this door, and what a client is told of them.

A call that is not over when the wait is: a client of the stateless era is asked to come back with the state that it is
given, a client of a session is given the call's id to wait with. After some rounds the former is told the same, since
its library gives up then.
"""

from typing import Any

import msgspec

from fairlead.api.acting import Act
from fairlead.api.asked_calls import AskedCall, load_asked
from fairlead.api.mcp.eras import Era
from fairlead.api.mcp.messages import INVALID_PARAMS, RequestId, RpcError
from fairlead.api.mcp.offers import AWAIT, MAX_AWAIT_S, names_of
from fairlead.api.mcp.sessions import Driven
from fairlead.api.parts import ApiParts
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import FairleadError
from fairlead.domain.ids import CallId, RunId, parent_id
from fairlead.domain.runs import commands as c
from fairlead.domain.runs.outside import ask_of
from fairlead.domain.runs.states import Ask

WAIT_S = 20.0
MOST_ROUNDS = 8  # clients' libraries take ten
MAX_TOOL_NAME = 128

Result = dict[str, Any]
_encode = msgspec.json.Encoder().encode


async def ask(act: Act, parts: ApiParts, driven: Driven, request_id: RequestId, name: str, arguments: Any) -> Ask:
    """Ask for a call. What is not among the workflow's tools is asked for as well, so that it is on record."""
    if not isinstance(arguments, dict):
        raise RpcError(INVALID_PARAMS, "arguments must be an object")
    command = c.AskCall(
        ask_id=f"{act.new_id('ask')}/{request_id}",
        tool=names_of(driven.rules).tool(name) or name[:MAX_TOOL_NAME],
        arguments=arguments,
        door="mcp",
        principal_id=act.principal.principal_id,
        now=parts.clock.now(),
    )
    return ask_of((await act.handle(driven.stream, command)).state, command.ask_id)


async def asked_before(act: Act, parts: ApiParts, call_id: Any) -> tuple[StreamRef, Ask]:
    """A call of the principal's own, in whichever run. Raises NoSuchRun, NoSuchCall, RpcError."""
    if not isinstance(call_id, str) or not call_id.startswith("tcl_"):
        raise RpcError(INVALID_PARAMS, "call_id must be one that an answer had")
    return await load_asked(parts, act.principal, RunId(parent_id("run", call_id)), call_id)


def named_in(state: Any) -> tuple[CallId, int]:
    """The call and the round that a client comes back with. Raises RpcError."""
    call_id, _, rounds = state.partition("/") if isinstance(state, str) else ("", "", "")
    if not (rounds.isascii() and rounds.isdigit() and len(rounds) < 4):
        raise RpcError(INVALID_PARAMS, "requestState must be what an answer had")
    return CallId(call_id), int(rounds)


def wait_of(arguments: Any) -> float:
    wait_s = arguments.get("wait_s", WAIT_S)
    if isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not 0 <= wait_s <= MAX_AWAIT_S:
        raise RpcError(INVALID_PARAMS, f"wait_s must be from 0 to {MAX_AWAIT_S:g}")
    return float(wait_s)


def told(call: AskedCall, era: Era, rounds: int = 0) -> Result:
    """What the client is answered."""
    if not call.is_final and era == "stateless" and rounds < MOST_ROUNDS:
        return {"resultType": "input_required", "requestState": f"{call.call_id}/{rounds + 1}"}
    match call.status:
        case "completed":
            return _result(call.output)
        case "skipped":
            return _result({"status": "skipped"} if call.output is None else call.output)
        case "waiting":
            said = f"This call waits for {_what(call)}. Ask again with {AWAIT}; do not make the call once more."
            return _result(_plain(call), said)
        case _:
            said = call.error.message if call.error else "the run has ended"
            rule = f" (rule {call.error.rule_id})" if call.error and call.error.rule_id else ""
            return _result(_plain(call), f"{call.status}: {said}{rule}", is_error=True)


def refused(error: FairleadError) -> Result:
    """For the model to read and do otherwise."""
    faults = [{"path": each.path, "message": each.message} for each in getattr(error, "problems", ())]
    said = {"status": "refused", "code": error.code, "message": str(error), "errors": faults}
    lines = [str(error), *(f"{each['path']}: {each['message']}" for each in faults)]
    return _result(said, "; ".join(lines), is_error=True)


def said_of(call: AskedCall) -> str:
    """For people who watch progress."""
    return call.status if call.is_final else f"waits for {_what(call)}"


def _what(call: AskedCall) -> str:
    if call.approval is not None:
        return f"approval by {call.approval.count} of: {', '.join(call.approval.roles)} ({call.approval.reason})"
    return {"work": "its turn", "run": "its run to go on", None: "its turn"}.get(call.waits_for, str(call.waits_for))


def _plain(call: AskedCall) -> Result:
    shown: Result = msgspec.to_builtins(call)
    return {name: value for name, value in shown.items() if value is not None}


def _result(value: Any, text: str | None = None, *, is_error: bool = False) -> Result:
    """As text for models, and as it is for programs, which both eras take when it is an object."""
    said = _encode(value).decode() if text is None else text
    found: Result = {"content": [{"type": "text", "text": said}], "isError": is_error}
    if isinstance(value, dict):
        found["structuredContent"] = value
    return found
