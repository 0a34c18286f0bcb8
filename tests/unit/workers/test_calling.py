"""Whatever a connector does becomes one classified result, and stays its own affair."""

import asyncio
import math
import sys
from datetime import timedelta
from typing import Any

import pytest
from fairlead_sdk.contract import Call, Effect, Idempotency
from fairlead_sdk.errors import BadArguments, NeedsReconnect, OutcomeUnknown, Refused, ToolError, TryLater
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.plugins import Connectors
from fairlead.domain.ids import RunId
from fairlead.domain.runs import commands as c
from fairlead.domain.runs.outcomes import backoff
from fairlead.domain.runs.states import OpenCall
from fairlead.workers import answering
from fairlead.workers.answering import Result
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Equipping, Place
from tests.support.connections import NoAccounts
from tests.support.connectors import Bill, BillsConnector, known, manifest, remembering, tool
from tests.support.documents import Plain
from tests.support.histories import a_run, requested
from tests.support.switches import FREE

SECRET = "ghp_" + "a1B2" * 9
HERE = Place(TenantId("tnt_1"), "live", WorkspaceId("wsp_1"), EnvironmentId("env_1"), RunId("run_1"))
WITHOUT_ACCOUNTS = Equipping(NoAccounts(), GuardedOutbound(), FREE)


class Throttled(TryLater):
    """A connector's own kind of a known error."""


class Forgetful(ToolError):
    def __init__(self) -> None:
        """Does not call its base."""


class Picky(Struct, frozen=True, forbid_unknown_fields=True):
    number: str
    amount: int

    def __post_init__(self) -> None:
        raise LookupError("a type that finds nothing good enough")


def an_open_call(arguments: Any = None, timeout_s: float = 5.0, tool_name: str = "bills.pay") -> OpenCall:
    request = requested(a_run("tnt_1", 1), 1)
    fields: Plain = {name: getattr(request, name) for name in request.__struct_fields__}
    fields |= {"tool": tool_name, "timeout_s": timeout_s, "arguments": arguments or {"number": "1", "amount": 2}}
    return OpenCall(request=type(request)(**fields), calls_by_tool={}, attempt=1)


async def made(run: Any, open_call: OpenCall | None = None, lost_answer: bool = False, **fields: Any) -> Result:
    connectors = Connectors([BillsConnector(manifest(tool(run=run, **fields)))])
    caller = Caller(known(connectors), WITHOUT_ACCOUNTS, remembering())
    return await caller.call(open_call or an_open_call(), HERE, lost_answer)


def raising(error: BaseException) -> Any:
    async def run(arguments: Any, call: Call) -> Any:
        raise error

    return run


def giving(output: Any) -> Any:
    async def run(arguments: Any, call: Call) -> Any:
        return output

    return run


def erred(result: Result) -> c.CallErred:
    assert isinstance(result, c.CallErred), result
    return result


@pytest.mark.parametrize(
    ("error", "error_class", "code"),
    [
        (TryLater("busy", "busy"), "transient", "busy"),
        (TryLater("busy", "busy", retry_after_s=3), "rate_limited", "busy"),
        (TryLater("busy", "busy", retry_after_s=math.nan), "transient", "busy"),
        (TryLater("busy", "busy", retry_after_s=-1), "transient", "busy"),
        (Throttled("busy"), "transient", "Throttled"),
        (Refused("no", "closed"), "permanent", "closed"),
        (BadArguments("no"), "validation", "BadArguments"),
        (NeedsReconnect("no"), "permission", "NeedsReconnect"),
        (ToolError("no"), "permanent", "ToolError"),
        (Forgetful(), "permanent", "Forgetful"),
        (OutcomeUnknown("lost"), "transient", "transient"),  # the tool honours keys: asking again is harmless
        (TimeoutError(), "timeout", "timeout"),
        (ValueError(SECRET), "transient", "transient"),
        (RecursionError(), "transient", "transient"),
        (SystemExit(3), "transient", "transient"),
        (asyncio.CancelledError(), "transient", "transient"),
        (ExceptionGroup("several", [ValueError(SECRET)]), "transient", "transient"),
        (StopAsyncIteration(), "transient", "transient"),
    ],
)
async def test_every_error_has_its_class(error: BaseException, error_class: str, code: str) -> None:
    result = erred(await made(raising(error)))
    assert (result.error_class, result.code) == (error_class, code)
    assert SECRET not in result.message


@pytest.mark.parametrize("error", [OutcomeUnknown("lost"), TimeoutError(), ValueError("?"), SystemExit(1)])
async def test_a_write_that_cannot_be_repeated_and_gave_no_clear_answer_is_unknown(error: BaseException) -> None:
    result = erred(await made(raising(error), idempotency=Idempotency.NONE))
    assert result.error_class == "unknown_outcome"


async def test_a_clear_no_is_clear_also_for_a_tool_that_cannot_be_repeated() -> None:
    assert erred(await made(raising(Refused("no")), idempotency=Idempotency.NONE)).error_class == "permanent"


