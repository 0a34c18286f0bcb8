"""The check at the moment of effect: may this attempt of this call still be made, by this agent, now?

The worker asks with the newest state of run and tenant, so what was withdrawn, paused or ended after the call was
queued is seen before anything happens outside.
"""

from fairlead_sdk.contract import Effect
from fairlead_tenants.access import Permission, may
from msgspec import Struct

from fairlead.domain.errors import Denied, NotFound
from fairlead.domain.instant import Instant
from fairlead.domain.runs.advance import KnownTool, RunRules, Verdict, call_digest
from fairlead.domain.runs.events import DeniedBy, ToolCallRequested
from fairlead.domain.runs.obligations import CallOrder, UndoOrder
from fairlead.domain.runs.states import Active, Ended, OpenCall, RunState
from fairlead.domain.runs.undoing import Undo
from fairlead.domain.switches.verdict import Stop
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.tenants.states import Tenant, TenantState
from fairlead.domain.tools import connector_of


class Go(Struct, frozen=True, kw_only=True):
    """`lost_answer`: an earlier worker began this very attempt and left no outcome."""

    call: OpenCall
    lost_answer: bool


class Drop(Struct, frozen=True, kw_only=True):
    """The order is stale, or the run is paused: nothing to do and nothing to record."""

    why: str


class Forbid(Struct, frozen=True, kw_only=True):
    by: DeniedBy
    rule_id: str
    reason: str


class Reconsider(Struct, frozen=True, kw_only=True):
    """What was approved is not what would be done now."""

    reason: str


class Lost(Struct, frozen=True, kw_only=True):
    """An earlier worker began this very attempt and left no outcome. It may not be made again; only people can tell."""

    reason: str


class Expire(Struct, frozen=True):
    """The run's deadline has passed."""


class Wait(Struct, frozen=True, kw_only=True):
    """A switch stops it, and to say that it was denied could be untrue: it is looked at again."""

    switch: str


class Suspend(Struct, frozen=True, kw_only=True):
    """A switch pauses the run. `untouched`: nobody can have begun this attempt."""

    switch: str
    reason: str
    untouched: bool


Permit = Go | Drop | Forbid | Reconsider | Lost | Expire | Wait | Suspend


def permit(
    order: CallOrder,
    run: RunState,
    tenant: TenantState,
    rules: RunRules,
    now: Instant,
    redelivered: bool = False,
    stop: Stop | None = None,
) -> Permit:
    """`redelivered`: an earlier worker had the order, and may have got as far as the effect. `stop`: what a switch
    says of the call."""
    if not isinstance(run, Active):
        return Drop(why="the run is not under way")
    call = run.calls.get(order.call_id)
    if call is None or call.phase not in ("dispatched", "started") or call.attempt != order.attempt:
        return Drop(why="the call has moved on")
    if now >= run.deadline_at:
        return Expire()
    if run.paused is not None:
        return Drop(why="the run is paused")
    was_out_before = (redelivered or order.remade) and not is_untouched(call)
    has_effect = call.request.effect is not Effect.READ and not call.obligations.dry_run
    may_have_happened = call.phase == "started" or (was_out_before and has_effect)
    if stop is not None:
        return _stopped(stop, call, was_out_before, may_have_happened)
    said = forbidden(run, tenant) or _switched_off(call.request.tool, tenant) or _judged(call, run, rules, now)
    if isinstance(said, Forbid) and may_have_happened:
        return Lost(reason=said.reason)  # to say that it was denied could be untrue
    if isinstance(said, Reconsider) and call.phase == "started":
        return Lost(reason=said.reason)
    return said


def _stopped(stop: Stop, call: OpenCall, was_out_before: bool, may_have_happened: bool) -> Permit:
    if stop.answer == "pause":
        untouched = call.phase == "dispatched" and not was_out_before
        return Suspend(switch=stop.switch, reason=stop.reason, untouched=untouched)
    if may_have_happened:
        return Wait(switch=stop.switch)
    return Forbid(by="switch", rule_id=f"switch.{stop.mode}", reason=f"{stop.switch} is switched off: {stop.reason}")


