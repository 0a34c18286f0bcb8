"""What a run's model call wants of a route, and what it has met so far."""

from collections.abc import Iterator

from fairlead_sdk.models import Ability

from fairlead.domain.ids import ModelCallId
from fairlead.domain.instant import Instant
from fairlead.domain.models.content import Image
from fairlead.domain.models.request import ModelRequest, ToolOffer
from fairlead.domain.routing.asking import Choice, NoRoute, Reason, Tried, Wanted
from fairlead.domain.routing.document import Cause
from fairlead.domain.runs import events as e
from fairlead.domain.runs.states import Active

ANSWER_INVALID = "answer_invalid"
LOW_CONFIDENCE = "low_confidence"
NOT_GOOD_ENOUGH = (ANSWER_INVALID, LOW_CONFIDENCE)  # a dearer model is asked, and the same may be asked again later
CALL_OF_A_TURN = "call["
SESSION = "session"  # the label that calls of one conversation share


def wanted_by(
    run: Active,
    asked: e.ModelCallRequested,
    request: ModelRequest,
    failed: tuple[e.ModelCallAttemptFailed, ...],
    most_usd_micros: int | None,
    task_class: str = "",
) -> Wanted:
    start = run.start
    return Wanted(
        call_id=asked.call_id,
        workspace_id=start.workspace_id,
        environment_id=start.environment_id,
        task_class=task_class,
        abilities=frozenset(_abilities(request)),
        input_size_bytes=asked.max_input_tokens,
        max_output_tokens=asked.max_output_tokens,
        budget_left_usd_micros=most_usd_micros,
        escalations=tuple(_escalations(failed)),
        tool_errors=_failed_in_a_row(run),
        run=run.run_id,
        session=start.labels.get(SESSION, ""),
        principal=start.started_by,
        workflow=start.workflow_id,
    )


def tried_in(failed: tuple[e.ModelCallAttemptFailed, ...]) -> list[Tried]:
    """Since the last pause: after one, everybody may be asked again."""
    tried: list[Tried] = []
    for each in failed:
        if each.error_class != "outage" and each.error_class != "budget" and each.code not in NOT_GOOD_ENOUGH:
            tried.append(Tried(candidate=each.candidate, error_class=each.error_class))
        if each.retry_at is not None:
            tried.clear()
    return tried


def routed_by(choice: Choice, call_id: ModelCallId, attempt: int, until: Instant, worker: str) -> e.ModelCallRouted:
    return e.ModelCallRouted(
        call_id=call_id,
        attempt=attempt,
        provider=choice.provider,
        model=choice.model,
        candidate=choice.candidate,
        connection=choice.connection or "",
        region=choice.region,
        why=tuple(_reason(each) for each in choice.why),
        passed_over=passed_over(choice),
        route_version=choice.route_version,
        price_version=choice.priced.version,
        reserved_usd_micros=choice.reserve_usd_micros,
        until=until,
        worker=worker,
    )


def passed_over(said: Choice | NoRoute) -> tuple[e.PassedOver, ...]:
    return tuple(e.PassedOver(candidate=each.candidate, because=_reason(each.because)) for each in said.passed_over)


def _reason(of: Reason) -> e.Reason:
    return e.Reason(code=of.code, value=of.value, bound=of.bound, unit=of.unit, word=of.word)


def _abilities(request: ModelRequest) -> Iterator[Ability]:
    if any(isinstance(tool, ToolOffer) for tool in request.tools):
        yield Ability.TOOLS
    if any(isinstance(part, Image) for message in request.messages for part in message.parts):
        yield Ability.IMAGES
    if request.answer is not None:
        yield Ability.STRUCTURED


def _escalations(failed: tuple[e.ModelCallAttemptFailed, ...]) -> Iterator[Cause]:
    for each in failed:
        if each.code == ANSWER_INVALID:
            yield "schema_failure"
        elif each.code == LOW_CONFIDENCE:
            yield "low_confidence"


def _failed_in_a_row(run: Active) -> int:
    """Calls of tools that an agent has made last."""
    failed = 0
    for step, outcome in reversed(run.outcomes.items()):
        if step.startswith(CALL_OF_A_TURN):
            if outcome.status != "failed":
                return failed
            failed += 1
    return failed
