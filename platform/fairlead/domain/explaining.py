"""Why an action was taken, or a run ended so: a tree of events, each with its place on the log.

Nothing is told that was not recorded, and nothing is put into words of our own.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from fairlead.domain import approvals as a
from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.envelope import Actor, Kind, Recorded, position
from fairlead.domain.expressions import ExpressionInvalid
from fairlead.domain.instant import Instant
from fairlead.domain.masking import is_masked
from fairlead.domain.policies import PolicyPublished, ScopeKind
from fairlead.domain.policy.in_force import LayerInForce, PolicyInForce, deciding
from fairlead.domain.runs import events as e
from fairlead.domain.workflow.references import expression_of, reads
from fairlead.domain.workflows import WorkflowPublished

Part = Literal[
    "action", "ending", "plan", "definition", "input", "result", "rule", "approval", "signature", "person", "effect"
]
_LOOKED_INTO = re.compile(r"\$\{(.*?)\}", re.DOTALL)
_ENDINGS = (e.RunCompleted, e.RunFailed, e.RunImpossible, e.RunCancelled, e.RunCapped, e.RunExpired)
_BY_PEOPLE = (e.ToolCallEdited, e.ToolCallReplayed, e.ToolCallReleased, e.ToolCallDiscarded)
_EFFECTS = (
    e.ToolCallCompleted,
    e.ToolCallFailed,
    e.ToolCallDenied,
    e.ToolCallVerified,
    e.ToolCallOutcomeUnknown,
    e.ToolCallCompensated,
)
_THOUGHT = (e.ModelCallCompleted, e.ModelCallAttemptFailed, e.ModelCallFailed, e.ModelCallRefused)
_ROUTED = (e.ModelCallRouted, e.ModelCallHeld)


class Why(Struct, frozen=True, kw_only=True):
    """One event and what it goes back to. `part` is what it is in this explanation, `facts` what it says of that."""

    part: Part
    position: str
    stream: Kind
    stream_id: str
    type: str
    at: Instant
    actor: Actor
    facts: dict[str, Any]
    because: tuple["Why", ...] = ()


class Located(Struct, frozen=True):
    """An event, and the commit it is in."""

    recorded: Recorded[Any]
    index: int
    event: Any


class Evidence(Struct, frozen=True, kw_only=True):
    """What the log has of a run: its own history, that of its approvals by id, its workflow's, and of the policies
    around it those that decided, with their histories."""

    run: Sequence[Recorded[Any]]
    approvals: Mapping[str, Sequence[Recorded[Any]]]
    workflow: Sequence[Recorded[Any]]
    in_force: Sequence[PolicyInForce] = ()
    policies: Mapping[ScopeKind, Sequence[Recorded[Any]]] = {}


def why_call(evidence: Evidence, call_id: str) -> Why | None:
    """None for a call that the run never asked for."""
    return _Explaining(evidence).call(call_id)


def why_model_call(evidence: Evidence, call_id: str) -> Why | None:
    """Who wanted it asked, what that read, which model was chosen and why, what detectors found, what came of it."""
    return _Explaining(evidence).model_call(call_id)


def why_ending(evidence: Evidence) -> Why | None:
    """None for a run that has not ended."""
    return _Explaining(evidence).ending()


class _Explaining:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._run = list(_located(evidence.run))
        self._start = next((each for each in self._run if isinstance(each.event, e.RunStarted)), None)
        self._published = self._published_version()

    def call(self, call_id: str) -> Why | None:
        asked = self._first(e.ToolCallRequested, call_id)
        if asked is None:
            return None
        request: e.ToolCallRequested = asked.event
        step = self._step(request.step)
        because = [
            *self._plan(step),
            *self._asked_for(call_id),
            *self._read_by(step),
            *self._rules(request, asked),
            *self._signed(call_id),
            *(_node("person", each) for each in self._run if _is_of(each, _BY_PEOPLE, call_id)),
            *(
                _node("effect", each, _without_content(each.event))
                for each in self._run
                if _is_of(each, _EFFECTS, call_id)
            ),
        ]
        return _node("action", asked, because=because)

    def model_call(self, call_id: str) -> Why | None:
        asked = self._first(e.ModelCallRequested, call_id)
        if asked is None:
            return None
        request: e.ModelCallRequested = asked.event
        step = self._step(request.step) if request.step else None
        because = [
            *self._plan(step),
            *self._read_by(step),
            *(_node("rule", each) for each in self._run if _is_of(each, _ROUTED, call_id)),
            *(_node("rule", each) for each in self._run if _is_of(each, (e.GuardrailFound,), call_id)),
            *(_node("person", each) for each in self._run if _is_of(each, (e.ModelCallReleased,), call_id)),
            *(
                _node("effect", each, _without_content(each.event))
                for each in self._run
                if _is_of(each, _THOUGHT, call_id)
            ),
        ]
        return _node("action", asked, _without_content(request), because=because)

    def ending(self) -> Why | None:
        ended = next((each for each in self._run if isinstance(each.event, _ENDINGS)), None)
        if ended is None:
            return None
        because: list[Why] = []
        match ended.event:
            case e.RunFailed(step=step) if step:
                because += self._last_call_of(step)
            case e.RunCapped():
                because += [_node("rule", each) for each in self._run if isinstance(each.event, e.LimitReached)]
            case e.RunCompleted():
                because += self._read_by(self._document().get("result"))
        incidents = [_node("effect", each) for each in self._run if isinstance(each.event, e.IncidentReported)]
        facts = _without_content(ended.event)
        return _node("ending", ended, facts, because=[*because, *incidents, *self._plan(None)])

    def _last_call_of(self, step: str) -> list[Why]:
        calls = [
            each.event.call_id
            for each in self._run
            if isinstance(each.event, e.ToolCallRequested) and each.event.step == step
        ]
        asked = [
            each.event.call_id
            for each in self._run
            if isinstance(each.event, e.ModelCallRequested) and each.event.step == step
        ]
        found = self.call(calls[-1]) if calls else self.model_call(asked[-1]) if asked else None
        return [found] if found is not None else []

    def _plan(self, step: Any) -> list[Why]:
        if self._start is None:
            return []
        started: e.RunStarted = self._start.event
        facts = {
            "planner": started.planner,
            "workflow_id": started.workflow_id,
            "workflow_name": started.workflow_name,
            "workflow_version": started.workflow_version,
            "workflow_hash": started.workflow_hash,
            "started_by": started.started_by,
            **({"step": step} if step is not None else {}),
        }
        definition = []
        if self._published is not None:
            published: WorkflowPublished = self._published.event
            said = {"version": published.version, "document_hash": published.document_hash, "reason": published.reason}
            definition = [_node("definition", self._published, said)]
        return [_node("plan", self._start, facts, because=definition)]

    def _asked_for(self, call_id: str) -> Iterator[Why]:
        """By an agent outside, and through which door. The arguments are those of the call."""
        if (found := self._first(e.ToolCallAsked, call_id)) is not None:
            facts = _facts(found.event)
            del facts["arguments"]
            yield _node("plan", found, facts)

    def _read_by(self, source: Any) -> list[Why]:
        """What the expressions in it read: the run's input, what earlier steps gave, what people answered."""
        names, steps = _reads_of(source)
        found: list[Why] = []
        if self._start is not None and "input" in names:
            given = self._start.event.input
            found.append(_node("input", self._start, {"input": given, **_hashed("sha256", given)}))
        return found + [node for step in sorted(steps) for node in self._gave(step)]

    def _gave(self, step: str) -> Iterator[Why]:
        """Content by its hash."""
        calls = {
            each.event.call_id: each.event
            for each in self._run
            if isinstance(each.event, e.ToolCallRequested) and _step_name(each.event.step) == step
        }
        asked = {
            each.event.call_id
            for each in self._run
            if isinstance(each.event, e.ModelCallRequested) and _step_name(each.event.step) == step
        }
        questions = {
            each.event.question_id
            for each in self._run
            if isinstance(each.event, e.QuestionAsked) and _step_name(each.event.step) == step
        }
        for each in self._run:
            match each.event:
                case e.ToolCallCompleted(call_id=call_id) if call_id in calls:
                    yield _node("result", each, {"tool": calls[call_id].tool, **_without_content(each.event)})
                case e.ModelCallCompleted(call_id=asked_id) if asked_id in asked:
                    yield _node("result", each, _without_content(each.event))
                case e.QuestionAnswered(question_id=question_id) if question_id in questions:
                    yield _node("person", each)
                case e.StepRepaired(step=repaired) if _step_name(repaired) == step:
                    yield _node("person", each, _without_content(each.event))

    def _rules(self, request: e.ToolCallRequested, asked: Located) -> Iterator[Why]:
        for each in self._run:
            if _is_of(each, (e.ToolCallJudged,), request.call_id):
                layer = self._layer(each)
                facts = self._judgement(each, request, asked, layer)
                yield _node("rule", each, facts, because=self._published_layer(layer))

    def _in_force(self, judged: Located) -> PolicyInForce | None:
        version = frozenset((judged.event.policy_version,))
        return deciding(self._evidence.in_force, judged.recorded.sequence, version)

    def _layer(self, judged: Located) -> LayerInForce | None:
        """The policy that has the rule; None where it is the workflow's own, or none."""
        in_force, kind = self._in_force(judged), judged.event.rule_id.partition(":")[0]
        return next((each for each in in_force.layers if each.kind == kind), None) if in_force is not None else None

    def _published_layer(self, layer: LayerInForce | None) -> Iterator[Why]:
        if layer is None:
            return
        for each in _located(self._evidence.policies.get(layer.kind, ())):
            if isinstance(each.event, PolicyPublished) and each.event.version == layer.version:
                said = {name: getattr(each.event, name) for name in ("version", "document_hash", "reason")}
                yield _node("definition", each, {"layer": layer.kind, **said})

    def _judgement(
        self, judged: Located, request: e.ToolCallRequested, asked: Located, layer: LayerInForce | None
    ) -> dict[str, Any]:
        """What was decided, under which policies, the rule as it was published, and what it looked at."""
        said: e.ToolCallJudged = judged.event
        facts: dict[str, Any] = {
            "verdict": said.verdict,
            "rule_id": said.rule_id,
            "policy_version": said.policy_version,
            "reason": said.reason,
        }
        in_force = self._in_force(judged)
        if in_force is not None:
            shown = ("kind", "version", "document_hash")
            facts["layers"] = [{name: getattr(each, name) for name in shown} for each in in_force.layers]
        document = self._document().get("policy", {}) if layer is None else layer.document
        rule_id = said.rule_id if layer is None else said.rule_id.partition(":")[2]
        rule = next((each for each in document.get("rules", []) if each.get("id") == rule_id), None)
        if rule is None:
            return facts
        return facts | {"rule": rule, "values": self._values(rule.get("when"), request, judged, asked)}

    def _values(
        self, condition: str | None, request: e.ToolCallRequested, judged: Located, asked: Located
    ) -> dict[str, Any]:
        started = self._start.event if self._start is not None else None
        known = {
            "args": request.arguments,
            "tool": request.tool,
            "effect": request.effect,
            "principal": started.agent_principal_id if started else None,
            "env": started.environment_kind if started else None,
            "now": judged.recorded.commit.at,
            "run": {
                "input": started.input if started else None,
                "calls": self._calls_up_to(asked),
            },
        }
        if condition is None:
            return {"tool": request.tool, "effect": request.effect}
        return {name: known[name] for name in sorted(_names_in(condition)) if name in known}

    def _calls_up_to(self, asked: Located) -> dict[str, int]:
        counts: dict[str, int] = {}
        for each in self._run:
            if isinstance(each.event, e.ToolCallRequested):
                counts[each.event.tool] = counts.get(each.event.tool, 0) + 1
            if each is asked:
                break
        return counts

    def _signed(self, call_id: str) -> Iterator[Why]:
        for each in self._run:
            if _is_of(each, (e.ToolCallApprovalRequested,), call_id):
                history = self._evidence.approvals.get(each.event.approval_id, ())
                yield _node(
                    "approval",
                    each,
                    because=[_said(said) for said in _located(history) if not isinstance(said.event, _NOBODYS_SAY)],
                )
            elif _is_of(each, (e.ToolCallApproved, e.ToolCallApprovalVoided), call_id):
                yield _node("approval", each)

    def _first(self, kind: type[Any], call_id: str) -> Located | None:
        return next((each for each in self._run if _is_of(each, (kind,), call_id)), None)

    def _published_version(self) -> Located | None:
        version = self._start.event.workflow_version if self._start is not None else None
        return next(
            (
                each
                for each in _located(self._evidence.workflow)
                if isinstance(each.event, WorkflowPublished) and each.event.version == version
            ),
            None,
        )

    def _document(self) -> dict[str, Any]:
        return self._published.event.document if self._published is not None else {}

    def _step(self, path: str) -> Any:
        """As the document has it; None for a path that cannot be found there."""
        return next(_steps_called(self._document().get("steps"), _step_name(path)), None)


