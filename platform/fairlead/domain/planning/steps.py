"""The planner of declared steps: compiles a document once, then answers from the view alone.

A step in a branch that was not taken reads as `skipped`. The run's output is the `result` of the document, or the
output of the last step where it declares none; after `end: completed` without a `result` it is null.
"""

from fairlead.domain.expressions import Expressions
from fairlead.domain.models.asking import ModelCandidate
from fairlead.domain.models.content import Message, Text
from fairlead.domain.models.request import AnswerSchema, ModelRequest, Sampling
from fairlead.domain.planning import nodes
from fairlead.domain.planning.nodes import WAITING, Decide, Leaf, Node, Sequence
from fairlead.domain.planning.seam import (
    AskModel,
    AskPerson,
    AwaitSignal,
    AwaitTime,
    CallTool,
    Decision,
    Fail,
    Finish,
    PlanView,
)
from fairlead.domain.planning.values import Compiler, evaluated
from fairlead.domain.planning.walk import RunCompletes, RunEnds, StepFailed, TooManySteps, Walk
from fairlead.domain.workflow.document import (
    MAX_RUN_STEPS,
    AskStep,
    CallStep,
    EachStep,
    EndStep,
    IfStep,
    ModelStep,
    ParallelStep,
    Step,
    Steps,
    WaitStep,
    Workflow,
)

_FAILURES = frozenset({"failed", "denied", "timed_out"})
_LATE = frozenset({"timed_out"})


class StepsPlanner:
    """Immutable once built: keep one per workflow version and share it."""

    def __init__(self, workflow: Workflow, expressions: Expressions) -> None:
        compiler = Compiler(expressions)
        self._body = _Builder(compiler, workflow).sequence(workflow.steps, frozenset())
        self._result = None if workflow.result is None else compiler.value(workflow.result, frozenset())

    def plan(self, view: PlanView) -> list[Decision]:
        """See the seam. Takes time in proportion to the steps and items that have begun."""
        walk = Walk(view)
        try:
            return self._decided(walk)
        except StepFailed as failed:
            return walk.ended(_failure(failed))
        except RunEnds as end:
            return walk.ended(end.ending)
        except TooManySteps:
            return [Fail(code="too_many_steps", message=f"the run comes to more than {MAX_RUN_STEPS} steps")]

    def _decided(self, walk: Walk) -> list[Decision]:
        try:
            output = self._body.walk(walk)
        except RunCompletes:
            output = None
        if output is WAITING:
            return walk.decisions
        return walk.ended(Finish(output=evaluated(walk, "", self._result) if self._result else output))


def _failure(failed: StepFailed) -> Fail:
    status, error = failed.outcome.status, failed.outcome.error
    if error is None:
        return Fail(code=status, message=f"step {failed.path} ended as {status}", step=failed.path)
    return Fail(code=error.code, message=error.message, step=failed.path)


