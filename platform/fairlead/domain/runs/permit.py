"""The check at the moment of effect: may this attempt of this call still be made, by this agent, now?

The worker asks with the newest state of run and tenant, so what was withdrawn, paused or ended after the call was
queued is seen before anything happens outside.
"""

from fairlead_tenants.access import Permission, may
from msgspec import Struct

from fairlead.domain.errors import Denied, NotFound
from fairlead.domain.instant import Instant
from fairlead.domain.runs.advance import RunRules, Verdict, call_digest
from fairlead.domain.runs.events import DeniedBy
from fairlead.domain.runs.obligations import CallOrder
from fairlead.domain.runs.states import Active, OpenCall, RunState
from fairlead.domain.tenants.identity import principal_of
from fairlead.domain.tenants.states import TenantState


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


class Expire(Struct, frozen=True):
    """The run's deadline has passed."""


Permit = Go | Drop | Forbid | Reconsider | Expire


def permit(order: CallOrder, run: RunState, tenant: TenantState, rules: RunRules, now: Instant) -> Permit:
    if not isinstance(run, Active):
        return Drop(why="the run is not under way")
    call = run.calls.get(order.call_id)
    if call is None or call.phase not in ("dispatched", "started") or call.attempt != order.attempt:
        return Drop(why="the call has moved on")
    if now >= run.deadline_at:
        return Expire()
    if run.paused is not None:
        return Drop(why="the run is paused")
    return _forbidden(run, tenant) or _judged(call, run, rules, now)


def _forbidden(run: Active, tenant: TenantState) -> Forbid | None:
    try:
        agent = principal_of(tenant, run.start.agent_principal_id)
    except (Denied, NotFound):
        return Forbid(by="permission", rule_id="agent.disabled", reason="the workflow's agent principal is disabled")
    if may(agent, Permission.TOOL_CALL, run.start.workspace_id, run.start.environment_id):
        return None
    return Forbid(by="permission", rule_id="agent.tool_call", reason="the workflow's agent may not call tools")


def _judged(call: OpenCall, run: Active, rules: RunRules, now: Instant) -> Permit:
    tool = rules.tool(call.request.tool)
    if tool is None or tool.schema_hash != call.request.schema_hash:
        return Forbid(by="policy", rule_id="tool.changed", reason="the tool is not the one that was judged")
    said = rules.judge(call, run, now)
    if said.verdict == "deny":
        return Forbid(by="policy", rule_id=said.rule_id, reason=said.reason)
    if said.verdict == "require_approval" and not _covered(call, said.policy_version, _count(said)):
        return Reconsider(reason=f"rule {said.rule_id} asks for more than was approved")
    return Go(call=call, lost_answer=call.phase == "started")


def _count(said: Verdict) -> int:
    return said.approvals.count if said.approvals is not None else 1


def _covered(call: OpenCall, policy_version: str, count: int) -> bool:
    return (
        call.approval is not None
        and len(set(call.approved_by)) >= count
        and call.approval.digest == call_digest(call.request, policy_version)
    )
