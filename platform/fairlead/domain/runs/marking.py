"""Which places in the content of a run are sensitive: found when a fact is recorded, and sealed with it.

By the schemas of the tools, the workflow and the questions, where they speak of a value. Everywhere else, because it is
called like something that is marked somewhere in the workflow, or says what stands in a place that is sensitive.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol
from weakref import ref

from msgspec import Struct

from fairlead.domain.masking import WHOLE, has_marks, names_in, places_alike, places_of, texts_at
from fairlead.domain.planning.seam import StepOutcome
from fairlead.domain.runs import events as e
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.states import Active, Ended, RunState
from fairlead.domain.sealing import Marks
from fairlead.domain.workflow.document import CallStep, Workflow

MOST_TEXTS = 1_000  # that are looked for elsewhere; of a run with more, all content is sensitive

Schema = dict[str, Any]


class Schemas(Protocol):
    """Of a tool."""

    @property
    def input_schema(self) -> Schema: ...
    @property
    def output_schema(self) -> Schema: ...


class Sensitive:
    """What is sensitive in runs of one version of a workflow. `tools` are those it names; one that is not known any
    more, by None, is sensitive as a whole."""

    def __init__(self, workflow: Workflow, tools: Mapping[str, Schemas | None]) -> None:
        self.input, self.output = workflow.input, workflow.output
        self.tools = tools
        self.seen = _Seen()
        schemas = [self.input, self.output]
        schemas += [each for tool in tools.values() if tool for each in (tool.input_schema, tool.output_schema)]
        self.is_there = None in tools.values() or any(map(has_marks, schemas))
        self.names = frozenset[str]().union(*map(names_in, schemas)) if self.is_there else frozenset()
        self.is_told_to_models = workflow.planner == "model"  # what tools gave stands in what models are asked
        self.tool_of = dict(_calls(workflow.steps)) if self.is_there else {}

    def arguments(self, tool: str, value: Any) -> tuple[str, ...]:
        known = self.tools.get(tool)
        return places_of(known.input_schema, value) if known else WHOLE

    def given(self, tool: str, value: Any) -> tuple[str, ...]:
        known = self.tools.get(tool)
        return places_of(known.output_schema, value) if known else WHOLE


def marks(sensitive: Sensitive, before: RunState, facts: Sequence[e.RunEvent]) -> Marks | None:
    """None where nothing can be sensitive."""
    return None if not sensitive.is_there else _Marking(sensitive, before, fold(before, facts), facts)


def known_texts(sensitive: Sensitive, run: Active) -> frozenset[str] | None:
    """What is said in sensitive places of the run so far. None: more than can be looked for."""
    return _Marking(sensitive, run, run, ()).known if sensitive.is_there else frozenset()


class _Seen:
    """What outcomes say in sensitive places, for as long as they are there: each is looked through once."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[ref[StepOutcome], frozenset[str]]] = {}

    def texts_of(self, outcome: StepOutcome, look: Callable[[], Iterable[str]]) -> frozenset[str]:
        key = id(outcome)
        known = self._texts.get(key)
        if known is not None and known[0]() is outcome:
            return known[1]
        found = frozenset(look())
        self._texts[key] = ref(outcome, lambda gone: self._drop(key, gone)), found
        return found

    def _drop(self, key: int, gone: ref[StepOutcome]) -> None:
        if key in self._texts and self._texts[key][0] is gone:
            del self._texts[key]


