"""One tool, one call, one classified result. Whatever a connector raises becomes an error class."""

import time
from functools import partial
from typing import Any, Protocol

import structlog
from fairlead_sdk.contract import Call
from fairlead_sdk.errors import BadArguments, OutcomeUnknown, Refused, ToolError
from fairlead_tenants.ids import TenantId
from msgspec.structs import replace

from fairlead.domain.runs.commands import CallErred, CallSucceeded, Undone
from fairlead.domain.runs.events import ToolCallRequested
from fairlead.domain.runs.sagas import undo_key
from fairlead.domain.runs.states import OpenCall
from fairlead.domain.runs.undoing import Undo
from fairlead.domain.tenants.states import Tenant, TenantState
from fairlead.handling.tenant_tools import Fitted
from fairlead.workers.answering import (
    ConnectorBroke,
    Result,
    answered,
    checked,
    classified,
    repeatable,
    showable,
    typed_arguments,
    typed_output,
    unanswered,
)
from fairlead.workers.batching import Batches
from fairlead.workers.equipping import Braked, Equipped, Equipping, NoAccess, Place
from fairlead.workers.remembering import Recall, Remembering, is_kept

_log = structlog.get_logger()


class Toolbox(Protocol):
    async def fitted(self, tenant_id: TenantId, name: str, version: str) -> Fitted | None:
        """The tool as this tenant has it, in the version that was decided on."""


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
            arguments = typed_arguments(fitted, request.arguments)
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
            return classified(refused, fitted.tool)

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
            return classified(refused, fitted.tool)
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
        arguments = typed_arguments(fitted, request.arguments)
        plain = _plain(fitted, request, open_call.attempt, open_call.key, place)
        try:
            async with self._equipping.equip(plain, fitted, request, place, "preview") as given:
                return showable(await answered(tool.preview, arguments, given, request.timeout_s))
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
        arguments = typed_arguments(fitted, request.arguments)
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
            arguments = typed_arguments(fitted, request.arguments)
            async with self._equipping.equip(plain, fitted, request, place, "compensate") as given:
                undone = await self._undone(undo, fitted, arguments, given)
                await self._remembering.wrote(fitted, place, undone)
                return undone
        except ToolError as error:
            return classified(error, tool)
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
        output = typed_output(fitted.tool, effect.output)
        again = given.under(undo_key(request.call_id))
        await answered(lambda asked, call: compensate(asked, output, call), arguments, again, request.timeout_s)
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
            output = await answered(tool.run, arguments, given, timeout_s)
        except ToolError as error:
            return classified(error, tool)
        except TimeoutError:
            return unanswered(tool, "timeout", f"no answer within {timeout_s:g} s")
        except ConnectorBroke as broke:
            _log.error("connector_raised", tool=tool.name, call_id=given.plain.call_id, error=str(broke))
            return unanswered(tool, "transient", f"the connector raised {broke}")
        return checked(fitted, output)

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
            output = await answered(tool.verify, arguments, given, timeout_s)
        except ConnectorBroke as broke:
            _log.error("connector_raised", tool=tool.name, call_id=given.plain.call_id, error=str(broke))
            raise OutcomeUnknown(f"read-back raised {broke}") from broke
        if output is None:
            return None
        read = checked(fitted, output)
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
