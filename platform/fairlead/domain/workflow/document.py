"""The shape of a workflow document. Rules that need more than one field to judge are in the checks beside it.

A string that is exactly `${ expression }` is evaluated when its step begins; any other value stands for itself.
`question` and `reason` are sentences and may hold several `${ … }` among other text.
In the document a step has no kind: which of `call`, `model`, `parallel`, `if`, `each`, `ask`, `wait`, `end` it has
says it. What a model is asked is made of sentences too.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from fairlead.domain.policy.document import ConnectorName, Level, PolicyDocument, RoleName, ToolName
from fairlead.domain.workflow.agent_section import Agent

MAX_DOCUMENT_BYTES = 256 * 1024
MAX_STEPS = 200
MAX_EXPRESSIONS = 1_000
MAX_RUN_STEPS = 50_000
MAX_NESTING = 10
MAX_ITEMS = 1_000
MAX_CONCURRENCY = 50
MAX_BRANCHES = 50
DEFAULT_TOOL_CAP = 15
MAX_PROMPT_CHARS = 20_000

NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
WORD = r"^[a-z][a-z0-9_]{0,62}$"
RECORD_KIND = r"^[a-z][a-z0-9_.-]{0,62}$"
CONNECTOR_OR_TOOL = r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)?$"
CONNECTION = r"^[a-z][a-z0-9-]{0,62}$"
DOLLAR = r"^\$\{[\s\S]*\}$"

Name = Annotated[str, Meta(pattern=NAME, max_length=63, description="Lower-case letters, digits and hyphens.")]
StepId = Annotated[
    str, Meta(pattern=WORD, max_length=63, description="Unique in the document; expressions say steps.<id>.")
]
Variable = Annotated[str, Meta(pattern=WORD, max_length=63)]
ConnectorOrTool = Annotated[str, Meta(pattern=CONNECTOR_OR_TOOL, max_length=128)]
ConnectionName = Annotated[str, Meta(pattern=CONNECTION, max_length=63)]
RecordKind = Annotated[str, Meta(pattern=RECORD_KIND, max_length=63)]
Sentence = Annotated[str, Meta(min_length=1, max_length=500)]
Text = Annotated[str, Meta(min_length=1, max_length=4_000)]
PromptText = Annotated[str, Meta(min_length=1, max_length=MAX_PROMPT_CHARS)]
ExpressionText = Annotated[
    str, Meta(pattern=DOLLAR, max_length=4_000, description="One CEL expression between ${ and }.")
]
Criteria = Annotated[tuple[Sentence, ...], Meta(min_length=1, max_length=50)]
JsonSchema = Annotated[dict[str, Any], Meta(description="A JSON Schema, 2020-12, without references to elsewhere.")]
Seconds = Annotated[int, Meta(ge=1, le=7_776_000, description="At most 90 days.")]
OnOutage = Annotated[
    Literal["wait", "fail", "cached", "read_only"],
    Meta(description="While its counterpart is known not to answer: wait, fail, the last result, or wait for reads."),
]
OnMismatch = Annotated[
    Literal["ask", "compensate", "continue"],
    Meta(description="What follows when a write that is read back is not as the tool said."),
]
CallSeconds = Annotated[float, Meta(gt=0, le=600)]
Roles = Annotated[tuple[RoleName, ...], Meta(max_length=20, description="Empty: anyone who may answer questions.")]


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which failures of a call are tried again; the pause doubles from `initial_ms` to `max_ms`, with jitter."""

    attempts: Annotated[int, Meta(ge=1, le=10, description="Counts the first one.")] = 3
    initial_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 500
    max_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 30_000
    on: tuple[Literal["transient", "timeout", "rate_limited"], ...] = ("transient", "timeout", "rate_limited")


class StepBase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    id: StepId
    title: Annotated[str, Meta(max_length=200)] = ""