def _located(history: Iterable[Recorded[Any]]) -> Iterator[Located]:
    """A fork's inherited events are where the fork is."""
    for recorded in history:
        for index, event in enumerate(recorded.commit.events):
            if isinstance(event, e.RunForked):
                yield from (Located(recorded, index, each) for each in _inherited(event))
            yield Located(recorded, index, event)


def _inherited(fork: e.RunForked) -> Iterator[Any]:
    for event in fork.inherited:
        if isinstance(event, e.RunForked):
            yield from _inherited(event)
        else:
            yield event


def _node(part: Part, of: Located, facts: dict[str, Any] | None = None, because: Iterable[Why] = ()) -> Why:
    commit = of.recorded.commit
    return Why(
        part=part,
        position=position(of.recorded.sequence, of.index),
        stream=commit.kind,
        stream_id=commit.stream_id,
        type=str(of.event.__struct_config__.tag),
        at=commit.at,
        actor=commit.actor,
        facts=_facts(of.event) if facts is None else facts,
        because=tuple(because),
    )


# What happens around an approval without anybody saying anything to it.
_NOBODYS_SAY = (a.ApprovalClaimed, a.ApprovalDueSoon, a.ReviewersTold)


def _said(said: Located) -> Why:
    """Of an approval: what people were shown, and what each of them said. What they were shown is given by its hash."""
    if isinstance(said.event, a.ApprovalRequested):
        facts = _facts(said.event)
        facts["evidence"] = _hashed("sha256", facts["evidence"])
        return _node("approval", said, facts)
    return _node("signature", said)


