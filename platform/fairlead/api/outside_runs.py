"""Runs that an outside agent drives: it asks for calls, is told what came of them, and says how the run ends."""

from typing import Annotated, Any

from fairlead_sdk.contract import Effect
from fairlead_tenants.access import Permission, Principal
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from fairlead.api.acting import Act
from fairlead.api.admission import Admission
from fairlead.api.asked_calls import AskedCall, asked_call, load_asked, load_driven, until_final
from fairlead.api.guards import ALSO, requires
from fairlead.api.live_events import LiveEvents
from fairlead.api.parts import ApiParts
from fairlead.api.run_controls import WithReason
from fairlead.api.runs import RunAnswer
from fairlead.domain.ids import RunId
from fairlead.domain.runs import commands as c
from fairlead.domain.runs.outside import ask_of
from fairlead.domain.runs.status import status_of
from fairlead.domain.tenants.states import Tenant

MAX_WAIT_S = 10.0  # shorter than a claim of an idempotency key lasts
MAX_LONG_WAIT_S = 25.0
MAX_MESSAGE = 2_000
CODE = r"^[a-z][a-z0-9_]{0,62}$"


class NewToolCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tool's name is as the workflow has it."""

    tool: Annotated[str, Meta(min_length=1, max_length=128)]
    arguments: dict[str, Any] = {}
    wait_s: Annotated[
        float, Meta(ge=0, le=MAX_WAIT_S, description="How long the answer may wait for the call to be over.")
    ] = 5.0


class Finish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Must fit the output schema of the workflow."""

    output: Any


class GiveUp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE, description="Why it cannot be done.")]


class Failure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: Annotated[str, Meta(pattern=CODE, description="Your own word for it.")]
    message: Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE)]


class OfferedTool(Struct, frozen=True, kw_only=True):
    """A tool that the run's workflow may call. Whether a call of it is made is decided call by call."""

    name: str
    title: str
    description: str
    effect: Effect
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


class OfferedTools(Struct, frozen=True, kw_only=True):
    tools: list[OfferedTool]


class OutsideRunController(Controller):
    path = "/v1/runs/{run_id:str}"
    tags = ("Outside agents",)

    @get("/tools", opt=requires(Permission.TOOL_CALL))
    async def list_tools_of_run(
        self,
        run_id: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        tenant: NamedDependency[Tenant],
    ) -> OfferedTools:
        """The tools that the run may call, as they are installed now."""
        found = await load_driven(parts, principal, run_id)
        rules = await parts.rulebook.of_run(found.stream, found.run, tenant)
        known = [facts for name in rules.workflow.tools if (facts := rules.tool(name)) is not None]
        return OfferedTools(
            tools=[
                OfferedTool(
                    name=facts.name,
                    title=facts.title,
                    description=facts.description,
                    effect=facts.effect,
                    input_schema=facts.input_schema,
                    output_schema=facts.output_schema,
                )
                for facts in known
            ]
        )

    @post("/tool-calls", status_code=200, opt=requires(Permission.TOOL_CALL) | {ALSO: (202,)})
    async def ask_for_call(
        self,
        run_id: FromPath[str],
        data: JSONBody[NewToolCall],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
        live: NamedDependency[LiveEvents],
        admission: NamedDependency[Admission],
    ) -> Response[AskedCall]:
        """Ask for a call in a run that is driven from outside. 200 when it is over, a denial included; 202 with its
        `Location` while it is not, as when people are asked. The same idempotency key never makes a second call."""
        await admission.check()
        found = await load_driven(parts, act.principal, run_id)
        command = c.AskCall(
            ask_id=act.new_id("ask"),
            tool=data.tool,
            arguments=data.arguments,
            door="rest",
            principal_id=act.principal.principal_id,
            now=parts.clock.now(),
        )
        handled = await act.handle(found.stream, command)
        ask = ask_of(handled.state, command.ask_id)
        shown = await until_final(parts, live, found.stream, ask, data.wait_s)
        headers = {} if shown.is_final else {"Location": f"/v1/runs/{run_id}/tool-calls/{ask.call_id}"}
        return Response(shown, status_code=200 if shown.is_final else 202, headers=headers)

    @get("/tool-calls/{call_id:str}", opt=requires(Permission.TOOL_CALL))
    async def get_asked_call(
        self,
        run_id: FromPath[str],
        call_id: FromPath[str],
        principal: NamedDependency[Principal],
        parts: NamedDependency[ApiParts],
        live: NamedDependency[LiveEvents],
        wait_s: Annotated[
            float,
            QueryParameter(
                name="wait_s", ge=0, le=MAX_LONG_WAIT_S, description="How long to wait for the call to be over."
            ),
        ] = 0.0,
    ) -> AskedCall:
        """A call that one has asked for oneself."""
        stream, ask = await load_asked(parts, principal, run_id, call_id)
        return await until_final(parts, live, stream, ask, wait_s)

    @post("/tool-calls/{call_id:str}/withdraw", status_code=200, opt=requires(Permission.TOOL_CALL))
    async def withdraw_call(
        self,
        run_id: FromPath[str],
        call_id: FromPath[str],
        data: JSONBody[WithReason],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> AskedCall:
        """Do without a call that one has asked for, while nobody makes it: it is skipped, and no approval is needed."""
        stream, ask = await load_asked(parts, act.principal, run_id, call_id)
        who, now = act.principal.principal_id, parts.clock.now()
        command = c.WithdrawCall(call_id=ask.call_id, reason=data.reason, principal_id=who, now=now)
        return asked_call((await act.handle(stream, command)).state, ask)

    @post("/finish", status_code=200, opt=requires(Permission.TOOL_CALL))
    async def finish_run(
        self,
        run_id: FromPath[str],
        data: JSONBody[Finish],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> RunAnswer:
        """The agent has done what the run is for. Calls that are still open keep it from ending."""
        who, now = act.principal.principal_id, parts.clock.now()
        return await _ended(act, parts, run_id, c.FinishRun(output=data.output, principal_id=who, now=now))

    @post("/give-up", status_code=200, opt=requires(Permission.TOOL_CALL))
    async def give_up_run(
        self,
        run_id: FromPath[str],
        data: JSONBody[GiveUp],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> RunAnswer:
        """What the run is for cannot be done, and nothing is broken. What it did is undone where that is possible."""
        who, now = act.principal.principal_id, parts.clock.now()
        return await _ended(act, parts, run_id, c.GiveUpRun(reason=data.reason, principal_id=who, now=now))

    @post("/fail", status_code=200, opt=requires(Permission.TOOL_CALL))
    async def fail_run(
        self,
        run_id: FromPath[str],
        data: JSONBody[Failure],
        act: NamedDependency[Act],
        parts: NamedDependency[ApiParts],
    ) -> RunAnswer:
        """The agent cannot go on. What the run did is undone where that is possible."""
        who, now = act.principal.principal_id, parts.clock.now()
        command = c.FailRun(code=data.code, message=data.message, principal_id=who, now=now)
        return await _ended(act, parts, run_id, command)


async def _ended(act: Act, parts: ApiParts, run_id: str, command: c.FromAgent) -> RunAnswer:
    found = await load_driven(parts, act.principal, run_id)
    handled = await act.handle(found.stream, command)
    return RunAnswer(run_id=RunId(run_id), status=status_of(handled.state), sequence=handled.sequence)
