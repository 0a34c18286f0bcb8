from typing import Any

import pytest

from fairlead.domain.errors import Invalid
from fairlead.domain.workflow.document import CallStep, IfStep
from fairlead.domain.workflow.validation import validate
from tests.support.documents import EXPRESSIONS, TOOLS, Plain, ask, call, document, each, end, parallel, tool, valid

REQUIRED = ["fairlead", "name", "goal", "owner", "trigger", "input", "output", "done_when", "fail_when", "out_of_scope"]


def problems(data: Any, **options: Any) -> set[tuple[str, str]]:
    """Path and code of every problem found."""
    try:
        validate(data, options.pop("tools", TOOLS), EXPRESSIONS, **options)
    except Invalid as invalid:
        return {(problem.path, problem.code) for problem in invalid.problems}
    return set()


def of(*steps: Plain, **fields: Any) -> set[tuple[str, str]]:
    return problems(document(*steps, **fields))


def test_a_complete_document_becomes_a_workflow() -> None:
    greet = {"id": "greet", "call": "test.greet", "with": {"name": "${input.name}"}, "retry": {"attempts": 5}}
    workflow = valid(greet, {"id": "check", "if": "${steps.greet.output.ok}", "then": [call("more")]})
    first, second = workflow.steps
    assert isinstance(first, CallStep)
    assert (first.call, first.arguments, first.retry.attempts) == ("test.greet", {"name": "${input.name}"}, 5)
    assert isinstance(second, IfStep)
    assert [step.id for step in second.then] == ["more"]


@pytest.mark.parametrize("field", [*REQUIRED, "tools", "steps"])
def test_a_document_that_lacks_a_field_is_refused_with_its_name(field: str) -> None:
    data = document()
    del data[field]
    assert (f"/{field}", "missing") in problems(data)


@pytest.mark.parametrize("field", ["done_when", "fail_when", "out_of_scope", "steps"])
def test_lists_that_define_the_task_are_never_empty(field: str) -> None:
    assert (f"/{field}", "out_of_bounds") in of(**{field: []})


def test_every_problem_is_found_at_once() -> None:
    data = document(
        call("Bad"), {"id": "two", "call": "test.nothing"}, call("late", **{"with": {"x": "${steps.no.output}"}})
    )
    del data["owner"]
    data["surprise"] = True
    data["forbidden"] = ["test.read"]
    assert problems(data) >= {
        ("/owner", "missing"),
        ("/surprise", "unknown_field"),
        ("/steps/0/id", "wrong_form"),
        ("/steps/1/call", "tool_not_allowed"),
        ("/steps/2/with/x", "unknown_step"),
        ("/forbidden/0", "forbidden_and_allowed"),
    }


def test_problems_repeat_no_value_of_the_document() -> None:
    secret = "sk-live-4242"
    data = document(
        {"id": "greet", "call": "test.greet", "with": {"name": secret * 3, "times": secret}}, planner=secret
    )
    with pytest.raises(Invalid) as caught:
        validate(data, TOOLS, EXPRESSIONS)
    assert caught.value.problems
    assert not [problem for problem in caught.value.problems if secret in problem.message + problem.path]


def test_so_many_problems_are_enough() -> None:
    with pytest.raises(Invalid) as caught:
        validate(document(**{f"extra{n}": 1 for n in range(1_000)}), TOOLS, EXPRESSIONS)
    assert len(caught.value.problems) == 200


@pytest.mark.parametrize("data", [None, 1, "text", [], [document()]])
def test_what_is_not_an_object_is_refused(data: Any) -> None:
    assert problems(data) == {("", "wrong_type")}


@pytest.mark.parametrize(("field", "value"), [("planner", "recorded"), ("fairlead", 2)])
def test_what_arrives_later_is_refused_for_now(field: str, value: Any) -> None:
    assert of(**{field: value}) == {(f"/{field}", "not_allowed")}


def test_a_schedule_is_refused_for_now() -> None:
    assert of(trigger={"kind": "schedule"}) == {("/trigger/kind", "not_allowed")}


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("a", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("", False),
        ("-a", False),
        ("a-", False),
        ("A", False),
        ("a\n", False),
    ],
)
def test_a_name_is_a_slug_of_at_most_63_characters(name: str, accepted: bool) -> None:
    assert (not of(name=name)) is accepted


def reading(step_id: str, expression: str) -> Plain:
    return call(step_id, **{"with": {"x": f"${{{expression}}}"}})