async def test_an_interrupt_is_not_a_connectors_to_keep() -> None:
    """Not awaited in a task: an interrupt ends the loop that runs one."""
    asked, said = an_open_call(), manifest(tool(run=raising(KeyboardInterrupt())))
    fitted = await known(Connectors([BillsConnector(said)])).fitted(HERE.tenant_id, "bills.pay", "1.0.0")
    assert fitted is not None
    plain = Call(call_id=asked.request.call_id, attempt=1, idempotency_key="k", settings={})
    async with WITHOUT_ACCOUNTS.equip(plain, fitted, asked.request, HERE, "call") as given:
        with pytest.raises(KeyboardInterrupt):
            await answering.answered(fitted.tool.run, None, given, 1.0)


async def test_our_own_cancelling_ends_the_call() -> None:
    began = asyncio.Event()

    async def run(arguments: Any, call: Call) -> Any:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(made(run))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_has_the_time_its_request_says() -> None:
    async def run(arguments: Any, call: Call) -> Any:
        await asyncio.Event().wait()

    assert erred(await made(run, an_open_call(timeout_s=0.01))).error_class == "timeout"


async def test_a_function_that_is_not_asynchronous_costs_its_call_only() -> None:
    assert erred(await made(lambda arguments, _: arguments)).error_class == "transient"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("output", "code"),
    [
        (object(), "bad_output"),
        ("\ud800", "bad_output"),
        (2**70, "bad_output"),
        (nested(sys.getrecursionlimit() * 2), "bad_output"),
        ({"number": 1, "amount": 2}, "bad_output"),
        (None, "bad_output"),
        ({"number": "x" * answering.MAX_OUTPUT_BYTES, "amount": 1}, "output_too_large"),
    ],
)
async def test_an_output_that_is_not_as_promised_is_a_failed_call(output: Any, code: str) -> None:
    result = erred(await made(giving(output)))
    assert (result.error_class, result.code) == ("validation", code)


@pytest.mark.parametrize(("size", "fits"), [(-1, True), (0, True), (1, False)])
async def test_an_output_may_be_as_large_as_its_limit(size: int, fits: bool) -> None:
    frame = len(b'{"number":"","amount":1}')
    result = await made(giving(Bill(number="x" * (answering.MAX_OUTPUT_BYTES - frame + size), amount=1)))
    assert isinstance(result, c.CallSucceeded) is fits


@pytest.mark.parametrize(
    "arguments", [{"number": 1, "amount": 2}, {"number": "1"}, {"number": "1", "amount": 1, "x": 1}]
)
async def test_arguments_that_do_not_fit_never_reach_the_tool(arguments: Any) -> None:
    result = erred(await made(raising(AssertionError("it was called")), an_open_call(arguments)))
    assert (result.error_class, result.code) == ("validation", "bad_arguments")


async def test_arguments_that_a_connectors_own_type_refuses_are_bad_arguments() -> None:
    result = erred(await made(giving(None), input=Picky))
    assert (result.error_class, result.code) == ("validation", "bad_arguments")


async def test_a_tool_that_is_not_installed_says_so() -> None:
    result = erred(await made(giving(None), an_open_call(tool_name="bills.gone")))
    assert result.code == "tool_missing"


async def test_a_read_whose_answer_was_lost_is_simply_made_again() -> None:
    bill = Bill(number="1", amount=1)
    result = await made(giving(bill), lost_answer=True, effect=Effect.READ, idempotency=Idempotency.NONE, writes=())
    assert isinstance(result, c.CallSucceeded)


@pytest.mark.parametrize("error", [ToolError("?"), TimeoutError(), ValueError("?"), SystemExit(1)])
async def test_a_read_back_that_fails_settles_nothing(error: BaseException) -> None:
    result = erred(await made(giving(None), lost_answer=True, idempotency=Idempotency.NONE, verify=raising(error)))
    assert result.error_class == "unknown_outcome"


async def test_a_read_back_that_says_no_lets_the_call_be_made() -> None:
    bill = Bill(number="1", amount=1)
    result = await made(giving(bill), lost_answer=True, idempotency=Idempotency.NONE, verify=giving(None))
    assert result == c.CallSucceeded(output={"number": "1", "amount": 1})


async def test_settings_are_told_apart_by_tenant_and_environment() -> None:
    seen: list[Any] = []

    async def run(arguments: Any, call: Call) -> Any:
        seen.append(call.settings)
        return arguments

    said = manifest(tool(run=run), settings=("folder",))
    connectors = Connectors([BillsConnector(said)], settings={"bills": {"folder": "/data/{tenant}/{environment}"}})
    await Caller(known(connectors), WITHOUT_ACCOUNTS, remembering()).call(an_open_call(), HERE, lost_answer=False)
    assert seen == [{"folder": "/data/tnt_1/live"}]


@pytest.mark.parametrize("asked_s", [0.0, 1.0, 86_400.0, 1e300])
def test_what_a_counterpart_asks_to_wait_is_honoured_up_to_a_day(asked_s: float) -> None:
    pause = backoff(an_open_call(), asked_s)
    assert timedelta(seconds=min(asked_s, 86_400)) <= pause <= timedelta(days=1)
