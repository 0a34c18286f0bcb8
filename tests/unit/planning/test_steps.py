"""One table per construct: given what is known, when the planner is asked, then exactly these decisions."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.domain.planning.seam import (
    AskPerson,
    AwaitSignal,
    AwaitTime,
    CallTool,
    Choose,
    DeclareImpossible,
    Fail,
    Finish,
    StepOutcome,
)
from fairlead.domain.workflow.document import Retry
from tests.support.documents import Plain, Plans, ask, call, done, each, end, failed, parallel


def called(step: str, tool: str = "test.read", **arguments: Any) -> CallTool:
    return CallTool(step=step, tool=tool, arguments=arguments, retry=Retry(), timeout_s=None)


def reading(step_id: str, expression: Any, **fields: Any) -> Plain:
    return call(step_id, **{"with": {"x": expression}}, **fields)


class TestSequence:
    plans = Plans(call("a"), reading("b", "${steps.a.output.n + input.n}"))

    def test_only_the_first_step_is_possible_at_first(self) -> None:
        assert self.plans.plan() == [called("a")]

    def test_nothing_is_decided_while_it_is_open(self) -> None:
        assert self.plans.plan(waiting={"a"}) == []

    def test_the_next_one_reads_what_came_before(self) -> None:
        assert self.plans.plan({"a": done({"n": 2})}, data={"n": 40}) == [called("b", x=42)]

    def test_the_last_output_is_the_output(self) -> None:
        assert self.plans.plan({"a": done({"n": 2}), "b": done({"ok": True})}) == [Finish(output={"ok": True})]

    def test_a_step_that_an_operator_skipped_counts_as_done(self) -> None:
        assert self.plans.plan({"a": done({"n": 2}), "b": StepOutcome(status="skipped")}) == [Finish(output=None)]


def test_the_result_is_what_the_document_says() -> None:
    plans = Plans(call("a"), result={"total": "${steps.a.output.n}", "kept": ["x", {"run": "${run.id}"}], "plain": 1})
    expected = {"total": 3, "kept": ["x", {"run": "run_1"}], "plain": 1}
    assert plans.plan({"a": done({"n": 3})}) == [Finish(output=expected)]


def test_expressions_anywhere_within_with_are_evaluated_and_the_rest_stays() -> None:
    plans = Plans(
        reading("a", [{"deep": "${input.n}"}, "text", 1, None, "${run.workflow + '@' + string(run.version)}"])
    )
    assert plans.plan(data={"n": 5}) == [called("a", x=[{"deep": 5}, "text", 1, None, "invoice-check@7"])]


def test_the_time_of_the_start_is_rfc_3339() -> None:
    assert Plans(reading("a", "${run.started_at}")).plan() == [called("a", x="2026-03-02T09:00:00Z")]


def test_how_a_call_is_made_travels_with_it() -> None:
    plans = Plans(call("a", timeout_s=2.5, retry={"attempts": 1, "on": ["timeout"]}))
    retry = Retry(attempts=1, on=("timeout",))
    assert plans.plan() == [CallTool(step="a", tool="test.read", arguments={}, retry=retry, timeout_s=2.5)]


class TestFailure:
    def test_it_ends_the_run_with_the_code_of_the_step(self) -> None:
        plans = Plans(call("a"), call("b"))
        assert plans.plan({"a": failed("no_order")}) == [Fail(code="no_order", message="it was no_order", step="a")]

    @pytest.mark.parametrize("status", ["failed", "denied", "timed_out"])
    def test_without_an_error_the_status_is_the_code(self, status: Any) -> None:
        outcome = StepOutcome(status=status)
        assert Plans(call("a")).plan({"a": outcome}) == [
            Fail(code=status, message=f"step a ended as {status}", step="a")
        ]

    @pytest.mark.parametrize("status", ["failed", "denied", "timed_out"])
    def test_on_failure_takes_over_and_sees_the_error(self, status: Any) -> None:
        error = "${[steps.a.status, steps.a.error.code, steps.a.error.class, steps.a.error.message]}"
        plans = Plans(call("a", on_failure=[reading("b", error)]), call("c"))
        late = failed("no_order", status)
        assert plans.plan({"a": late}) == [called("b", x=[status, "no_order", "permanent", "it was no_order"])]
        assert plans.plan({"a": late, "b": done()}) == [called("c")]

    def test_on_failure_is_passed_over_after_success(self) -> None:
        plans = Plans(call("a", on_failure=[call("b")]), reading("c", "${steps.b.status}"))
        assert plans.plan({"a": done()}) == [called("c", x="skipped")]

    def test_continue_goes_on_with_the_error_on_record(self) -> None:
        plans = Plans(call("a", **{"continue": True}), reading("b", "${steps.a.error.code}"))
        assert plans.plan({"a": failed("no_order")}) == [called("b", x="no_order")]

    def test_a_step_that_went_well_has_no_error(self) -> None:
        plans = Plans(call("a"), reading("b", "${steps.a.error == null && steps.a.status == 'completed'}"))
        assert plans.plan({"a": done()}) == [called("b", x=True)]


class TestIf:
    plans = Plans(
        {"id": "check", "if": "${input.n > 10}", "then": [call("large")], "else": [call("small")]},
        reading("after", "${[steps.large.status, steps.small.status, steps.check.output]}"),
    )

    def test_the_choice_is_recorded_and_followed_at_once(self) -> None:
        assert self.plans.plan(data={"n": 11}) == [Choose(step="check", choice="then"), called("large")]
        assert self.plans.plan(data={"n": 10}) == [Choose(step="check", choice="else"), called("small")]

    def test_what_was_chosen_stands_whatever_the_condition_says_now(self) -> None:
        assert self.plans.plan(choices={"check": "else"}, data={"n": 11}) == [called("small")]

    def test_the_branch_not_taken_reads_as_skipped(self) -> None:
        found = self.plans.plan({"small": done(5)}, {"check": "else"})
        assert found == [called("after", x=["skipped", "completed", 5])]

    def test_without_else_there_is_nothing_to_do(self) -> None:
        plans = Plans({"id": "check", "if": "${false}", "then": [call("a")]})
        assert plans.plan() == [Choose(step="check", choice="else"), Finish(output=None)]

    def test_a_condition_that_is_not_a_boolean_fails_the_run(self) -> None:
        (decision,) = self.plans.plan(data={"n": "secret"})
        assert isinstance(decision, Fail)
        assert (decision.code, decision.step) == ("expression_failed", "check")
        assert "step check" in decision.message
        assert "secret" not in decision.message


class TestParallel:
    plans = Plans(
        parallel("both", left=[call("a"), call("b")], right=[call("c")]), reading("after", "${steps.both.output}")
    )

    def test_every_branch_begins_at_once(self) -> None:
        assert self.plans.plan() == [called("a"), called("c")]

    def test_branches_go_on_by_themselves(self) -> None:
        assert self.plans.plan({"a": done(1)}, waiting={"c"}) == [called("b")]

    def test_it_ends_when_all_have(self) -> None:
        assert self.plans.plan({"a": done(1), "b": done(2)}, waiting={"c"}) == []
        found = self.plans.plan({"a": done(1), "b": done(2), "c": done(3)})
        assert found == [called("after", x={"left": 2, "right": 3})]

    def test_one_failure_ends_the_run_while_others_are_open(self) -> None:
        assert self.plans.plan({"c": failed("lost")}, waiting={"a"}) == [
            Fail(code="lost", message="it was lost", step="c")
        ]

    @pytest.mark.parametrize(("failures", "fails"), [(0, False), (1, False), (2, True)])
    def test_so_many_failures_are_tolerated(self, failures: int, fails: bool) -> None:
        plans = Plans(parallel("p", 1, x=[call("a")], y=[call("b")], z=[call("c")]))
        outcomes = {step: failed() if n < failures else done(n) for n, step in enumerate("abc")}
        (decision,) = plans.plan(outcomes)
        assert isinstance(decision, Fail) is fails
        if not fails:
            assert decision == Finish(output={"x": None if failures else 0, "y": 1, "z": 2})

    def test_a_tolerated_failure_within_an_each_does_not_confuse_the_paths_after_it(self) -> None:
        plans = Plans(parallel("p", 1, x=[each("e", call("a"))], y=[call("b")]), call("c"))
        choices = {"e": ["one"]}
        assert plans.plan({"a[0]": failed()}, choices) == [called("b")]
        assert plans.plan({"a[0]": failed(), "b": done()}, choices) == [called("c")]


ITEMS = [{"n": 1}, {"n": 2}]


class TestEach:
    plans = Plans(
        each("lines", reading("check", "${line.n}"), reading("book", "${steps.check.output}"), **{"as": "line"}),
        reading("after", "${steps.lines.output}"),
    )

    def test_the_items_are_recorded_and_the_first_begins(self) -> None:
        assert self.plans.plan(data={"items": ITEMS}) == [
            Choose(step="lines", choice=ITEMS),
            called("check[0]", x=1),
        ]

    def test_one_item_after_the_other(self) -> None:
        chosen = {"lines": ITEMS}
        assert self.plans.plan({"check[0]": done("p")}, chosen) == [called("book[0]", x="p")]
        assert self.plans.plan({"check[0]": done("p"), "book[0]": done("q")}, chosen) == [called("check[1]", x=2)]

    def test_its_output_is_the_list_of_last_outputs(self) -> None:
        outcomes = {f"{step}[{n}]": done([step, n]) for step in ("check", "book") for n in (0, 1)}
        assert self.plans.plan(outcomes, {"lines": ITEMS}) == [called("after", x=[["book", 0], ["book", 1]])]

    @pytest.mark.parametrize(("concurrency", "begun"), [(1, 1), (2, 2), (3, 3), (4, 3)])
    def test_so_many_items_are_under_way_at_a_time(self, concurrency: int, begun: int) -> None:
        plans = Plans(each("e", call("a"), concurrency=concurrency))
        choices = {"e": [1, 2, 3]}
        assert plans.plan(choices=choices) == [called(f"a[{n}]") for n in range(begun)]
        waiting = {f"a[{n}]" for n in range(1, begun)}
        following = [called(f"a[{begun}]")] if begun < 3 else []
        assert plans.plan({"a[0]": done()}, choices, waiting) == following

    @pytest.mark.parametrize("count", [0, 2, 3])
    def test_up_to_the_bound_is_fine(self, count: int) -> None:
        found = Plans(each("e", call("a"))).plan(data={"items": list(range(count))})
        assert found[0] == Choose(step="e", choice=list(range(count)))
        assert found[1] == (called("a[0]") if count else Finish(output=[]))

    def test_one_more_fails_the_run(self) -> None:
        (decision,) = Plans(each("e", call("a"))).plan(data={"items": [1, 2, 3, 4]})
        assert decision == Fail(code="too_many_items", message="step e has 4 items, at most 3 are allowed", step="e")

    @pytest.mark.parametrize("items", [None, "text", 3, {"a": 1}])
    def test_what_is_not_a_list_fails_the_run(self, items: Any) -> None:
        (decision,) = Plans(each("e", call("a"))).plan(data={"items": items})
        assert isinstance(decision, Fail)
        assert (decision.code, decision.step) == ("not_a_list", "e")

    @pytest.mark.parametrize(("more", "fails"), [(0, False), (1, False), (2, True)])
    def test_a_run_comes_to_so_many_steps_of_any_kind(self, more: int, fails: bool) -> None:
        def checks(prefix: str, number: int) -> list[Plain]:
            return [{"id": f"{prefix}{n}", "if": "${false}", "then": []} for n in range(number)]

        large = each("large", *checks("a", 49), max_items=1_000)
        small = each("small", *checks("b", 1), max_items=1_000)
        plans = Plans(large, small, *checks("c", more))
        choices: Plain = {"large": [0] * 1_000, "small": [0] * 997}
        choices |= {f"a{n}[{item}]": "else" for n in range(49) for item in range(1_000)}
        choices |= {f"b0[{item}]": "else" for item in range(997)}
        last = plans.plan(choices=choices)[-1]
        assert isinstance(last, Fail) is fails
        if fails:
            assert last.code == "too_many_steps"

    def test_eaches_within_eaches_cannot_multiply_without_end(self) -> None:
        leaf: Plain = {"id": "leaf", "if": "${true}", "then": []}
        step = leaf
        for level in range(5):
            step = each(f"e{level}", step, **{"in": "${input.items}", "as": f"i{level}", "max_items": 1_000})
        (decision,) = Plans(step).plan(data={"items": [1] * 1_000})
        assert isinstance(decision, Fail)
        assert decision.code == "too_many_steps"

    def test_paths_say_which_item_of_which_each(self) -> None:
        inner = each("inner", reading("a", "${[row, cell]}"), **{"in": "${row}", "as": "cell"})
        plans = Plans(each("outer", inner, **{"as": "row"}, concurrency=2))
        found = plans.plan(choices={"outer": [[1], [2, 3]]})
        assert found == [
            Choose(step="inner[0]", choice=[1]),
            called("a[0][0]", x=[[1], 1]),
            Choose(step="inner[1]", choice=[2, 3]),
            called("a[1][0]", x=[[2, 3], 2]),
        ]

    def test_an_item_does_not_see_the_steps_of_another(self) -> None:
        branch = {"id": "check", "if": "${item}", "then": [call("a")]}
        plans = Plans(each("e", branch, reading("b", "${steps.a.status}")))
        found = plans.plan({"a[0]": done(), "b[0]": done()}, {"e": [True, False], "check[0]": "then"})
        assert found == [Choose(step="check[1]", choice="else"), called("b[1]", x="skipped")]


class TestAsk:
    plans = Plans(
        {
            "id": "ok",
            "ask": {
                "question": "Pay ${input.n} to ${input.name} for ${input.lines}?",
                "schema": {"type": "boolean"},
                "roles": ["reviewer"],
                "timeout_s": 60,
                "on_timeout": [call("remind")],
            },
        },
        reading("after", "${[steps.ok.status, steps.ok.output]}"),
    )

    def test_the_question_is_a_sentence_with_values(self) -> None:
        assert self.plans.plan(data={"n": 5, "name": "Ann", "lines": [1, {"a": None}]}) == [
            AskPerson(
                step="ok",
                question='Pay 5 to Ann for [1,{"a":null}]?',
                schema={"type": "boolean"},
                roles=("reviewer",),
                timeout_s=60,
            )
        ]

    def test_the_answer_is_its_output(self) -> None:
        assert self.plans.plan({"ok": done(True)}) == [called("after", x=["completed", True])]

    def test_silence_is_handled(self) -> None:
        late = StepOutcome(status="timed_out")
        assert self.plans.plan({"ok": late}) == [called("remind")]
        assert self.plans.plan({"ok": late, "remind": done()}) == [called("after", x=["timed_out", None])]

    def test_anything_else_is_not_silence(self) -> None:
        assert self.plans.plan({"ok": failed("withdrawn")}) == [
            Fail(code="withdrawn", message="it was withdrawn", step="ok")
        ]

    def test_without_a_handler_silence_fails_the_run(self) -> None:
        assert Plans(ask("ok", timeout_s=1)).plan({"ok": StepOutcome(status="timed_out")}) == [
            Fail(code="timed_out", message="step ok ended as timed_out", step="ok")
        ]

    @pytest.mark.parametrize(("length", "kept"), [(7_999, 7_999), (8_000, 8_000), (8_001, 8_000)])
    def test_the_length_of_a_question_is_bounded(self, length: int, kept: int) -> None:
        (asked,) = Plans(ask("ok", question="${input.text}")).plan(data={"text": "x" * length})
        assert len(asked.question) == kept


class TestWait:
    def test_for_a_signal(self) -> None:
        plans = Plans({"id": "w", "wait": {"signal": "paid", "timeout_s": 9}}, reading("a", "${steps.w.output}"))
        assert plans.plan() == [AwaitSignal(step="w", name="paid", timeout_s=9)]
        assert plans.plan({"w": done({"amount": 1})}) == [called("a", x={"amount": 1})]
        assert plans.plan({"w": StepOutcome(status="timed_out")})[0].code == "timed_out"

    def test_for_seconds(self) -> None:
        assert Plans({"id": "w", "wait": {"seconds": 30}}).plan() == [AwaitTime(step="w", seconds=30)]

    @pytest.mark.parametrize("text", ["2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00Z", "2026-05-01T10:00:00.000Z"])
    def test_until_an_instant(self, text: str) -> None:
        plans = Plans({"id": "w", "wait": {"until": "${input.at}"}})
        assert plans.plan(data={"at": text}) == [AwaitTime(step="w", due_at=datetime(2026, 5, 1, 10, tzinfo=UTC))]

    @pytest.mark.parametrize("text", ["2026-05-01T10:00:00", "tomorrow", 5, None, "0001-01-01T00:00:00+14:00"])
    def test_what_is_no_instant_fails_the_run(self, text: Any) -> None:
        (decision,) = Plans({"id": "w", "wait": {"until": "${input.at}"}}).plan(data={"at": text})
        assert isinstance(decision, Fail)
        assert (decision.code, decision.step) == ("not_a_time", "w")


class TestEnd:
    def test_completed_gives_the_result_with_the_rest_skipped(self) -> None:
        early = {"id": "check", "if": "${true}", "then": [end("stop", "completed")]}
        plans = Plans(early, call("a"), result={"status": "${steps.a.status}", "output": "${steps.a.output}"})
        assert plans.plan() == [
            Choose(step="check", choice="then"),
            Finish(output={"status": "skipped", "output": None}),
        ]

    def test_completed_without_a_result_is_null(self) -> None:
        assert Plans(call("a"), end("stop", "completed")).plan({"a": done(1)}) == [Finish(output=None)]

    def test_failed_and_impossible_say_why(self) -> None:
        assert Plans(end("stop", "failed", "no ${input.what}")).plan(data={"what": "order"}) == [
            Fail(code="ended_as_failed", message="no order", step="stop")
        ]
        assert Plans(end("stop", "impossible", "no ${input.what}")).plan(data={"what": "order"}) == [
            DeclareImpossible(reason="no order")
        ]

    def test_it_is_the_only_decision_but_for_choices(self) -> None:
        plans = Plans(parallel("p", x=[call("a")], y=[{"id": "c", "if": "${true}", "then": [end("e", "completed")]}]))
        assert plans.plan() == [Choose(step="c", choice="then"), Finish(output=None)]

    def test_a_result_that_cannot_be_made_fails_the_run(self) -> None:
        (decision,) = Plans(call("a"), result={"x": "${steps.a.output.missing}"}).plan({"a": done({"b": 1})})
        assert isinstance(decision, Fail)
        assert (decision.code, decision.step) == ("expression_failed", "")