class CallStep(StepBase, frozen=True, kw_only=True, tag="call"):
    """Call a tool. Without `on_failure` or `continue` a failure or denial ends the run."""

    call: ToolName
    arguments: dict[str, Any] = field(name="with", default_factory=dict)
    retry: Retry = Retry()
    timeout_s: CallSeconds | None = None
    on_mismatch: OnMismatch | None = None
    compensate: Annotated[bool, Meta(description="Whether it is undone when the run does not complete.")] | None = None
    on_outage: OnOutage | None = None
    on_failure: "Steps | None" = None
    go_on: bool = field(name="continue", default=False)


class UsedModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of a provider, over one of the connections where the run is."""

    provider: ConnectorName
    model: Annotated[str, Meta(min_length=1, max_length=200, description="The provider's own name for it.")]
    connection: ConnectionName | None = None


class Said(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant"]
    text: PromptText


class ModelAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exactly one of `route` (the tenant's) and `use` (the first that answers), and one of `prompt` and `messages`.

    With `answer` the output has a `value` that fits the schema; an answer that does not is asked for again.
    """

    route: Annotated[str, Meta(pattern=NAME, max_length=63, description="A route of the tenant.")] | None = None
    use: Annotated[tuple[UsedModel, ...], Meta(min_length=1, max_length=10)] | None = None
    system: PromptText | None = None
    prompt: PromptText | None = None
    messages: Annotated[tuple[Said, ...], Meta(min_length=1, max_length=50)] | None = None
    answer: JsonSchema | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_024
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    attempts: Annotated[int, Meta(ge=1, le=10, description="Counts the first one.")] = 3
    timeout_s: Annotated[CallSeconds, Meta(description="Of one attempt.")] | None = None


class ModelStep(StepBase, frozen=True, kw_only=True, tag="model"):
    """Ask a model. Its output has `text`, `finish` and, with a schema, `value`. Without `on_failure` or `continue` a
    failure or refusal ends the run."""

    model: ModelAsk
    on_failure: "Steps | None" = None
    go_on: bool = field(name="continue", default=False)


class Parallel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    branches: Annotated[dict[Variable, "Steps"], Meta(min_length=1, max_length=MAX_BRANCHES)]
    join: Literal["all"] = "all"
    tolerate: Annotated[int, Meta(ge=0, le=MAX_BRANCHES, description="So many branches may fail.")] = 0


class ParallelStep(StepBase, frozen=True, kw_only=True, tag="parallel"):
    """Every branch at once; goes on when all have ended. Its output is each branch's last output, by name."""

    parallel: Parallel


class IfStep(StepBase, frozen=True, kw_only=True, tag="if"):
    """The condition is evaluated once. Its output is the last output of the branch that was taken."""

    condition: ExpressionText = field(name="if")
    then: "Steps"
    otherwise: "Steps" = field(name="else", default=())


