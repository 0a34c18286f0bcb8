"""Random runs of random documents against a world that reports twice, late, out of order and not at all.

Whatever happens: nothing that was decided breaks the fold, nothing is decided twice, no run is stuck, every run ends.
"""

from datetime import timedelta
from typing import Any, get_args

from fairlead_tenants.ids import PrincipalId, TenantId
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM, Commit
from fairlead.domain.errors import FairleadError
from fairlead.domain.ids import CommandId, RunId
from fairlead.domain.runs import commands as c
from fairlead.domain.runs import events as e
from fairlead.domain.runs.advance import _view
from fairlead.domain.runs.decide import decide, unfolded
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.obligations import (
    ApprovalOrder,
    CallOrder,
    Owed,
    UndoOrder,
    VerifyOrder,
    after,
    awaiting,
    outstanding,
)
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.runs.states import Active, Ended, OpenCall, RunState, initial
from tests.support.clock import T0
from tests.support.documents import Plain
from tests.support.run_documents import INPUT, run_documents
from tests.support.runs import R, rules_of, started, verdict

CODEC = Codec(EVENTS, UPCASTERS)
TENANT = TenantId("tnt_1")
ANN = PrincipalId("prn_ann")
UNDOING = (
    e.CompensationPlanned,
    e.CompensationDispatched,
    e.ToolCallCompensated,
    e.CompensationFailed,
    e.CompensationLeft,
    e.CompensationEnded,
)
LATE = (  # all that an ended run still takes down
    *(e.ToolCallCompleted, e.ToolCallFailed, e.IncidentReported),
    *(e.QuestionAsked, e.QuestionAnswered, e.QuestionExpired),
    *(e.ToolCallEdited, e.ToolCallReplayed, e.ToolCallDiscarded),
    *UNDOING,
)
DECIDES = (e.ToolCallRequested, e.SignalAwaited, e.TimeAwaited, e.ChoiceMade)
SOME: Any = st.integers(0, 1_000)
OUTCOMES: list[c.CallSucceeded | c.CallErred] = [
    c.CallSucceeded(output={"n": 1}),
    c.CallSucceeded(output={"n": 2**60}),
    *(c.CallErred(error_class=each, code="broken", message="it broke") for each in get_args(e.ErrorClass)),
    c.CallErred(error_class="rate_limited", code="slow", message="", retry_after_s=5.0),
    c.CallErred(error_class="timeout", code="timeout", message="", unclear=True),
    c.CallErred(error_class="permission", code="reconnect_needed", message="", connection_id="con_1"),
    c.CallErred(error_class="permission", code="scope_missing", message="", connection_id="con_1", scope="pay"),
]
UNDONE: list[c.Undone | c.CallErred] = [
    c.Undone(how="call"),
    c.Undone(how="nothing_to_undo"),
    c.CallErred(error_class="transient", code="busy", message=""),
    c.CallErred(error_class="permanent", code="no", message=""),
    c.CallErred(error_class="permission", code="reconnect_needed", message="", connection_id="con_1"),
]


LETTERS: dict[str, Any] = {
    "edit": lambda call_id, now: c.EditLetter(call_id=call_id, arguments={"name": "Bo"}, reason="mended", now=now),
    "replay": lambda call_id, now: c.ReplayLetter(call_id=call_id, reason="again", now=now),
    "renew": lambda call_id, now: c.ReplayLetter(call_id=call_id, reason="again", key="new", now=now),
    "fork": lambda call_id, now: c.ReplayLetter(call_id=call_id, reason="again", as_run=RunId("run_9"), now=now),
    "discard": lambda call_id, now: c.DiscardLetter(call_id=call_id, reason="enough", now=now),
}


