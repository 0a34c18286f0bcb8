"""One tool, one call, one classified result. Whatever a connector raises becomes an error class."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import msgspec
import structlog
from fairlead_sdk.contract import Call, Effect, Idempotency, JsonSchema, Tool
from fairlead_sdk.errors import BadArguments, NeedsReconnect, OutcomeUnknown, Refused, ToolError, TryLater
from fairlead_tenants.ids import TenantId
from msgspec.structs import replace

from fairlead.domain.errors import Problem
from fairlead.domain.runs.commands import CallErred, CallSucceeded, Undone
from fairlead.domain.runs.events import ErrorClass, ToolCallRequested
from fairlead.domain.runs.sagas import undo_key
from fairlead.domain.runs.states import OpenCall
from fairlead.domain.runs.undoing import Undo
from fairlead.domain.tenants.states import Tenant, TenantState
from fairlead.handling.tenant_tools import Fitted
from fairlead.workers.batching import Batches
from fairlead.workers.equipping import Braked, Equipped, Equipping, NoAccess, Place
from fairlead.workers.remembering import Recall, Remembering, is_kept

MAX_OUTPUT_BYTES = 4 * 1024 * 1024
MAX_PREVIEW_BYTES = 1024 * 1024  # more is nothing that a person could look through
_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger()

Result = CallSucceeded | CallErred

_CLASS_OF: dict[type[ToolError], ErrorClass] = {
    TryLater: "transient",
    Refused: "permanent",
    BadArguments: "validation",
    NeedsReconnect: "permission",
}


class Toolbox(Protocol):
    async def fitted(self, tenant_id: TenantId, name: str, version: str) -> Fitted | None:
        """The tool as this tenant has it, in the version that was decided on."""


class ConnectorBroke(Exception):
    """A connector raised what it may not raise. The text is the name of what it was: its message may hold a secret."""


class Caller:
    def __init__(
        self, tools: Toolbox, equipping: Equipping, remembering: Remembering, batches: Batches | None = None
    ) -> None:
        self._tools = tools
        self._equipping = equipping
        self._remembering = remembering
        self._batches = batches or Batches()

    async def recall(self, open_call: OpenCall, place: Place, tenant: TenantState) -> Recall | None:
        """What the same read gave a moment ago, for the account as it is now; None for a call that is always made.

        Raises Unavailable.
        """
        request = open_call.request
        fitted = await self._fitted(request, place)
        if fitted is None or not is_kept(fitted, request) or open_call.approval is not None:
            return None
        try:
            access = await self._equipping.access(fitted, request, place)
        except NoAccess:  # the call will say so
            return None
        disablings = tenant.disablings.get(fitted.manifest.name, 0) if isinstance(tenant, Tenant) else 0
        return await self._remembering.recall(fitted, request, place, access, disablings)

    async def call(
        self, open_call: OpenCall, place: Place, lost_answer: bool, recall: Recall | None = None, beside: int = 0
    ) -> Result:
        """Make the call, or find out what became of it when an earlier worker left no answer.

        `beside`: so many calls of its run that could be made together with this one are on their way.
        """
        request = open_call.request
        fitted = await self._fitted(request, place)
        if fitted is None:
            return CallErred(error_class="permanent", code="tool_missing", message=f"{request.tool} is not installed")
        if open_call.obligations.dry_run:
            return await self._proposed(fitted, open_call, place)
        plain = _plain(fitted, request, open_call.attempt, open_call.key, place)
        try:
            arguments = _arguments(fitted, request.arguments)
            async with self._equipping.equip(plain, fitted, request, place, "call") as given:
                began = time.perf_counter()  # a duration, not a point in time
                together = self._together(fitted, request, place, given, beside)
                result = await self._made(together, arguments, given, request.timeout_s, lost_answer)
                if recall is not None and isinstance(result, CallSucceeded):
                    took_us = round((time.perf_counter() - began) * 1_000_000)
                    self._remembering.keep(recall, given.access, result.output, took_us)
                await self._remembering.wrote(fitted, place, result)
                return result
        except (BadArguments, NoAccess) as refused:
            return _classified(refused, fitted.tool)

    def _together(
        self, fitted: Fitted, request: ToolCallRequested, place: Place, given: Equipped, beside: int
    ) -> Fitted:
        """The same tool, asked about this call and those beside it at once: of one run, through one account."""
        run_many = fitted.tool.run_many
        if run_many is None or not beside:
            return fitted
        key = (place, given.access, request.tool, request.tool_version, request.schema_hash)
        most = min(fitted.tool.max_batch, beside + 1)
        run = partial(self._batches.ask, key, run_many, most, given.look)
        return replace(fitted, tool=replace(fitted.tool, run=run))

    async def _proposed(self, fitted: Fitted, open_call: OpenCall, place: Place) -> Result:
        """What the call would do, where the tool can show it. Nothing is done."""
        try:
            shown = await self._shown(fitted, open_call, place) if fitted.tool.preview else {}
        except (ToolError, NoAccess) as refused:
            return _classified(refused, fitted.tool)
        except TimeoutError:
            message = f"no preview within {open_call.request.timeout_s:g} s"
            return CallErred(error_class="timeout", code="timeout", message=message)
        return CallSucceeded(output={"dry_run": True, "preview": shown}, settled="preview")

    async def _made(
        self, fitted: Fitted, arguments: Any, given: Equipped, timeout_s: float, lost_answer: bool
    ) -> Result:
        if lost_answer and not repeatable(fitted.tool):
            return await self._read_back(fitted, arguments, given, timeout_s, "the worker that began it is gone")
        result = await self._make(fitted, arguments, given, timeout_s)
        if isinstance(result, CallErred) and result.error_class == "unknown_outcome":
            return await self._read_back(fitted, arguments, given, timeout_s, result.message)
        return result

    async def cost_usd_micros(self, open_call: OpenCall, place: Place) -> int:
        """Of one call, as its tool says."""
        fitted = await self._fitted(open_call.request, place)
        return 0 if fitted is None else fitted.tool.cost_usd_micros

    async def preview(self, open_call: OpenCall, place: Place) -> dict[str, Any]:
        """What a person should see before the call, without effect; {} where the tool has nothing to show.

        Raises ToolError and TimeoutError.
        """
        request = open_call.request
        fitted = await self._fitted(request, place)
        if fitted is None:
            return {}
        account = await self._equipping.account(fitted, request, place)
        shown = await self._shown(fitted, open_call, place) if fitted.tool.preview else {}
        return shown if account is None else {**shown, "connection": account}

    async def _shown(self, fitted: Fitted, open_call: OpenCall, place: Place) -> dict[str, Any]:
        request, tool = open_call.request, fitted.tool
        assert tool.preview is not None, "the caller has looked"
        arguments = _arguments(fitted, request.arguments)
        plain = _plain(fitted, request, open_call.attempt, open_call.key, place)
        try:
            async with self._equipping.equip(plain, fitted, request, place, "preview") as given:
                return _showable(await _answer(tool.preview, arguments, given, request.timeout_s))
        except ConnectorBroke as broke:
            _log.error("connector_raised", tool=tool.name, call_id=plain.call_id, error=str(broke))
            raise Refused(f"the preview raised {broke}", "preview_broken") from broke

    async def found(self, open_call: OpenCall, place: Place) -> CallSucceeded | None:
        """The effect, read back, if it can be told that it has happened already; None if it has not happened.

        Raises ToolError and TimeoutError: it cannot be told, for one because the tool has no read-back.
        """
        request = open_call.request
        fitted = await self._fitted(request, place)
        if fitted is None or fitted.tool.verify is None:
            raise OutcomeUnknown(f"{request.tool} has no read-back")
        arguments = _arguments(fitted, request.arguments)
        plain = _plain(fitted, request, open_call.attempt, open_call.key, place)
        async with self._equipping.equip(plain, fitted, request, place, "verify") as given:
            return await self._verified(fitted, arguments, given, request.timeout_s)

    async def undo(self, undo: Undo, place: Place) -> Undone | CallErred:
        """Undo what a call did, under a key of its own. Where nobody knows whether it did, it is looked for first."""
        request = undo.effect.request
        fitted = await self._fitted(request, place)
        if fitted is None or fitted.tool.compensate is None:
            return CallErred(error_class="permanent", code="tool_missing", message=f"nothing undoes {request.tool}")
        tool, plain = fitted.tool, _plain(fitted, request, max(undo.attempt, 1), undo.effect.key, place)
        try:
            arguments = _arguments(fitted, request.arguments)
            async with self._equipping.equip(plain, fitted, request, place, "compensate") as given:
                undone = await self._undone(undo, fitted, arguments, given)
                await self._remembering.wrote(fitted, place, undone)
                return undone
        except ToolError as error:
            return _classified(error, tool)
        except TimeoutError:
            return CallErred(
                error_class="timeout", code="timeout", message=f"no answer within {request.timeout_s:g} s", unclear=True
            )
        except ConnectorBroke as broke:
            _log.error("connector_raised", tool=tool.name, call_id=plain.call_id, error=str(broke))
            return CallErred(
                error_class="transient", code="transient", message=f"the connector raised {broke}", unclear=True
            )

    async def _undone(self, undo: Undo, fitted: Fitted, arguments: Any, given: Equipped) -> Undone:
        """Raises ToolError, TimeoutError, ConnectorBroke."""
        request, compensate = undo.effect.request, fitted.tool.compensate
        assert compensate is not None, "the caller has looked"
        effect = await self._effect(undo, fitted, arguments, given)
        if effect is None:
            return Undone(how="nothing_to_undo")
        output = _output(fitted.tool, effect.output)
        again = given.under(undo_key(request.call_id))
        await _answer(lambda asked, call: compensate(asked, output, call), arguments, again, request.timeout_s)
        return Undone(how="call")

    async def _effect(self, undo: Undo, fitted: Fitted, arguments: Any, given: Equipped) -> CallSucceeded | None:
        """What the call gave; None: it has not happened. Raises ToolError, TimeoutError, ConnectorBroke."""
        if not undo.effect.doubtful:
            return CallSucceeded(output=undo.effect.output)
        if fitted.tool.verify is None:
            raise Refused("nobody knows whether it took effect, and the tool has no read-back", "effect_unknown")
        return await self._verified(fitted, arguments, given, undo.effect.request.timeout_s)

    async def _fitted(self, request: ToolCallRequested, place: Place) -> Fitted | None:
        return await self._tools.fitted(place.tenant_id, request.tool, request.tool_version)

    async def _make(self, fitted: Fitted, arguments: Any, given: Equipped, timeout_s: float) -> Result:
        tool = fitted.tool
        try:
            output = await _answer(tool.run, arguments, given, timeout_s)
        except ToolError as error:
            return _classified(error, tool)
        except TimeoutError:
            return _unanswered(tool, "timeout", f"no answer within {timeout_s:g} s")
        except ConnectorBroke as broke:
            _log.error("connector_raised", tool=tool.name, call_id=given.plain.call_id, error=str(broke))
            return _unanswered(tool, "transient", f"the connector raised {broke}")
        return _checked(fitted, output)

    async def _read_back(self, fitted: Fitted, arguments: Any, given: Equipped, timeout_s: float, why: str) -> Result:
        """Ask the counterpart whether the effect happened. Only a clear yes or no settles it."""
        if fitted.tool.verify is None:
            return CallErred(error_class="unknown_outcome", code="outcome_unknown", message=why)
        try:
            found = await self._verified(fitted, arguments, given, timeout_s)
        except (ToolError, TimeoutError, Braked) as error:
            _log.warning(
                "read_back_failed", tool=fitted.tool.name, call_id=given.plain.call_id, error=type(error).__name__
            )
            return CallErred(error_class="unknown_outcome", code="read_back_failed", message=why)
        return found or await self._make(fitted, arguments, given, timeout_s)

    async def _verified(
        self, fitted: Fitted, arguments: Any, given: Equipped, timeout_s: float
    ) -> CallSucceeded | None:
        """None: it has not happened. Raises ToolError and TimeoutError: it cannot be told."""
        tool = fitted.tool
        assert tool.verify is not None, "the caller has looked"
        try:
            output = await _answer(tool.verify, arguments, given, timeout_s)
        except ConnectorBroke as broke:
            _log.error("connector_raised", tool=tool.name, call_id=given.plain.call_id, error=str(broke))
            raise OutcomeUnknown(f"read-back raised {broke}") from broke
        if output is None:
            return None
        read = _checked(fitted, output)
        if isinstance(read, CallErred):
            raise OutcomeUnknown("what was read back does not fit the tool's output schema")
        return CallSucceeded(output=read.output, settled="read_back")


def _plain(fitted: Fitted, request: ToolCallRequested, attempt: int, key: str, place: Place) -> Call:
    return Call(
        call_id=request.call_id,
        attempt=attempt,
        idempotency_key=key,
        settings=place.settings(fitted.settings),
    )


def _arguments(fitted: Fitted, plain: Any) -> Any:
    """Raises BadArguments."""
    tool = fitted.tool
    if problems := fitted.checks.argument_problems(tool.name, plain):
        raise BadArguments(_listed(problems), "bad_arguments")
    if isinstance(tool.input, JsonSchema):
        return plain
    try:
        return msgspec.convert(plain, tool.input)
    except Exception as misfit:  # a connector's type may check itself, and raise anything
        raise BadArguments(f"the tool's type refuses them: {type(misfit).__name__}", "bad_arguments") from misfit


def _output(tool: Tool[Any, Any], plain: Any) -> Any:
    """Raises BadArguments."""
    if isinstance(tool.output, JsonSchema):
        return plain
    try:
        return msgspec.convert(plain, tool.output)
    except Exception as misfit:  # a connector's type may check itself, and raise anything
        message = f"what it gave does not fit the tool any more: {type(misfit).__name__}"
        raise BadArguments(message, "bad_output") from misfit


def _checked(fitted: Fitted, output: object) -> Result:
    try:
        encoded = _encode(output)
        plain = msgspec.json.decode(encoded)
    except Exception as error:  # noqa: BLE001  # whatever it returned: not JSON, or too deep to be read
        return CallErred(error_class="validation", code="bad_output", message=f"not JSON: {type(error).__name__}")
    if len(encoded) > MAX_OUTPUT_BYTES:
        message = f"the output has {len(encoded)} bytes, the limit is {MAX_OUTPUT_BYTES}"
        return CallErred(error_class="validation", code="output_too_large", message=message)
    if problems := fitted.checks.output_problems(fitted.tool.name, plain):
        return CallErred(error_class="validation", code="bad_output", message=_listed(problems))
    return CallSucceeded(output=plain)


def repeatable(tool: Tool[Any, Any]) -> bool:
    """Whether making the same call again is harmless."""
    return tool.effect is Effect.READ or tool.idempotency is not Idempotency.NONE


async def _answer(ask: Callable[[Any, Call], Awaitable[Any]], arguments: Any, given: Equipped, timeout_s: float) -> Any:
    """What connector code answers. Raises ToolError, TimeoutError, and ConnectorBroke for whatever else it raises.

    Only an interrupt, and our own cancelling, pass through.

    A credential that the counterpart does not take is renewed or given up here. Raises Unavailable when neither can be.
    """
    call = given.call(timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            return await ask(arguments, call)
    except NeedsReconnect as refused:
        raise await given.refused(refused) from refused
    except (ToolError, TimeoutError, Braked):
        raise
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectorBroke("CancelledError") from cancelled
    except (Exception, SystemExit) as error:
        raise ConnectorBroke(type(error).__name__) from error


def _showable(preview: Any) -> dict[str, Any]:
    """As plain JSON. Raises Refused for what nobody could look at."""
    try:
        encoded = _encode(preview)
        shown = msgspec.json.decode(encoded)
    except Exception as error:
        raise Refused(f"the preview is not JSON: {type(error).__name__}", "preview_unusable") from error
    if len(encoded) > MAX_PREVIEW_BYTES or not isinstance(shown, dict):
        raise Refused(f"the preview is no object of at most {MAX_PREVIEW_BYTES} bytes", "preview_unusable")
    return shown


def _unanswered(tool: Tool[Any, Any], error_class: ErrorClass, message: str) -> CallErred:
    """No answer: try again where that is harmless, else nobody knows what happened."""
    if repeatable(tool):
        unclear = tool.effect is not Effect.READ
        return CallErred(error_class=error_class, code=error_class, message=message, unclear=unclear)
    return CallErred(error_class="unknown_outcome", code="outcome_unknown", message=message)


def _classified(error: ToolError, tool: Tool[Any, Any]) -> CallErred:
    if isinstance(error, OutcomeUnknown):
        return _unanswered(tool, "transient", str(error))
    retry_after_s = _pause(getattr(error, "retry_after_s", None))
    error_class: ErrorClass = "rate_limited" if retry_after_s is not None else _class_of(error)
    code = str(getattr(error, "code", type(error).__name__))  # a subclass may have forgotten its base
    missing = error if isinstance(error, NoAccess) else NoAccess("", "")
    return CallErred(
        error_class=error_class,
        code=code,
        message=str(error),
        retry_after_s=retry_after_s,
        connection_id=missing.connection_id,
        scope=missing.scope,
    )


def _class_of(error: ToolError) -> ErrorClass:
    return next((name for kind, name in _CLASS_OF.items() if isinstance(error, kind)), "permanent")


def _pause(asked: Any) -> float | None:
    """What the counterpart asked for; None when that is no time."""
    return float(asked) if isinstance(asked, int | float) and math.isfinite(asked) and asked >= 0 else None


def _listed(problems: list[Problem]) -> str:
    return "; ".join(f"{problem.path or '/'}: {problem.message}" for problem in problems[:5])