class TestTools:
    @pytest.mark.parametrize(("count", "accepted"), [(14, True), (15, True), (16, False)])
    def test_the_sixteenth_is_refused(self, count: int, accepted: bool) -> None:
        tools = {f"test.read_{n}": tool(f"test.read_{n}") for n in range(count)}
        found = problems(document({"id": "a", "call": "test.read_0"}, tools=list(tools)), tools=tools)
        assert found == (set() if accepted else {("/tools", "too_many_tools")})

    def test_a_tenant_may_have_a_higher_cap(self) -> None:
        tools = {f"test.read_{n}": tool(f"test.read_{n}") for n in range(16)}
        data = document({"id": "a", "call": "test.read_0"}, tools=list(tools))
        assert problems(data, tools=tools, tool_cap=16) == set()

    def test_unknown_and_repeated_ones_are_named(self) -> None:
        assert of(tools=["test.read", "test.nothing", "test.read"]) == {
            ("/tools/1", "unknown_tool"),
            ("/tools/2", "tool_repeated"),
        }

    def test_a_step_calls_only_what_is_listed(self) -> None:
        assert of(call("a"), tools=["test.greet"]) == {("/steps/0/call", "tool_not_allowed")}

    def test_a_connection_is_named_for_a_tool_or_a_connector_that_the_workflow_uses(self) -> None:
        named = valid(connections={"test": "main", "test.stage": "second"})
        assert named.connections == {"test": "main", "test.stage": "second"}
        assert of(connections={"test.pay": "main", "other": "main"}) == {
            ("/connections/test.pay", "connection_unused"),
            ("/connections/other", "connection_unused"),
        }
        assert of(connections={"test": "Not a name"}) == {("/connections/test", "wrong_form")}

    def test_a_tool_cannot_be_allowed_and_forbidden(self) -> None:
        assert of(forbidden=["sending money", "test.stage"]) == {("/forbidden/1", "forbidden_and_allowed")}

    def test_a_tool_that_writes_needs_its_record_kinds_declared(self) -> None:
        assert of(writes=["something_else"]) == {("/tools/2", "write_not_declared")}


class TestPolicy:
    def rule(self, **fields: Any) -> Plain:
        return {"rules": [{"id": "large", "verdict": "deny", "reason": "too large", **fields}]}

    def test_a_condition_is_compiled(self) -> None:
        assert of(policy=self.rule(when="args.amount > 100")) == set()
        assert of(policy=self.rule(when="args.amount >")) == {("/policy/rules/0/when", "expression_invalid")}

    def test_rules_speak_of_listed_tools_and_have_names_of_their_own(self) -> None:
        rules = self.rule(tools=["test.other"])["rules"] * 2
        assert of(policy={"rules": rules}) == {
            ("/policy/rules/0/tools/0", "tool_not_allowed"),
            ("/policy/rules/1/tools/0", "tool_not_allowed"),
            ("/policy/rules/1", "rule_repeated"),
        }

    def test_approvals_stand_only_beside_the_verdict_that_needs_them(self) -> None:
        found = of(policy=self.rule(approvals={"count": 2}))
        assert found == {("/policy/rules/0/approvals", "approvals_without_need")}