class _Marking:
    def __init__(self, sensitive: Sensitive, before: RunState, after: RunState, facts: Sequence[e.RunEvent]) -> None:
        self._sensitive = sensitive
        runs = [run for run in map(_run, (before, after)) if run is not None]
        requests = [each for run in runs for each in _requests(run)] + list(_requested(facts))
        self._tool_of = {request.call_id: request.tool for request in requests}
        self._asked = {asked.question_id: asked.schema for run in runs for asked in run.questions.values()}
        texts = set(self._texts(runs, requests, facts))
        self.known = frozenset(texts) if len(texts) <= MOST_TEXTS else None

    def __call__(self, event: Any, tag: str, name: str, value: Any) -> tuple[str, ...]:
        if self.known is None:
            return WHOLE
        if tag == "Change" and not self._sensitive.names.isdisjoint(event.path.split("/")):
            return WHOLE
        places = {*self._by_schema(event, name, value), *places_alike(value, self._sensitive.names, self.known)}
        return WHOLE if "" in places else tuple(sorted(places))

    def _by_schema(self, event: Any, name: str, value: Any) -> tuple[str, ...]:
        match event:
            case e.RunStarted():
                return places_of(self._sensitive.input, value)
            case e.RunCompleted():
                return places_of(self._sensitive.output, value)
            case e.ModelCallRequested() | e.ModelCallCompleted() if self._sensitive.is_told_to_models:
                return WHOLE
            case e.ToolCallRequested(tool=tool) | e.ToolCallAsked(tool=tool):
                return self._sensitive.arguments(tool, value)
            case e.ToolCallEdited(call_id=call_id) | e.ToolCallAmended(call_id=call_id) if name == "arguments":
                return self._sensitive.arguments(self._tool_of.get(call_id, ""), value)
            case e.ToolCallCompleted(call_id=call_id):
                return self._sensitive.given(self._tool_of.get(call_id, ""), value)
            case e.QuestionAnswered(question_id=question_id) if question_id in self._asked:
                return places_of(self._asked[question_id], value)
            case _:
                return ()

    def _texts(
        self, runs: Sequence[Active], requests: Iterable[e.ToolCallRequested], facts: Iterable[e.RunEvent]
    ) -> Iterator[str]:
        """What stands in sensitive places."""
        sensitive = self._sensitive
        for run in runs[-1:]:  # no outcome is ever taken back
            yield from texts_at(run.start.input, places_of(sensitive.input, run.start.input))
            yield from self._texts_of_outcomes(run)
        for run in runs:
            asked = {ask.step: ask.tool for ask in run.asked.values()}
            for step, wanted in run.asks.items():
                yield from texts_at(wanted.arguments, sensitive.arguments(asked[step], wanted.arguments))
            for call in run.calls.values():
                if call.output is not None:
                    yield from texts_at(call.output, sensitive.given(call.request.tool, call.output))
        for request in requests:
            yield from texts_at(request.arguments, sensitive.arguments(request.tool, request.arguments))
        for fact in facts:
            if isinstance(fact, e.ToolCallCompleted | e.ToolCallEdited | e.ToolCallAmended | e.QuestionAnswered):
                value = _content_of(fact)
                yield from texts_at(value, self._by_schema(fact, "arguments", value))

    def _texts_of_outcomes(self, run: Active) -> Iterator[str]:
        sensitive, asked = self._sensitive, {ask.step: ask.tool for ask in run.asked.values()}
        for path, outcome in run.outcomes.items():
            tool = asked.get(path) or sensitive.tool_of.get(path.partition("[")[0])
            if tool is not None and outcome.output is not None:
                yield from sensitive.seen.texts_of(outcome, partial(_said_by, sensitive, tool, outcome.output))


def _said_by(sensitive: Sensitive, tool: str, output: Any) -> Iterator[str]:
    return texts_at(output, sensitive.given(tool, output))


def _content_of(fact: e.ToolCallCompleted | e.ToolCallEdited | e.ToolCallAmended | e.QuestionAnswered) -> Any:
    match fact:
        case e.ToolCallCompleted(output=value) | e.QuestionAnswered(answer=value):
            return value
        case e.ToolCallEdited(arguments=value) | e.ToolCallAmended(arguments=value):
            return value


def _run(state: RunState) -> Active | None:
    match state:
        case Active():
            return state
        case Ended(last=last):
            return last
        case _:
            return None


def _requests(run: Active) -> Iterator[e.ToolCallRequested]:
    yield from (call.request for call in run.calls.values())
    yield from (letter.call.request for letter in run.letters.values())
    yield from (effect.request for effect in run.effects)


def _requested(facts: Iterable[e.RunEvent]) -> Iterator[e.ToolCallRequested]:
    for fact in facts:
        if isinstance(fact, e.ToolCallRequested):
            yield fact
        elif isinstance(fact, e.RunForked):
            yield from _requested(fact.inherited)


def _calls(part: Any) -> Iterator[tuple[str, str]]:
    """The tool of each step that calls one, by the step's id."""
    if isinstance(part, CallStep):
        yield part.id, part.call
    if isinstance(part, Struct):
        for name in part.__struct_fields__:
            yield from _calls(getattr(part, name))
    elif isinstance(part, tuple | list):
        for each in part:
            yield from _calls(each)
