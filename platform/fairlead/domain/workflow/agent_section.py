"""The section `agent` of a workflow document whose planner is `model`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from fairlead.domain.guardrails.findings import Guardrails
from fairlead.domain.models.asking import ModelCandidate
from fairlead.domain.policy.document import RoleName

PROMPT_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
MAX_TURNS = 200
MAX_PARALLEL = 16

Fallback = Annotated[
    Literal["person", "steps", "read_only", "end"],
    Meta(description="Ask a person, go on with the declared steps, go on without writes, or end the run as failed."),
]


class Over(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`over` is allowed, the next is not."""

    over: Annotated[int, Meta(ge=0, le=1_000_000_000)]
    then: Fallback = "person"


class Under(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    under: Annotated[float, Meta(ge=0, le=1)]
    then: Fallback = "person"


class Then(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    then: Fallback


class Thresholds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is too much, and who takes over then. What is not there is not watched."""

    turns: Over | None = None
    tool_failures: Annotated[Over | None, Meta(description="Calls that failed, were denied or made no sense.")] = None
    retries: Annotated[Over | None, Meta(description="Attempts after the first, of all calls of tools.")] = None
    cost_usd_micros: Annotated[Over | None, Meta(description="Of model calls.")] = None
    confidence: Annotated[Under | None, Meta(description="What the model says of its own result, 0 to 1.")] = None
    repetition: Annotated[Over, Meta(description="The same call with the same result.")] = Over(over=2, then="end")
    no_progress: Annotated[Over, Meta(description="Turns in a row that brought nothing new.")] = Over(
        over=3, then="end"
    )
    model_failed: Annotated[Then, Meta(description="No model has answered, or the call was refused.")] = Then(
        then="end"
    )


class Agent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a model plans this workflow."""

    prompt: Annotated[str, Meta(pattern=PROMPT_NAME, max_length=63, description="The name of a prompt.")]
    prompt_version: (
        Annotated[int, Meta(ge=1, le=2**31 - 1, description="Without it, the newest when this document is published.")]
        | None
    ) = None
    route: Annotated[str, Meta(max_length=63, description="A route of the tenant.")] = ""
    candidates: Annotated[
        tuple[ModelCandidate, ...], Meta(max_length=10, description="Models in order, where there is no route.")
    ] = ()
    max_turns: Annotated[int, Meta(ge=1, le=MAX_TURNS)] = 15
    max_output_tokens: Annotated[int, Meta(ge=1, le=200_000)] = 4_096
    max_parallel_calls: Annotated[int, Meta(ge=1, le=MAX_PARALLEL)] = 8
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=600, description="Of one attempt.")] | None = None
    context_chars: Annotated[
        int, Meta(ge=1_000, le=2_000_000, description="More than this, and older turns are summarised.")
    ] = 120_000
    keep_turns: Annotated[int, Meta(ge=1, le=50, description="So many of the newest are never summarised.")] = 4
    result_chars: Annotated[int, Meta(ge=100, le=200_000, description="Of one result; the rest is left out.")] = 12_000
    ask_roles: Annotated[tuple[RoleName, ...], Meta(max_length=20, description="Who answers its questions.")] = ()
    ask_timeout_s: Annotated[int, Meta(ge=1, le=7_776_000)] | None = None
    guardrails: Guardrails = Guardrails()
    thresholds: Thresholds = Thresholds()
