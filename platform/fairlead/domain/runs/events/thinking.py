"""Facts of a model call: what was asked, whom it went to and why, what came of it and what it cost.

A call passes requested → routed → completed. An attempt that fails is followed by another, of the same candidate or the
next, or the call fails for good. What is refused was never sent.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from fairlead.domain.envelope import Event
from fairlead.domain.ids import ModelCallId
from fairlead.domain.instant import Instant
from fairlead.domain.models.answer import FinishReason
from fairlead.domain.models.asking import ModelCandidate, PromptUsed
from fairlead.domain.models.failures import FailureClass
from fairlead.domain.money import UsdMicros

Purpose = Literal["step", "turn", "repair", "summary", "door"]
AskedThrough = Literal["run", "openai_chat", "openai_responses", "anthropic_messages"]
ModelErrorClass = FailureClass | Literal["outage", "budget"]
ModelRefusedBy = Literal[
    "budget", "policy", "guardrail", "residency", "switch", "price", "limit", "route", "permission"
]
ModelHeldFor = Literal["budget", "switch", "outage", "rate", "concurrency"]
CachedHow = Literal["", "exact", "similar"]
Count = Annotated[int, Meta(ge=0)]


class Reason(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`code` is permanent. The figure that spoke, in its `unit`, the one it was held against, or a name."""

    code: str
    value: int | None = None
    bound: int | None = None
    unit: str = ""
    word: str = ""


class PassedOver(Struct, frozen=True, kw_only=True):
    """A candidate, by its name in the route, that was not taken."""

    candidate: str
    because: Reason


class TokensUsed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`input` is all that was read and `output` all that was written; the others are parts of them."""

    input: Count = 0
    cached_input: Count = 0
    cache_write: Count = 0
    output: Count = 0
    reasoning: Count = 0

    @property
    def all(self) -> int:
        return self.input + self.output


class ModelCallRequested(Event, frozen=True, kw_only=True, tag="model_call.requested.v1", omit_defaults=True):
    """Something is to be asked of a model. `request` is what, redacted, in the platform's own form; which model it goes
    to is said by `model_call.routed.v1`.

    `step` is empty for what came through a door. `candidates` are those that the workflow names itself, in order, and
    empty where the `route` is the tenant's. `answer_schema_hash` is of the schema that the answer has to fit, where one
    is checked. `max_input_tokens` and `max_output_tokens` bound what a single attempt can use.
    """

    call_id: ModelCallId
    purpose: Purpose
    request: Any
    request_hash: str
    max_input_tokens: int
    max_output_tokens: int
    attempts: int
    step: str = ""
    route: str = ""
    candidates: tuple[ModelCandidate, ...] = ()
    prompt: PromptUsed | None = None
    tools: tuple[str, ...] = ()
    door: AskedThrough = "run"
    answer_schema_hash: str = ""
    timeout_s: float | None = None

    @property
    def max_tokens(self) -> int:
        return self.max_input_tokens + self.max_output_tokens


class ModelCallRouted(Event, frozen=True, kw_only=True, tag="model_call.routed.v1", omit_defaults=True):
    """An attempt goes to this model. It is on the log before the provider is asked; the first attempt is 1.

    `why` are the reasons in order; `candidate` is its name in the route. `reserved_usd_micros` is the most that the
    attempt can cost by the prices of `price_version`; `until` is when it counts as lost.
    """

    call_id: ModelCallId
    attempt: int
    provider: str
    model: str
    price_version: str
    reserved_usd_micros: UsdMicros
    until: Instant
    candidate: str = ""
    connection: str = ""
    region: str = ""
    why: tuple[Reason, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    route_version: int = 0
    worker: str = ""


class ModelCallHeld(Event, frozen=True, kw_only=True, tag="model_call.held.v1"):
    """The call waits before it is sent, and uses up no attempt: for more of a budget, or until a switch is released.

    It is looked at again at `until`, and may then have to wait on, which is not recorded again.
    """

    call_id: ModelCallId
    held_for: ModelHeldFor
    subject: str
    until: Instant


class ModelCallCompleted(Event, frozen=True, kw_only=True, tag="model_call.completed.v1", omit_defaults=True):
    """`answer` is redacted; `answer_hash` is over the canonical JSON of what is recorded here. `model` is the one that
    answered, in the provider's words.

    `usage` is null where the provider did not say: then the cost is the most that the attempt could cost, and `tokens`,
    which are those that count, the most that it could use. `cached`: no provider was asked, and `saved_usd_micros` is
    what that would have cost.
    """

    call_id: ModelCallId
    attempt: int
    provider: str
    model: str
    answer: Any
    answer_hash: str
    finish: FinishReason
    usage: TokensUsed | None
    cost_usd_micros: UsdMicros
    price_version: str
    latency_us: int
    tokens: int = 0
    first_token_us: int = 0
    streamed: bool = False
    cached: CachedHow = ""
    saved_usd_micros: UsdMicros = UsdMicros(0)
    worker: str = ""


class ModelCallAttemptFailed(Event, frozen=True, kw_only=True, tag="model_call.attempt_failed.v1", omit_defaults=True):
    """One attempt gave no answer that could be used. With `retry_at` the next begins then, without it at once.

    `charged_usd_micros` and `charged_tokens` count as spent: what it has cost, or the most that it can have cost where
    the provider may have charged for it.
    """

    call_id: ModelCallId
    attempt: int
    provider: str
    model: str
    error_class: ModelErrorClass
    code: str
    message: str
    latency_us: int
    candidate: str = ""
    charged_usd_micros: UsdMicros = UsdMicros(0)
    charged_tokens: int = 0
    retry_at: Instant | None = None
    worker: str = ""


class ModelCallResumed(Event, frozen=True, kw_only=True, tag="model_call.resumed.v1"):
    """The pause after a failed attempt is over: this attempt may go out."""

    call_id: ModelCallId
    attempt: int


class ModelCallFailed(Event, frozen=True, kw_only=True, tag="model_call.failed.v1"):
    """No further attempt is made; the step ends as failed."""

    call_id: ModelCallId
    error_class: ModelErrorClass
    code: str
    message: str
    attempts: int


class ModelCallRefused(Event, frozen=True, kw_only=True, tag="model_call.refused.v1"):
    """The call is not sent, or not sent again, and the step ends as denied; `by` says who or what refused."""

    call_id: ModelCallId
    by: ModelRefusedBy
    code: str
    reason: str


class ModelCallReleased(Event, frozen=True, kw_only=True, tag="model_call.released.v1"):
    """A person skipped the call; it will not be made."""

    call_id: ModelCallId
    reason: str


class GuardrailFound(Event, frozen=True, kw_only=True, tag="guardrail.found.v1", omit_defaults=True):
    """A detector found something in what was to be sent to a model, or in its answer. `where` is the path to it, and
    never the text."""

    side: Literal["input", "output"]
    detector: str
    version: str
    action: Literal["marked", "redacted", "blocked", "noted"]
    where: str
    step: str = ""
    call_id: ModelCallId = ModelCallId("")
