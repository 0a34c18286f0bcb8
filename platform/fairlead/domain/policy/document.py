"""Policies as tenants write them: rules that allow, deny or ask people. Bounds are here, since anybody may send one.

The section `policy` of a workflow document has rules alone; a policy of a tenant, a workspace or a workflow's name has
more to say.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from fairlead_sdk.contract import Effect
from msgspec import Meta, Struct

MAX_RULES = 100
MAX_SCOPE_RULES = 1_000
MAX_CONDITION_CHARS = 4096
MAX_RISK = 1_000  # points of one call; more count as so many
MAX_CASES = 200
DAY_S = 86_400

Verdict = Literal["allow", "deny", "require_approval"]
Autonomy = Literal["propose_only", "approve_writes", "act_within_policy"]
OnExpiry = Literal["deny", "skip", "end_run"]
STRICTEST_EXPIRY_FIRST: tuple[OnExpiry, ...] = ("end_run", "deny", "skip")
STRICTEST_LEVEL_FIRST: tuple[Autonomy, ...] = ("propose_only", "approve_writes", "act_within_policy")

RuleId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="Named in every decision it takes.")]
ToolName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", max_length=128)]
ConnectorName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
KindName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.-]{0,62}$", description="A record kind that tools write.")]
PrincipalName = Annotated[str, Meta(pattern=r"^prn_[A-Za-z0-9_-]{1,60}$")]
EnvironmentName = Literal["live", "test"]
Points = Annotated[int, Meta(ge=0, le=MAX_RISK)]
FieldPath = Annotated[str, Meta(pattern=r"^[^.]{1,100}(\.[^.]{1,100}){0,9}$", max_length=300)]
RoleName = Annotated[str, Meta(pattern=r"^[a-z][a-z_]{0,31}$")]
Level = Annotated[
    Autonomy,
    Meta(
        description="`propose_only`: writes are shown and not made. `approve_writes`: each write needs a person."
        " `act_within_policy`: the rules alone decide. The strictest level that anybody states counts."
    ),
]


class Escalation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When nobody has answered `after_s` after people were asked, these roles may answer too."""

    after_s: Annotated[int, Meta(ge=60, le=90 * DAY_S)]
    roles: Annotated[tuple[RoleName, ...], Meta(min_length=1, max_length=6)]