class Each(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    items: ExpressionText = field(name="in")
    name: Variable = field(name="as", default="item")
    max_items: Annotated[int, Meta(ge=1, le=MAX_ITEMS)]
    concurrency: Annotated[int, Meta(ge=1, le=MAX_CONCURRENCY)] = 1
    steps: Annotated["Steps", Meta(min_length=1)]


class EachStep(StepBase, frozen=True, kw_only=True, tag="each"):
    """The steps once per item. Its output is the list of the items' last outputs."""

    each: Each


class Ask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    question: Text
    schema: JsonSchema = {}
    roles: Roles = ()
    timeout_s: Seconds | None = None
    on_timeout: "Steps | Literal['fail']" = "fail"


class AskStep(StepBase, frozen=True, kw_only=True, tag="ask"):
    """Ask a person. Its output is the answer, which fits `schema`."""

    ask: Ask


class Wait(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exactly one of `signal`, `seconds`, `until`."""

    signal: Variable | None = None
    timeout_s: Seconds | None = None
    on_timeout: "Steps | Literal['fail']" = "fail"
    seconds: Seconds | None = None
    until: ExpressionText | None = None


class WaitStep(StepBase, frozen=True, kw_only=True, tag="wait"):
    """Wait for a signal (its payload is the output) or for a time."""

    wait: Wait


class End(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    outcome: Literal["completed", "failed", "impossible"]
    reason: Text


class EndStep(StepBase, frozen=True, kw_only=True, tag="end"):
    """End the whole run here."""

    end: End


Step = CallStep | ModelStep | ParallelStep | IfStep | EachStep | AskStep | WaitStep | EndStep
Steps = tuple[Step, ...]
STEP_KINDS = ("call", "model", "parallel", "if", "each", "ask", "wait", "end")


class Trigger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Literal["api"]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most one run may use: the limit-th is allowed, the next is not."""

    tool_calls: Annotated[int, Meta(ge=0, le=10_000)] = 15
    model_calls: Annotated[int, Meta(ge=0, le=10_000)] = 15
    steps: Annotated[int, Meta(ge=1, le=MAX_RUN_STEPS)] = 200
    tokens: Annotated[int, Meta(ge=0, le=100_000_000)] = 200_000
    cost_usd_micros: Annotated[int, Meta(ge=0, le=10_000_000_000)] = 1_000_000
    deadline_s: Seconds = 86_400
    on_limit: Annotated[Literal["end", "ask"], Meta(description="What a reached limit does.")] = "end"


class Workflow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named task: what it is for, what it may touch, what it does, and what it must never do."""

    fairlead: Annotated[Literal[1], Meta(description="Version of this document format.")]
    name: Name
    title: Annotated[str, Meta(max_length=200)] = ""
    goal: Annotated[Sentence, Meta(description="One sentence.")]
    owner: Annotated[Sentence, Meta(description="Who answers for it: a person or a team.")]
    trigger: Trigger
    input: JsonSchema
    output: JsonSchema
    done_when: Criteria
    fail_when: Criteria
    out_of_scope: Criteria
    tools: Annotated[
        tuple[ToolName, ...], Meta(max_length=200, description="The only tools it may call; capped per tenant.")
    ]
    connections: Annotated[
        dict[ConnectorOrTool, ConnectionName],
        Meta(
            max_length=200,
            description="Which account a connector, or one tool of it, uses: a connection's name, the same in every"
            " environment. Without it the only one there is.",
        ),
    ] = {}
    forbidden: Annotated[
        tuple[Sentence, ...], Meta(max_length=100, description="Tools and actions that are never allowed, by name.")
    ] = ()
    writes: Annotated[
        tuple[RecordKind, ...], Meta(max_length=100, description="The only record kinds it may write.")
    ] = ()
    limits: Limits = Limits()
    policy: PolicyDocument = PolicyDocument()
    autonomy: Level | None = None
    on_mismatch: OnMismatch = "ask"
    compensate: Annotated[
        bool, Meta(description="Whether what a run did is undone, newest first, when it does not complete.")
    ] = True
    on_outage: Annotated[
        OnOutage | None, Meta(description="Of steps that say nothing; without it, as the tool says.")
    ] = None
    planner: Annotated[
        Literal["steps", "outside", "model"],
        Meta(
            description="Who decides what is called: the steps of this document, an agent outside that asks, a model."
        ),
    ] = "steps"
    agent: Annotated[Agent | None, Meta(description="Of the planner `model`, and of no other.")] = None
    routes: Annotated[
        tuple[Name, ...],
        Meta(
            max_length=50,
            description="Routes of the tenant by which an agent outside may ask models; none: it may ask none. Of the"
            " planner `outside`, and of no other.",
        ),
    ] = ()
    steps: Annotated[
        Steps,
        Meta(min_length=1, description="Of the planner `steps`; of `model`, what takes over from it. Of no other."),
    ] = ()
    result: Annotated[dict[str, Any], Meta(description="The run's output; without it, the last step's.")] | None = None
