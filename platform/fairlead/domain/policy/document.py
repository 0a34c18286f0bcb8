"""Policies as tenants write them: rules that allow, deny or ask people. Bounds are here, since anybody may send one.

The section `policy` of a workflow document has rules alone; a policy of a tenant, a workspace or a workflow's name has
more to say.
"""

from typing import Annotated, Literal

from fairlead_sdk.contract import Effect
from msgspec import Meta, Struct

MAX_RULES = 100
MAX_SCOPE_RULES = 1_000
MAX_CONDITION_CHARS = 4096
MAX_RISK = 1_000  # points of one call; more count as so many
DAY_S = 86_400

Verdict = Literal["allow", "deny", "require_approval"]
Autonomy = Literal["propose_only", "approve_writes", "act_within_policy"]
STRICTEST_LEVEL_FIRST: tuple[Autonomy, ...] = ("propose_only", "approve_writes", "act_within_policy")

RuleId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="Named in every decision it takes.")]
ToolName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", max_length=128)]
FieldPath = Annotated[str, Meta(pattern=r"^[^.]{1,100}(\.[^.]{1,100}){0,9}$", max_length=300)]
RoleName = Annotated[str, Meta(pattern=r"^[a-z][a-z_]{0,31}$")]
Level = Annotated[
    Autonomy,
    Meta(
        description="`propose_only`: writes are shown and not made. `approve_writes`: each write needs a person."
        " `act_within_policy`: the rules alone decide. The strictest level that anybody states counts."
    ),
]


class ApprovalsNeeded(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signatures that a call waits for: `count` different people, each holding one of `roles`."""

    count: Annotated[int, Meta(ge=1, le=5)] = 1
    roles: Annotated[tuple[RoleName, ...], Meta(min_length=1, max_length=6)] = ("reviewer",)
    deadline_s: Annotated[int, Meta(ge=60, le=90 * DAY_S)] = 3 * DAY_S


class Obligations(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """On what terms a call may be made. Those of all rules that apply hold together."""

    dry_run: Annotated[bool, Meta(description="Show what the call would do instead of making it.")] = False
    verify: Annotated[bool, Meta(description="Read back after a write; a tool without read-back is denied.")] = False
    redact: Annotated[
        tuple[FieldPath, ...],
        Meta(max_length=50, description="Fields of the output that nobody sees: `customer.iban`, `rows.*.email`."),
    ] = ()
    limit_rows: (
        Annotated[int, Meta(ge=0, le=1_000_000, description="So many elements of each list in the output, at most.")]
        | None
    ) = None


NO_OBLIGATIONS = Obligations()


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


class ScopePolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy of a tenant, a workspace or a workflow's name. Its rules join those of the workflow: whoever forbids,
    forbids."""

    fairlead_policy: Annotated[Literal[1], Meta(description="Version of this document format.")]
    title: Annotated[str, Meta(max_length=200)] = ""
    autonomy: Level | None = None
    rules: Annotated[tuple[Rule, ...], Meta(max_length=MAX_SCOPE_RULES)] = ()