class _Builder:
    """From document to nodes. `items` are the names that the `each`es around a step give to their items."""

    def __init__(self, compiler: Compiler, workflow: Workflow) -> None:
        self._compiler = compiler
        self._workflow = workflow

    def sequence(self, steps: Steps, items: frozenset[str]) -> Sequence:
        return Sequence(tuple(self._node(step, items) for step in steps))

    def _node(self, step: Step, items: frozenset[str]) -> Node:
        match step:
            case CallStep():
                handler = () if step.go_on else step.on_failure
                return self._leaf(step.id, self._call(step, items), _FAILURES, handler, items)
            case ModelStep():
                handler = () if step.go_on else step.on_failure
                return self._leaf(step.id, self._model(step, items), _FAILURES, handler, items)
            case AskStep(ask=ask):
                return self._leaf(step.id, self._ask(step, items), _LATE, _handler(ask.on_timeout), items)
            case WaitStep(wait=wait):
                return self._leaf(step.id, self._wait(step, items), _LATE, _handler(wait.on_timeout), items)
            case IfStep():
                then, otherwise = self.sequence(step.then, items), self.sequence(step.otherwise, items)
                return nodes.If(step.id, self._compiler.condition(step.condition, items), then, otherwise)
            case ParallelStep(parallel=parallel):
                # By name: documents are kept with names sorted, so where a branch stands in the text is not known.
                branches = {name: self.sequence(branch, items) for name, branch in sorted(parallel.branches.items())}
                return nodes.Parallel(step.id, branches, parallel.tolerate)
            case EachStep():
                return self._each(step, items)
            case EndStep(end=end):
                return nodes.End(step.id, end.outcome, self._compiler.sentence(end.reason, items))

    def _leaf(
        self, step_id: str, decide: Decide, handled: frozenset[str], handler: Steps | None, items: frozenset[str]
    ) -> Leaf:
        return Leaf(step_id, decide, handled, None if handler is None else self.sequence(handler, items))

    def _each(self, step: EachStep, items: frozenset[str]) -> nodes.Each:
        each = step.each
        body = self.sequence(each.steps, items | {each.name})
        source = self._compiler.expression(each.items, items)
        bounds = (each.max_items, each.concurrency)
        return nodes.Each(step.id, source, each.name, bounds, body, tuple(_ids(each.steps)))

    def _call(self, step: CallStep, items: frozenset[str]) -> Decide:
        arguments = self._compiler.value(step.arguments, items)
        on_mismatch = step.on_mismatch or self._workflow.on_mismatch
        compensate = self._workflow.compensate if step.compensate is None else step.compensate
        on_outage = step.on_outage or self._workflow.on_outage
        return lambda walk, path: CallTool(
            step=path,
            tool=step.call,
            arguments=evaluated(walk, path, arguments),
            retry=step.retry,
            timeout_s=step.timeout_s,
            on_mismatch=on_mismatch,
            compensate=compensate,
            on_outage=on_outage,
        )

    def _model(self, step: ModelStep, items: frozenset[str]) -> Decide:
        asked = step.model
        said = [(each.role, each.text) for each in asked.messages or ()]
        if asked.prompt is not None:
            said.append(("user", asked.prompt))
        if asked.system is not None:
            said.insert(0, ("system", asked.system))
        prompts = [(role, self._compiler.prompt(text, items)) for role, text in said]
        candidates = tuple(
            ModelCandidate(provider=each.provider, model=each.model, connection=each.connection or "")
            for each in asked.use or ()
        )
        schema = AnswerSchema(document=asked.answer) if asked.answer is not None else None
        sampling = Sampling(max_output_tokens=asked.max_output_tokens, temperature=asked.temperature)

        def ask(walk: Walk, path: str) -> AskModel:
            messages = tuple(
                Message(role=role, parts=(Text(text=evaluated(walk, path, prompt)),)) for role, prompt in prompts
            )
            return AskModel(
                step=path,
                request=ModelRequest(model="", messages=messages, answer=schema, sampling=sampling),
                route=asked.route or "",
                candidates=candidates,
                checked=schema is not None,
                attempts=asked.attempts,
                timeout_s=asked.timeout_s,
            )

        return ask

    def _ask(self, step: AskStep, items: frozenset[str]) -> Decide:
        ask = step.ask
        question = self._compiler.sentence(ask.question, items)
        return lambda walk, path: AskPerson(
            step=path,
            question=evaluated(walk, path, question),
            schema=ask.schema,
            roles=ask.roles,
            timeout_s=ask.timeout_s,
        )

    def _wait(self, step: WaitStep, items: frozenset[str]) -> Decide:
        wait = step.wait
        if wait.until is not None:
            until = self._compiler.expression(wait.until, items)
            return lambda walk, path: nodes.await_instant(path, evaluated(walk, path, until))
        if wait.signal is not None:
            signal = wait.signal
            return lambda _, path: AwaitSignal(step=path, name=signal, timeout_s=wait.timeout_s)
        return lambda _, path: AwaitTime(step=path, seconds=wait.seconds)


def _handler(on_timeout: Steps | str) -> Steps | None:
    return None if isinstance(on_timeout, str) else on_timeout


def _ids(steps: Steps) -> list[str]:
    """Ids of the steps at any depth."""
    found = []
    for step in steps:
        found.append(step.id)
        for block in _blocks(step):
            found += _ids(block)
    return found


def _blocks(step: Step) -> tuple[Steps, ...]:
    match step:
        case CallStep() | ModelStep():
            return (step.on_failure or (),)
        case IfStep():
            return (step.then, step.otherwise)
        case ParallelStep(parallel=parallel):
            return tuple(parallel.branches.values())
        case EachStep(each=each):
            return (each.steps,)
        case AskStep(ask=ask):
            return (_handler(ask.on_timeout) or (),)
        case WaitStep(wait=wait):
            return (_handler(wait.on_timeout) or (),)
        case EndStep():
            return ()
