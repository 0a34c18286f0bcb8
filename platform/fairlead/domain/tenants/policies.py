"""Which version of each policy decides, as the tenant says."""

from fairlead.domain.tenants import limits
from fairlead.domain.tenants.commands import ChoosePolicy
from fairlead.domain.tenants.errors import LimitReached, PolicyMovedOn
from fairlead.domain.tenants.events import PolicyChosen, TenantEvent
from fairlead.domain.tenants.states import PolicyChoice, PolicyChoices

NOTHING = PolicyChoice(enforced=None, tried=None)


def decide(command: ChoosePolicy, policies: PolicyChoices) -> list[TenantEvent]:
    """Raises Invalid, LimitReached, PolicyMovedOn."""
    limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
    if len(policies) >= limits.MAX_POLICIES and command.policy_id not in policies:
        raise LimitReached("policies", limits.MAX_POLICIES)
    before = policies.get(command.policy_id, NOTHING)
    chosen = _chosen(command, before)
    if chosen == before:
        return []
    return [
        PolicyChosen(
            policy_id=command.policy_id,
            workspace_id=command.workspace_id,
            workflow=command.workflow,
            enforced=chosen.enforced,
            tried=chosen.tried,
            reason=command.reason,
        )
    ]


def _chosen(command: ChoosePolicy, before: PolicyChoice) -> PolicyChoice:
    match command.move:
        case "lift":
            return NOTHING
        case "try":
            return PolicyChoice(enforced=before.enforced, tried=command.version)
        case "enforce" if (command.version or 0) < (before.enforced or 0):
            raise PolicyMovedOn(f"version {before.enforced} is in force already")
        case _:
            return PolicyChoice(enforced=command.version, tried=None)