def _facts(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def _without_content(event: Any) -> dict[str, Any]:
    """What a tool gave, a model or a run, is named by its hash; so is what a model was asked."""
    facts = _facts(event)
    for name in ("request", "answer"):
        facts.pop(name, None)
    if "output" in facts:
        output = facts.pop("output")
        facts = {**_hashed("output_sha256", output), **facts}
    return facts


def _hashed(name: str, content: Any) -> dict[str, str]:
    """Nothing where it is masked: a hash of that would be taken for one of the content."""
    return {} if is_masked(content) else {name: canonical_sha256(content)}


def _is_of(located: Located, kinds: tuple[type[Any], ...], call_id: str) -> bool:
    return isinstance(located.event, kinds) and located.event.call_id == call_id


def _step_name(path: str) -> str:
    """`lines[2].check` is a step `check` within `lines`."""
    return re.split(r"[./]", re.sub(r"\[[^\]]*\]", "", path))[-1]


def _steps_called(source: Any, name: str) -> Iterator[Any]:
    if isinstance(source, dict):
        if source.get("id") == name:
            yield source
        for inner in source.values():
            yield from _steps_called(inner, name)
    elif isinstance(source, list):
        for inner in source:
            yield from _steps_called(inner, name)


def _reads_of(source: Any) -> tuple[set[str], set[str]]:
    """Names and steps that the expressions within it read."""
    names, steps = set[str](), set[str]()
    for text in _texts(source):
        whole = expression_of(text)
        for expression in [whole] if whole is not None else _LOOKED_INTO.findall(text):
            try:
                found = reads(expression.strip())
            except ExpressionInvalid:
                continue
            names |= found.names
            steps |= found.steps
    return names, steps


def _names_in(condition: str) -> frozenset[str]:
    try:
        return reads(condition).names
    except ExpressionInvalid:
        return frozenset()


def _texts(source: Any) -> Iterator[str]:
    if isinstance(source, str):
        yield source
    elif isinstance(source, dict):
        for inner in source.values():
            yield from _texts(inner)
    elif isinstance(source, list | tuple):
        for inner in source:
            yield from _texts(inner)