class ApprovalsNeeded(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signatures that a call waits for: `count` different people, each holding one of `roles`.

    What nobody has answered at the deadline is not made; `escalate` asks more people before that.
    """

    count: Annotated[int, Meta(ge=1, le=5)] = 1
    roles: Annotated[tuple[RoleName, ...], Meta(min_length=1, max_length=6)] = ("reviewer",)
    deadline_s: Annotated[int, Meta(ge=60, le=90 * DAY_S)] = 3 * DAY_S
    escalate: Annotated[tuple[Escalation, ...], Meta(max_length=4)] = ()
    on_expiry: Annotated[
        OnExpiry,
        Meta(
            description="When the deadline passes without an answer: `deny` as if a person had said no, `skip` the step"
            " and go on without it, or `end_run`, whatever the document says to failures. Silence never approves."
        ),
    ] = "deny"
    strong_sign_in: Annotated[bool, Meta(description="Whoever answers signs in: a link from a mail is not enough.")] = (
        False
    )


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


Within = Literal["run", "session", "tenant"]
Period = Literal["hour", "day", "month", "ever"]


class Happened(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that went out before this one: of these tools, connectors and effects, what is left out being any.

    A session is all runs with the same label `session`; a run without it is one by itself.
    """

    tools: Annotated[tuple[ToolName, ...], Meta(max_length=100)] = ()
    connectors: Annotated[tuple[ConnectorName, ...], Meta(max_length=50)] = ()
    effects: Annotated[tuple[Effect, ...], Meta(max_length=3)] = ()
    within: Within = "run"


class AtMost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many calls that the rule speaks of may be made; it applies to those beyond. `per` is a CEL expression: each of
    its values is counted for itself. Periods are those of the calendar, in UTC."""

    count: Annotated[int, Meta(ge=0, le=10_000)]
    per: Annotated[str, Meta(min_length=1, max_length=MAX_CONDITION_CHARS)] | None = None
    within: Within = "tenant"
    period: Period = "day"


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Applies to a call when all that it names matches and its condition holds; what is left out matches every call.

    `when` is a CEL expression without `${ }`, over the names in `compiled.CONDITION_VARIABLES`. `principals` are the
    agent's id or that of whoever started the run. `approvals` may stand only beside the verdict `require_approval`,
    which without it means one reviewer. A rule without a verdict only adds its points of risk and its obligations.
    """

    id: RuleId
    verdict: Verdict | None = None
    reason: Annotated[str, Meta(min_length=1, max_length=500, description="Shown to whoever the decision concerns.")]
    tools: Annotated[tuple[ToolName, ...], Meta(max_length=100)] = ()
    effects: Annotated[tuple[Effect, ...], Meta(max_length=3)] = ()
    connectors: Annotated[tuple[ConnectorName, ...], Meta(max_length=50)] = ()
    kinds: Annotated[tuple[KindName, ...], Meta(max_length=50)] = ()
    principals: Annotated[tuple[PrincipalName, ...], Meta(max_length=100)] = ()
    environments: Annotated[tuple[EnvironmentName, ...], Meta(max_length=2)] = ()
    when: Annotated[str, Meta(min_length=1, max_length=MAX_CONDITION_CHARS)] | None = None
    approvals: ApprovalsNeeded | None = None
    risk: Points = 0
    obligations: Obligations | None = None
    after: Happened | None = None
    at_most: AtMost | None = None


class PolicyDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Deny wins over require_approval, which wins over allow; among equals the rule that comes first is named.

    A condition that cannot be evaluated denies, so ask `has()` before an optional field. What no rule speaks of: reads
    are allowed, writes need one reviewer, destructive calls are denied.
    """

    rules: Annotated[tuple[Rule, ...], Meta(max_length=MAX_RULES)] = ()


class Review(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that rules allow needs people all the same once its points of risk reach `at`."""

    at: Annotated[int, Meta(ge=1, le=MAX_RISK)]
    approvals: ApprovalsNeeded = ApprovalsNeeded()


class Person(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A principal of a case."""

    id: Annotated[str, Meta(max_length=64)] = "prn_case"
    kind: Literal["person", "service_account", "agent"] = "person"
    roles: Annotated[tuple[RoleName, ...], Meta(max_length=10)] = ()


class CaseCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that nobody makes. `effect` and `writes` are those of the installed tool unless they are given."""

    tool: ToolName
    args: dict[str, Any] = {}
    effect: Effect | None = None
    writes: Annotated[tuple[KindName, ...], Meta(max_length=50)] | None = None
    environment: EnvironmentName = "live"
    input: Any = None
    labels: dict[str, str] = {}
    workflow: Annotated[str, Meta(max_length=63)] = "case"
    calls: Annotated[dict[str, int], Meta(description="How often each tool was called, this call left out.")] = {}
    counted: Annotated[
        dict[str, Annotated[int, Meta(ge=0, le=100_000)]],
        Meta(description="By the id of a rule with `at_most`: so many calls it has counted before this one."),
    ] = {}
    happened: Annotated[
        tuple[str, ...],
        Meta(max_length=100, description="Ids of rules whose `after` of a session or the tenant has happened."),
    ] = ()
    agent: Person = Person(kind="agent", roles=("agent",))
    starter: Person = Person()
    now: datetime | None = None


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the policy is to say of a call. A case that fails keeps the policy from being published."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    call: CaseCall
    expect: Verdict
    rule: Annotated[str, Meta(max_length=100, description="The rule that is to be named.")] | None = None


class ScopePolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy of a tenant, a workspace or a workflow's name. Its rules join those of the workflow: whoever forbids,
    forbids."""

    fairlead_policy: Annotated[Literal[1], Meta(description="Version of this document format.")]
    title: Annotated[str, Meta(max_length=200)] = ""
    autonomy: Level | None = None
    rules: Annotated[tuple[Rule, ...], Meta(max_length=MAX_SCOPE_RULES)] = ()
    review: Review | None = None
    cases: Annotated[tuple[Case, ...], Meta(max_length=MAX_CASES)] = ()