class World:
    """One run and all that was ever owed to it or asked of it."""

    def __init__(self, rules: WorkflowRules, first: c.StartRun | c.ForkRun) -> None:
        self.rules = rules
        self.state: RunState = initial()
        self.history: list[e.RunEvent] = []
        self.brought: set[Owed] = set()
        self.seen: list[Owed] = []
        self.now = first.now
        self.do(first)

    def do(self, command: c.RunCommand) -> None:
        before = self.state
        if refusal := refused(command, before, self.rules):
            assert refused(command, before, self.rules) is refusal, "the same question gets the same refusal"
            return
        facts, self.state = unfolded(command, before, self.rules)
        assert fold(before, facts) == self.state
        self.history += facts
        assert fold(initial(), self.history) == self.state
        assert refused(command, self.state, self.rules) or decide(command, self.state, self.rules) == []
        if isinstance(before, Ended):
            assert all(isinstance(fact, LATE) for fact in facts)
        if facts:
            assert written_and_read(facts) == tuple(facts)
            self._take_note(after(TENANT, facts, self.state))

    def _take_note(self, owed: list[Owed]) -> None:
        self.seen += [each for each in owed if each not in self.brought]
        self.brought.update(owed)

    @property
    def calls(self) -> list[OpenCall]:
        state = self.state.last if isinstance(self.state, Ended) else self.state
        return list(state.calls.values()) if isinstance(state, Active) else []

    def of(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.history if isinstance(fact, kind)]


def refused(command: c.RunCommand, state: RunState, rules: WorkflowRules) -> type[FairleadError] | None:
    try:
        decide(command, state, rules)
    except FairleadError as refusal:
        return type(refusal)
    return None


def written_and_read(facts: list[e.RunEvent]) -> tuple[Any, ...]:
    commit: Commit[Any] = Commit(
        commit_id=CommandId("cmd_1"),
        tenant_id=TENANT,
        kind="run",
        stream_id=R,
        first_version=1,
        at=T0,
        actor=SYSTEM,
        events=tuple(facts),
    )
    return CODEC.decode("run", CODEC.encode(commit)).events


def check(world: World) -> None:
    """What holds for a run at any moment."""
    decided = [fact.step for kind in DECIDES for fact in world.of(kind)]
    decided += [fact.step for fact in world.of(e.QuestionAsked) if fact.purpose == "step"]
    assert len(decided) == len(set(decided)), "a step is decided once"
    calls = [fact.call_id for fact in world.of(e.ToolCallRequested)]
    assert len(calls) == len(set(calls))
    endings = world.of(get_args(e.RunEnding))  # type: ignore[arg-type]  # isinstance takes a tuple
    assert len(endings) == isinstance(world.state, Ended)
    if isinstance(world.state, Active):
        check_limits(world.state)
        check_progress(world.state, world.rules)
        check_owed(world, world.state)
    elif isinstance(world.state, Ended):
        check_undoing(world, world.state)


def check_limits(state: Active) -> None:
    assert state.tool_calls_used <= state.limits.tool_calls
    assert state.steps_used <= state.limits.steps
    assert state.tool_calls_used == sum(state.calls_by_tool.values())


def check_progress(state: Active, rules: WorkflowRules) -> None:
    if state.limit_reached is not None:
        assert any(asked.purpose == "limit" for asked in state.questions.values())
    elif state.paused is None:
        assert state.open, "a run under way waits for something"
        assert rules.planner.plan(_view(state, rules.workflow)) == [], "nothing that could be decided is left undecided"
    for step, what in state.open.items():
        assert is_coming(state, step, what), f"nothing will ever settle {step}"


def check_undoing(world: World, state: Ended) -> None:
    """All that can be undone is on its way to be, or was; nothing is undone twice, or of a run that completed."""
    undoing = state.undoing
    if state.outcome == "completed":
        assert not any(isinstance(fact, UNDOING) for fact in world.history)
        return
    done = {fact.call_id for fact in world.of(e.ToolCallCompleted)}
    wanted = {fact.call_id for fact in world.of(e.ToolCallRequested) if fact.compensate and fact.call_id in done}
    assert wanted <= {undo.call_id for undo in undoing.queue} | undoing.gone | undoing.left
    undone = [fact.call_id for fact in world.of(e.ToolCallCompensated) if fact.how != "nothing_to_undo"]
    assert len(undone) == len(set(undone))
    assert undoing.is_open == bool(undoing.queue)
    assert all(undo.phase == "waiting" for undo in undoing.queue[1:])
    for owed in outstanding(TENANT, state):
        assert owed in world.brought, owed


