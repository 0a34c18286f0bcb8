"""A route as tenants write it: which models may answer, in which order, and within which bounds."""

from typing import Annotated, Literal

from fairlead_sdk.models import Ability
from msgspec import Meta, Struct

from fairlead.domain.models.failures import FailureClass
from fairlead.domain.policy.document import ConnectorName
from fairlead.domain.workflow.document import ConnectionName

MAX_CANDIDATES = 20
MAX_TIER = 9
MAX_WEIGHT = 1_000
MAX_ATTEMPTS = 10
DAY_S = 86_400

CandidateId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$", description="Named in every choice.")]
Region = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$", description="A word of your own, such as `eu`.")]
TaskClass = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
ModelName = Annotated[str, Meta(min_length=1, max_length=200, description="The provider's own name for it.")]
Percent = Annotated[int, Meta(ge=0, le=100)]
Micros = Annotated[int, Meta(ge=0, le=10**12)]
Milliseconds = Annotated[int, Meta(ge=1, le=600_000)]
Tokens = Annotated[int, Meta(ge=1, le=100_000_000)]
Regions = Annotated[tuple[Region, ...], Meta(min_length=1, max_length=50)]
TaskClasses = Annotated[tuple[TaskClass, ...], Meta(max_length=50)]
Abilities = Annotated[tuple[Ability, ...], Meta(max_length=len(Ability))]

Cause = Literal["low_confidence", "schema_failure", "tool_error"]
Prefer = Literal["weights", "price", "latency", "quality"]
Sticky = Literal["none", "run", "session", "principal", "workflow"]


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a call may cost at most, whatever is cached; and figures of the last minutes that a model is to keep to.

    Who is known to be past a figure is asked only when nobody else is left. `least_calls` have to be known before.
    """

    max_call_usd_micros: Micros | None = None
    max_p95_ms: Milliseconds | None = None
    max_failure_percent: Percent | None = None
    min_quality_percent: (
        Annotated[int, Meta(ge=0, le=100, description="Of its answers that were checked, so many were right.")] | None
    ) = None
    least_calls: Annotated[int, Meta(ge=1, le=10_000)] = 20


class Rollout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The candidate gets the first of these shares of its tier's calls, and the next once it has kept to the gates for
    `stage_s`. Where it does not, it gets none until somebody publishes the route again."""

    stages: Annotated[tuple[Annotated[int, Meta(ge=1, le=100)], ...], Meta(min_length=1, max_length=10)] = (
        1,
        5,
        25,
        100,
    )
    stage_s: Annotated[int, Meta(ge=60, le=30 * DAY_S)] = DAY_S
    gates: Bounds


class Candidate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of a provider, over one of the connections where the call is made (left out: the only one there).

    Tier 0 is asked first. Within a tier calls are shared by `weight`; 0: only when the others cannot. `abilities`,
    `context_tokens`, `max_output_tokens` and `regions` are yours to say where the provider's connector does not.
    """

    id: CandidateId
    provider: ConnectorName
    model: ModelName
    connection: ConnectionName | None = None
    tier: Annotated[int, Meta(ge=0, le=MAX_TIER)] = 0
    weight: Annotated[int, Meta(ge=0, le=MAX_WEIGHT)] = 1
    abilities: Abilities = ()
    context_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    regions: Annotated[tuple[Region, ...], Meta(max_length=50, description="Where what is sent may be read.")] = ()
    task_classes: Annotated[TaskClasses, Meta(description="Only these; empty: every one.")] = ()
    rollout: Rollout | None = None


class Escalation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the next tier is asked, and how often at most for one step. `confidence_at` is a JSON Pointer into the
    structured answer, to a number from 0 to 1."""

    on: Annotated[tuple[Cause, ...], Meta(min_length=1, max_length=3)] = (
        "low_confidence",
        "schema_failure",
        "tool_error",
    )
    max_steps: Annotated[int, Meta(ge=1, le=MAX_TIER)] = 1
    confidence_at: Annotated[str, Meta(pattern=r"^(/[^/]{1,100}){1,10}$", max_length=300)] | None = None
    min_confidence: Annotated[float, Meta(ge=0, le=1)] = 0.7
    tool_errors: Annotated[int, Meta(ge=1, le=20, description="So many failed calls of tools in a row.")] = 3


class Fallback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After which failures another candidate is asked, and how often a model is asked in all."""

    on: Annotated[tuple[FailureClass, ...], Meta(max_length=8)] = (
        "transient",
        "rate_limited",
        "timeout",
        "permission",
        "permanent",
        "context_too_long",
    )
    max_attempts: Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)] = 3
    attempts_each: Annotated[int, Meta(ge=1, le=3)] = 1


class ExactCache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whoever asks exactly the same within `ttl_s` is given the same answer."""

    ttl_s: Annotated[int, Meta(ge=1, le=7 * DAY_S)] = 3_600


class SimilarCache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question whose words are alike by `threshold` at least, all else being the same, is given the same answer."""

    ttl_s: Annotated[int, Meta(ge=1, le=7 * DAY_S)] = 3_600
    threshold: Annotated[float, Meta(ge=0.5, le=1)] = 0.95


class Caching(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing is kept unless it says so."""

    exact: ExactCache | None = None
    similar: SimilarCache | None = None


class RouteDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Candidates stand in the order in which they are fallen back on, within their tiers.

    `regions` are the only ones in which anything may be read, `abilities` what every call by the route needs.
    `sticky`: calls with the same run, label `session`, principal or workflow stay with one model while it can be asked.
    """

    fairlead_route: Annotated[Literal[1], Meta(description="Version of this document format.")]
    title: Annotated[str, Meta(max_length=200)] = ""
    candidates: Annotated[tuple[Candidate, ...], Meta(min_length=1, max_length=MAX_CANDIDATES)]
    task_classes: Annotated[TaskClasses, Meta(description="What it is for; empty: everything.")] = ()
    abilities: Abilities = ()
    regions: Regions | None = None
    prefer: Annotated[
        Prefer, Meta(description="How one of a tier is chosen: by weights, or by a figure of the last minutes.")
    ] = "weights"
    sticky: Sticky = "none"
    bounds: Bounds = Bounds()
    escalation: Escalation | None = None
    fallback: Fallback = Fallback()
    cache: Caching = Caching()