def permit_undo(order: UndoOrder, run: RunState, tenant: TenantState, rules: RunRules) -> Undo | Drop | Forbid:
    """Whether this attempt to undo may be made now: by an agent that may act, with a tool that still means the same."""
    head = run.undoing.head if isinstance(run, Ended) else None
    if head is None or (head.call_id, head.attempt, head.phase) != (order.call_id, order.attempt, "dispatched"):
        return Drop(why="it is not this call's turn")
    assert isinstance(run, Ended), "it has a head"
    request = head.effect.request
    tool = rules.tool(request.tool)
    if tool is None or not tool.has_compensate:
        return Forbid(by="policy", rule_id="tool.missing", reason="no tool is installed any more that could undo it")
    if _major(tool.version) != _major(request.tool_version):
        return Forbid(by="policy", rule_id="tool.changed", reason=f"the tool changed with version {tool.version}")
    return forbidden(run.last, tenant) or _switched_off(request.tool, tenant) or head


def is_untouched(call: OpenCall) -> bool:
    """Whether nobody can have begun this attempt: it was held before anybody could, and is marked when it begins."""
    return call.held is not None and call.held.untouched and call.phase == "dispatched"


def forbidden(run: Active, tenant: TenantState) -> Forbid | None:
    """Whether the run's agent may not act any more."""
    try:
        agent = principal_of(tenant, run.start.agent_principal_id)
    except (Denied, NotFound) as refused:
        return Forbid(by="permission", rule_id="agent.disabled", reason=f"the workflow's agent may not act: {refused}")
    if may(agent, Permission.TOOL_CALL, run.start.workspace_id, run.start.environment_id):
        return None
    return Forbid(by="permission", rule_id="agent.tool_call", reason="the workflow's agent may not call tools")


def _switched_off(tool: str, tenant: TenantState) -> Forbid | None:
    """Whether the tenant has disabled the connector; the rules may be a moment older than that."""
    choice = tenant.connectors.get(connector_of(tool)) if isinstance(tenant, Tenant) else None
    if choice is None or choice.enabled:
        return None
    return Forbid(by="permission", rule_id="connector.disabled", reason="the tenant has disabled the connector")


def _judged(call: OpenCall, run: Active, rules: RunRules, now: Instant) -> Permit:
    tool = rules.tool(call.request.tool)
    if tool is None:
        return Forbid(by="policy", rule_id="tool.missing", reason="the tool is not installed any more")
    if not _still_fits(tool, call.request, rules):
        return Forbid(by="policy", rule_id="tool.changed", reason=f"the tool changed with version {tool.version}")
    if call.approval is None and rules.stands(call):
        return Go(call=call, lost_answer=call.phase == "started")  # it was dispatched without one, so it was allowed
    said = rules.judge(call, run, now)
    if said.verdict == "deny":
        return Forbid(by="policy", rule_id=said.rule_id, reason=said.reason)
    if said.verdict == "require_approval" and not _covered(call, tool, said.policy_version, _count(said)):
        return Reconsider(reason=f"rule {said.rule_id} asks for more than was approved")
    if said.obligations != call.obligations:
        return Reconsider(reason=f"rule {said.rule_id} has other terms than those that it was allowed on")
    return Go(call=call, lost_answer=call.phase == "started")


def _count(said: Verdict) -> int:
    return said.approvals.count if said.approvals is not None else 1


def _still_fits(tool: KnownTool, judged: ToolCallRequested, rules: RunRules) -> bool:
    """An upgrade may come while calls wait. A connector says by its major version whether they still mean the same."""
    if tool.schema_hash != judged.schema_hash and rules.argument_problems(judged.tool, judged.arguments):
        return False
    return (tool.effect, tool.idempotency, _major(tool.version)) == (
        judged.effect,
        judged.idempotency,
        _major(judged.tool_version),
    )


def _major(version: str) -> str:
    return version.partition(".")[0]


def _covered(call: OpenCall, tool: KnownTool, policy_version: str, count: int) -> bool:
    return (
        call.approval is not None
        and len(set(call.approved_by)) >= count
        and call.approval.digest == call_digest(call.request, tool.schema_hash, policy_version)
    )