def is_coming(state: Active, step: str, what: str) -> bool:
    for call in state.calls.values():
        if call.request.call_id == what:
            purpose = {"unknown": "outcome", "drifted": "mismatch"}.get(call.phase)
            asked = any(each.purpose == purpose and each.step == step for each in state.questions.values())
            return asked if purpose else call.phase not in ("requested", "judged")
    return what in state.questions or step in state.signals_awaited or step in state.times_awaited


def check_owed(world: World, state: Active) -> None:
    """Nothing that is owed was forgotten when it arose."""
    for owed in outstanding(TENANT, state):
        is_deadline = isinstance(owed, c.Alarm) and owed.kind == "deadline"
        if not is_deadline or (state.paused is None and awaiting(state) != "work"):
            first = replace(owed, remade=False) if isinstance(owed, CallOrder) else owed
            assert {owed, first} & world.brought, owed


def serve_until_it_ends(world: World) -> None:
    """A world that does what it owes: the run must end, and undo what it did if it did not complete."""
    for _ in range(300):
        state = world.state
        if isinstance(state, Ended) and not state.undoing.is_open:
            return
        if isinstance(state, Ended):
            undo_one(world, state)
        elif isinstance(state, Active):
            serve_one(world, state)
        check(world)
    raise AssertionError("the run does not end")


def serve_one(world: World, state: Active) -> None:
    if state.paused is not None:
        world.do(c.ResumeRun(reason="", now=world.now))
    elif state.questions:
        answer(world, next(iter(state.questions.values())), {"raise_by": 1, "happened": True, "decision": "keep"})
    elif any(call.phase == "awaiting_connection" for call in state.calls.values()):
        world.do(c.ConnectionRestored(connection_id="con_1", granted=("pay",), now=world.now))
    elif state.signals_awaited:
        name = next(iter(state.signals_awaited.values())).name
        world.do(c.SendSignal(signal_id=f"last-{len(world.history)}", name=name, payload=None, now=world.now))
    else:
        owed = outstanding(TENANT, state)
        first = next((each for each in owed if not isinstance(each, c.Alarm)), None)
        serve(world, first or min((each for each in owed if isinstance(each, c.Alarm)), key=lambda each: each.due_at))


def undo_one(world: World, state: Ended) -> None:
    head = state.undoing.head
    assert head is not None, "what is open has something to do"
    if head.phase == "with_person":
        answer(world, state.last.questions[head.question_id], {"undo": "leave"})  # type: ignore[index]  # it was asked
    else:
        (owed,) = [each for each in outstanding(TENANT, state) if isinstance(each, UndoOrder | c.Alarm)]
        serve(world, owed)


def serve(world: World, owed: Owed) -> None:
    match owed:
        case CallOrder(call_id=call_id, attempt=attempt):
            report(world, call_id, attempt, c.CallSucceeded(output={"n": 1}))
        case VerifyOrder(call_id=call_id):
            world.do(verdict(call_id, c.ReadBack(found={"n": 1}), world.now))
        case UndoOrder(call_id=call_id, attempt=attempt):
            undone(world, call_id, attempt, c.Undone(how="call"))
        case ApprovalOrder(approval_id=approval_id):
            (asked,) = [fact for fact in world.of(e.ToolCallApprovalRequested) if fact.approval_id == approval_id]
            approve(world, asked)
        case c.Alarm(due_at=due_at):
            world.now = max(world.now, due_at)
            world.do(c.FireAlarm(alarm=owed, now=world.now))


def report(world: World, call_id: Any, attempt: int, outcome: c.CallSucceeded | c.CallErred) -> None:
    world.do(
        c.RecordOutcome(call_id=call_id, attempt=attempt, outcome=outcome, latency_us=1, worker="w", now=world.now)
    )


def undone(world: World, call_id: Any, attempt: int, outcome: c.Undone | c.CallErred) -> None:
    world.do(c.RecordUndo(call_id=call_id, attempt=attempt, outcome=outcome, latency_us=1, worker="w", now=world.now))


def approve(world: World, asked: e.ToolCallApprovalRequested, digest: str | None = None) -> None:
    world.do(
        c.RecordApproval(
            call_id=asked.call_id,
            approval_id=asked.approval_id,
            digest=digest or asked.digest,
            fingerprint="f",
            approved_by=(ANN,),
            now=world.now,
        )
    )


