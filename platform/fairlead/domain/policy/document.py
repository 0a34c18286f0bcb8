"""The `policy:` section of a document: rules that allow, deny or ask people. Tenants write it, so bounds are here."""

from typing import Annotated, Literal

from fairlead_sdk.contract import Effect
from msgspec import Meta, Struct

MAX_RULES = 100
MAX_CONDITION_CHARS = 4096
DAY_S = 86_400

Verdict = Literal["allow", "deny", "require_approval"]
RuleId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="Named in every decision it takes.")]
ToolName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", max_length=128)]
RoleName = Annotated[str, Meta(pattern=r"^[a-z][a-z_]{0,31}$")]


class ApprovalsNeeded(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signatures that a call waits for: `count` different people, each holding one of `roles`."""

    count: Annotated[int, Meta(ge=1, le=5)] = 1
    roles: Annotated[tuple[RoleName, ...], Meta(min_length=1, max_length=6)] = ("reviewer",)
    deadline_s: Annotated[int, Meta(ge=60, le=90 * DAY_S)] = 3 * DAY_S


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Applies to a call when tool, effect and condition all match; an empty list matches every tool or effect.

    `when` is a CEL expression without `${ }`, over the names in `judge.CONDITION_VARIABLES`.
    `approvals` may stand only beside the verdict `require_approval`, which without it means one reviewer.
    """

    id: RuleId
    verdict: Verdict
    reason: Annotated[str, Meta(min_length=1, max_length=500, description="Shown to whoever the decision concerns.")]
    tools: Annotated[tuple[ToolName, ...], Meta(max_length=100)] = ()
    effects: Annotated[tuple[Effect, ...], Meta(max_length=3)] = ()
    when: Annotated[str, Meta(min_length=1, max_length=MAX_CONDITION_CHARS)] | None = None
    approvals: ApprovalsNeeded | None = None


class PolicyDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Deny wins over require_approval, which wins over allow; among equals the rule that comes first is named.

    A condition that cannot be evaluated denies, so ask `has()` before an optional field. What no rule speaks of: reads
    are allowed, writes need one reviewer, destructive calls are denied.
    """

    rules: Annotated[tuple[Rule, ...], Meta(max_length=MAX_RULES)] = ()