class TestSchemas:
    @pytest.mark.parametrize("field", ["input", "output"])
    def test_what_is_not_a_json_schema_is_refused_where_it_is_wrong(self, field: str) -> None:
        schema = {"type": "objct", "properties": {"a": {"minimum": "1"}}}
        found = of(**{field: schema})
        assert {(f"/{field}/properties/a/minimum", "wrong_type"), (f"/{field}/type", "invalid")} == found

    @pytest.mark.parametrize(
        "reference", ["https://example.com/schema.json", "file:///etc/passwd", "other.json", "//example.com/x"]
    )
    def test_references_never_lead_elsewhere(self, reference: str) -> None:
        schema = {"properties": {"a": {"$ref": reference}}}
        assert of(input=schema) == {("/input/properties/a/$ref", "remote_reference")}

    def test_a_base_that_would_redirect_local_references_is_refused(self) -> None:
        assert of(input={"$id": "https://example.com/", "$ref": "#/$defs/a", "$defs": {"a": {}}}) == {
            ("/input/$id", "remote_reference")
        }

    def test_local_references_work_and_must_lead_somewhere(self) -> None:
        assert of(input={"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}) == set()
        assert of(input={"$ref": "#/$defs/b"}) == {("/input", "invalid_schema")}

    def test_patterns_that_need_backtracking_are_refused(self) -> None:
        assert of(input={"pattern": r"(?=x)y"}) == {("/input", "invalid_schema")}

    def test_the_schema_of_an_answer_is_checked_too(self) -> None:
        assert of(ask("a", schema={"type": 3})) == {("/steps/0/ask/schema/type", "invalid")}


class TestArguments:
    def given(self, **arguments: Any) -> set[tuple[str, str]]:
        return of({"id": "greet", "call": "test.greet", "with": arguments})

    def test_literals_are_held_against_the_schema_of_the_tool(self) -> None:
        assert self.given(name="much too long a name", times=0, colour="red") == {
            ("/steps/0/with/name", "out_of_bounds"),
            ("/steps/0/with/times", "out_of_bounds"),
            ("/steps/0/with/colour", "unknown_field"),
        }

    def test_what_is_missing_is_named_also_without_with(self) -> None:
        assert of({"id": "greet", "call": "test.greet"}) == {("/steps/0/with/name", "missing")}

    def test_expressions_may_turn_out_to_be_anything(self) -> None:
        assert self.given(name="${input.name}", times="${1}", tone="${input.tone}", tags="${input.tags}") == set()

    def test_a_literal_beside_an_expression_is_still_checked(self) -> None:
        assert self.given(name="${input.name}", tags=["${input.tag}", 3]) == {("/steps/0/with/tags/1", "wrong_type")}
        assert self.given(name="x", tags=["${input.tag}", "b", "c"]) == {("/steps/0/with/tags", "out_of_bounds")}

    def test_a_sentence_with_expressions_is_refused_rather_than_passed_on_as_text(self) -> None:
        assert self.given(name="x", tone="Dear ${input.n}") == {("/steps/0/with/tone", "not_evaluated")}
        assert self.given(name="x", tone="costs $5 {x}") == set()
        assert self.given(name="${'${x}'}") == set()


class TestReferences:
    @pytest.mark.parametrize(
        "steps",
        [
            [call("a"), reading("b", "steps.a.output")],
            [call("a", on_failure=[reading("b", "steps.a.error.code")])],
            [parallel("p", l=[call("a")], r=[call("b")]), reading("c", "[steps.a, steps.b, steps.p]")],
            [{"id": "i", "if": "${true}", "then": [call("a")]}, reading("b", "steps.a.output")],
            [call("a"), each("e", reading("b", "[steps.a.output, item]"))],
            [each("e", call("a"), reading("b", "steps.a.output")), reading("c", "steps.e.output")],
            [ask("a", timeout_s=5, on_timeout=[reading("b", "steps.a.status")])],
        ],
    )
    def test_a_step_may_read_what_can_have_completed_before_it(self, steps: list[Plain]) -> None:
        assert of(*steps) == set()

    @pytest.mark.parametrize(
        "steps",
        [
            [reading("b", "steps.a.output"), call("a")],
            [reading("a", "steps.a.output")],
            [parallel("p", l=[call("a")], r=[reading("b", "steps.a.output")])],
            [{"id": "i", "if": "${true}", "then": [call("a")], "else": [reading("b", "steps.a")]}],
            [each("e", call("a")), reading("b", "steps.a.output")],
            [{"id": "i", "if": "${steps.a.output}", "then": [call("a")]}],
        ],
    )
    def test_a_step_may_not_read_what_cannot(self, steps: list[Plain]) -> None:
        assert {code for _, code in of(*steps)} == {"step_not_completed"}

    def test_the_name_of_an_item_is_known_only_within(self) -> None:
        assert of(each("e", call("a")), call("b", **{"with": {"x": "${item}"}})) == {
            ("/steps/1/with/x", "expression_invalid")
        }

    def test_names_of_items_do_not_hide_others(self) -> None:
        inner = each("inner", call("a"), **{"as": "line"})
        assert of(each("outer", inner, **{"as": "invoice"})) == set()
        assert of(each("outer", inner, **{"as": "line"})) == {("/steps/0/each/steps/0/each/as", "name_taken")}
        assert of(each("outer", call("a"), **{"as": "input"})) == {("/steps/0/each/as", "name_taken")}
        assert of(each("outer", call("a"), **{"as": "loop"})) == {("/steps/0/each/as", "reserved_word")}

    def test_the_result_reads_what_the_top_level_leaves(self) -> None:
        assert of(call("a"), result={"x": "${steps.a.output}", "y": [1, "${input.y}"]}) == set()
        assert of(each("e", call("a")), result={"x": "${steps.a.output}"}) == {("/result/x", "step_not_completed")}

    def test_what_does_not_compile_is_refused_where_it_stands(self) -> None:
        found = of(
            call("a", **{"with": {"x": {"y": ["${1 +}"]}}}),
            ask("b", question="Pay ${input.amount to ${input.name}?"),
            end("c", "failed", "${nothing}"),
        )
        assert found == {
            ("/steps/0/with/x/y/0", "expression_invalid"),
            ("/steps/1/ask/question", "expression_invalid"),
            ("/steps/2/end/reason", "expression_invalid"),
        }


class TestSteps:
    def test_each_has_exactly_one_kind(self) -> None:
        assert of({"id": "a"}) == {("/steps/0", "step_kind")}
        assert ("/steps/0/ask", "unknown_field") in of({**call("a"), **ask("a")})

    def test_ids_are_unique_at_any_depth_and_no_words_of_the_language(self) -> None:
        assert of(call("a"), each("e", call("a"))) == {("/steps/1/each/steps/0/id", "step_repeated")}
        assert of(call("in")) == {("/steps/0/id", "reserved_word")}

    def test_nothing_stands_after_an_end(self) -> None:
        assert of(end("a", "completed"), call("b")) == {("/steps/1", "unreachable")}

    def test_a_wait_is_for_one_thing(self) -> None:
        assert of({"id": "a", "wait": {"seconds": 1, "signal": "paid"}}) == {("/steps/0/wait", "wait_kind")}
        assert of({"id": "a", "wait": {}}) == {("/steps/0/wait", "wait_kind")}
        assert of({"id": "a", "wait": {"seconds": 1, "timeout_s": 4}}) == {("/steps/0/wait/signal", "missing")}

    def test_what_happens_late_needs_a_time(self) -> None:
        assert of(ask("a", on_timeout=[call("b")])) == {("/steps/0/ask/timeout_s", "missing")}
        assert of(ask("a", on_timeout="give up", timeout_s=1)) == {("/steps/0/ask/on_timeout", "not_allowed")}

    def test_a_failure_is_handled_or_ignored_but_not_both(self) -> None:
        found = of(call("a", **{"on_failure": [call("b")], "continue": True}))
        assert found == {("/steps/0/continue", "exclusive")}

    def test_pauses_of_a_retry_grow(self) -> None:
        assert of(call("a", retry={"initial_ms": 10, "max_ms": 10})) == set()
        assert of(call("a", retry={"initial_ms": 11, "max_ms": 10})) == {("/steps/0/retry/initial_ms", "out_of_bounds")}

    @pytest.mark.parametrize(
        ("step", "path"),
        [
            (lambda n: call("a", retry={"attempts": 9 + n}), "/steps/0/retry/attempts"),
            (lambda n: each("a", call("b"), max_items=999 + n), "/steps/0/each/max_items"),
            (lambda n: each("a", call("b"), concurrency=49 + n), "/steps/0/each/concurrency"),
        ],
    )
    def test_bounds_are_stated(self, step: Any, path: str) -> None:
        assert of(step(0)) == of(step(1)) == set()
        assert of(step(2)) == {(path, "out_of_bounds")}

    @pytest.mark.parametrize(("depth", "accepted"), [(9, True), (10, True), (11, False), (40, False)])
    def test_nesting_is_bounded(self, depth: int, accepted: bool) -> None:
        step = call("leaf")
        for level in range(depth - 1):
            step = {"id": f"level{level}", "if": "${true}", "then": [step]}
        assert {code for _, code in of(step)} == (set() if accepted else {"too_deep"})

    @pytest.mark.parametrize(("count", "accepted"), [(999, True), (1_000, True), (1_001, False)])
    def test_the_number_of_expressions_is_bounded(self, count: int, accepted: bool) -> None:
        found = of(call("a", **{"with": {"x": ["${1}"] * (count - 1)}}), result={"y": "${2}"})
        assert found == (set() if accepted else {("", "too_many_expressions")})

    @pytest.mark.parametrize(("count", "accepted"), [(199, True), (200, True), (201, False)])
    def test_the_number_of_steps_is_bounded_at_all_depths_together(self, count: int, accepted: bool) -> None:
        steps = [each("e", *(call(f"a{n}") for n in range(count - 1)))]
        assert of(*steps) == (set() if accepted else {("/steps", "too_many_steps")})