def answer(world: World, asked: e.QuestionAsked, values: Plain) -> None:
    keys = {"limit": "raise_by", "outcome": "happened", "mismatch": "decision"}
    value: Any = {keys[asked.purpose]: values[keys[asked.purpose]]} if asked.purpose in keys else "yes"
    if asked.purpose == "compensation":
        value = {"decision": values.get("undo", "retry"), "reason": "seen to"}
    world.do(
        c.AnswerQuestion(
            question_id=asked.question_id, answer=value, principal_id=ANN, role_names=("operator",), now=world.now
        )
    )


class RunMachine(RuleBasedStateMachine):
    world: World

    @initialize(document=run_documents())
    def start(self, document: tuple[list[Plain], Plain]) -> None:
        steps, fields = document
        rules = rules_of(*steps, **fields)
        self.world = World(rules, c.StartRun(started=started(rules, INPUT), now=T0))

    @property
    def is_under_way(self) -> bool:
        return isinstance(self.world.state, Active)

    def pick(self, items: list[Any], place: int) -> Any:
        """One of the items, or nothing when there is none."""
        return items[place % len(items)] if items else None

    @rule(place=SOME, outcome=st.sampled_from(OUTCOMES))
    def report_on_an_open_call(self, place: int, outcome: Any) -> None:
        if call := self.pick(self.world.calls, place):
            report(self.world, call.request.call_id, call.attempt, outcome)

    @rule(place=SOME, attempt=st.integers(0, 4), outcome=st.sampled_from(OUTCOMES))
    def report_on_any_call_and_attempt(self, place: int, attempt: int, outcome: Any) -> None:
        if requested := self.pick(self.world.of(e.ToolCallRequested), place):
            report(self.world, requested.call_id, attempt, outcome)

    @rule(place=SOME)
    def begin_a_call(self, place: int) -> None:
        if call := self.pick(self.world.calls, place):
            mark = c.MarkStarted(call_id=call.request.call_id, attempt=call.attempt, worker="w", now=self.world.now)
            self.world.do(mark)

    @rule(place=SOME)
    def forbid_a_call(self, place: int) -> None:
        if call := self.pick(self.world.calls, place):
            denial = c.DenyCall(
                call_id=call.request.call_id, by="permission", rule_id="r", reason="no", now=self.world.now
            )
            self.world.do(denial)

    @rule(place=SOME, off_s=st.sampled_from([-1, 0, 0, 0, 1, 30]))
    def ring_an_alarm_at_any_time(self, place: int, off_s: int) -> None:
        if alarm := self.pick([owed for owed in self.world.seen if isinstance(owed, c.Alarm)], place):
            at = alarm.due_at + timedelta(seconds=off_s)
            self.world.now = max(self.world.now, at)
            self.world.do(c.FireAlarm(alarm=alarm, now=at))

    @rule(place=SOME, digest=st.sampled_from([None, None, "other"]))
    def grant_an_approval(self, place: int, digest: str | None) -> None:
        if asked := self.pick(self.world.of(e.ToolCallApprovalRequested), place):
            approve(self.world, asked, digest)

    @rule(place=SOME)
    def refuse_an_approval(self, place: int) -> None:
        if asked := self.pick(self.world.of(e.ToolCallApprovalRequested), place):
            now = self.world.now
            self.world.do(c.RecordRefusal(call_id=asked.call_id, approval_id=asked.approval_id, reason="no", now=now))

    @rule(place=SOME)
    def judge_a_call_again(self, place: int) -> None:
        if call := self.pick(self.world.calls, place):
            self.world.do(c.VoidApproval(call_id=call.request.call_id, reason="moved", now=self.world.now))

    @rule(
        place=SOME,
        raise_by=st.integers(0, 2),
        happened=st.booleans(),
        decision=st.sampled_from(["keep", "keep", "fail"]),
        undo=st.sampled_from(["retry", "done_by_hand", "leave"]),
    )
    def answer_any_question(self, place: int, raise_by: int, happened: bool, decision: str, undo: str) -> None:
        values = {"raise_by": raise_by, "happened": happened, "decision": decision, "undo": undo}
        if asked := self.pick(self.world.of(e.QuestionAsked), place):
            answer(self.world, asked, values)

    @rule(
        place=SOME, seen=st.sampled_from([c.ReadBack(found={"n": 1}), c.ReadBack(found=None), c.CannotTell(reason="?")])
    )
    def read_a_call_back(self, place: int, seen: Any) -> None:
        if requested := self.pick(self.world.of(e.ToolCallRequested), place):
            self.world.do(verdict(requested.call_id, seen, self.world.now))

    @rule(signal_id=st.sampled_from("abc"), name=st.sampled_from(["go", "other"]))
    def signal(self, signal_id: str, name: str) -> None:
        self.world.do(c.SendSignal(signal_id=signal_id, name=name, payload={"by": signal_id}, now=self.world.now))

    @rule(place=SOME, attempt=st.integers(0, 3), outcome=st.sampled_from(UNDONE))
    def undo_any_call(self, place: int, attempt: int, outcome: Any) -> None:
        if requested := self.pick(self.world.of(e.ToolCallRequested), place):
            undone(self.world, requested.call_id, attempt, outcome)

    @rule(outcome=st.sampled_from(UNDONE))
    def undo_what_is_next(self, outcome: Any) -> None:
        head = self.world.state.undoing.head if isinstance(self.world.state, Ended) else None
        if head is not None:
            undone(self.world, head.call_id, head.attempt, outcome)

    @rule(place=SOME, what=st.sampled_from(["edit", "replay", "replay", "renew", "discard", "fork"]))
    def look_after_a_dead_letter(self, place: int, what: str) -> None:
        if requested := self.pick(self.world.of(e.ToolCallRequested), place):
            call_id, now = requested.call_id, self.world.now
            self.world.do(LETTERS[what](call_id, now))

    @rule(connection_id=st.sampled_from(["con_1", "con_2"]), granted=st.sampled_from([None, (), ("pay",)]))
    def give_access(self, connection_id: str, granted: Any) -> None:
        self.world.do(c.ConnectionRestored(connection_id=connection_id, granted=granted, now=self.world.now))

    @rule(seconds=st.sampled_from([1, 20]))
    def let_time_pass(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.is_under_way)
    @rule()
    def pause(self) -> None:
        self.world.do(c.PauseRun(reason="look", now=self.world.now))

    @rule()
    def resume(self) -> None:
        self.world.do(c.ResumeRun(reason="seen", now=self.world.now))

    @rule(place=SOME, how=st.sampled_from(["retried", "skipped", "result_supplied"]))
    def repair(self, place: int, how: Any) -> None:
        state = self.world.state
        step = self.pick([*state.open, "nowhere"], place) if isinstance(state, Active) else "nowhere"
        self.world.do(c.RepairStep(step=step, repair=how, reason="by hand", output={"n": 9}, now=self.world.now))

    @rule(version=SOME)
    def fork_at_any_version(self, version: int) -> None:
        """The child lives on its own and ends; the parent does not notice."""
        inherited = tuple(self.world.history[: version % len(self.world.history) + 1])
        if isinstance(fold(initial(), inherited), Ended):
            return
        fork = c.ForkRun(
            run_id=RunId("run_2"),
            parent_run_id=R,
            parent_version=len(inherited),
            inherited=inherited,
            forked_by=ANN,
            reason="what if",
            deadline_at=self.world.now + timedelta(days=1),
            now=self.world.now,
        )
        child = World(self.world.rules, fork)
        check(child)
        serve_until_it_ends(child)

    @precondition(lambda self: len(self.world.history) > 12)
    @rule()
    def cancel(self) -> None:
        self.world.do(c.CancelRun(reason="enough", now=self.world.now))

    @precondition(lambda self: len(self.world.history) > 12)
    @rule()
    def cut_short(self) -> None:
        pause = c.PauseRun(reason="too much", now=self.world.now)
        if self.is_under_way:
            self.world.do(c.CutShort(command=pause, now=self.world.now))

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            check(self.world)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.now = min(self.world.now, deadline_of(self.world) - timedelta(seconds=1))
            serve_until_it_ends(self.world)


def deadline_of(world: World) -> Any:
    match world.state:
        case Active(deadline_at=deadline_at) | Ended(last=Active(deadline_at=deadline_at)):
            return deadline_at
    raise AssertionError("the run has begun")


RunMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestRuns = RunMachine.TestCase
