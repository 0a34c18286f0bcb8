"""What is sensitive in a run is found wherever it went, by what schemas say and by what was said."""

from typing import Any

import msgspec
import pytest
from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec.structs import replace

from fairlead.domain.envelope import StreamRef
from fairlead.domain.masking import WHOLE
from fairlead.domain.runs import events as e
from fairlead.domain.runs.folding import fold
from fairlead.domain.runs.marking import MOST_TEXTS, Sensitive, marks
from fairlead.domain.runs.states import NotStarted
from fairlead.domain.workflow.validation import validate
from tests.support.documents import EXPRESSIONS, document, tool
from tests.support.histories import completed, requested, started

RUN = StreamRef(TenantId("tnt_1"), "run", "run_x")
IBAN = "DE89370400440532013000"
MARKED = {"type": "object", "properties": {"iban": {"type": "string", "x-sensitive": True}}}
STEPS = ({"id": "s1", "call": "bank.find", "with": {}}, {"id": "s2", "call": "bank.tell", "with": {}})
TOOLS = {"bank.find": replace(tool("bank.find"), output_schema=MARKED), "bank.tell": tool("bank.tell")}


def sensitive(given: Any = None, **more: Any) -> Sensitive:
    plain = document(*STEPS, tools=list(TOOLS), writes=[], input=given or {"type": "object"})
    return Sensitive(validate(plain, TOOLS, EXPRESSIONS), {**TOOLS, **more})


def begun(**given: Any) -> e.RunStarted:
    return replace(started(RUN), input=given)


def call(number: int, name: str, **arguments: Any) -> e.ToolCallRequested:
    return replace(requested(RUN, number, f"s{number}"), tool=name, arguments=arguments)


def done(number: int, output: Any) -> e.ToolCallCompleted:
    return replace(completed(RUN, number), output=output)


def places(of: Sensitive, before: tuple[Any, ...], fact: Any, name: str) -> tuple[str, ...]:
    """In the field of a fact, after others."""
    found = marks(of, fold(NotStarted(), before), [fact])
    assert found is not None
    return found(fact, str(fact.__struct_config__.tag), name, getattr(fact, name))


def test_what_a_schema_marks_is_sensitive_where_it_stands() -> None:
    assert places(sensitive(MARKED), (), begun(iban=IBAN, note="x"), "input") == ("/iban",)
    before = (begun(), call(1, "bank.find"))
    assert places(sensitive(), before, done(1, {"iban": IBAN, "bank": "b"}), "output") == ("/iban",)


@pytest.mark.parametrize(
    ("fact", "name", "expected"),
    [
        (call(2, "bank.tell", text=f"to {IBAN}", other="o", more={"iban": "1"}), "arguments", ("/more/iban", "/text")),
        (e.RunFailed(code="no", message=f"{IBAN} is not there"), "message", WHOLE),
        (e.RunFailed(code="no", message="nothing is there"), "message", ()),
        (e.ChoiceMade(step="c", choice=["a", IBAN]), "choice", ("/*",)),
        (e.RunCompleted(output={"list": [{"x": IBAN}, {"y": 1}]}), "output", ("/list/*/x",)),
    ],
)
def test_what_was_sensitive_stays_so_wherever_it_is_carried(fact: Any, name: str, expected: tuple[str, ...]) -> None:
    before = (begun(), call(1, "bank.find"), done(1, {"iban": IBAN}))
    assert places(sensitive(), before, fact, name) == expected


def asked(number: int, name: str, **arguments: Any) -> e.ToolCallAsked:
    return e.ToolCallAsked(
        call_id=requested(RUN, number, "s").call_id,
        step=f"call[{number}]",
        ask_id=f"ask_{number}",
        tool=name,
        arguments=arguments,
        asked_by=PrincipalId("prn_a"),
        door="mcp",
    )


def test_what_an_agent_outside_asks_with_and_is_given_is_as_sensitive() -> None:
    takes = {"bank.tell": replace(TOOLS["bank.tell"], input_schema=MARKED)}
    assert places(sensitive(**takes), (begun(),), asked(1, "bank.tell", iban=IBAN, note="n"), "arguments") == ("/iban",)
    assert places(sensitive(), (begun(),), asked(1, "bank.gone", note="n"), "arguments") == WHOLE
    finding = (asked(1, "bank.find"), replace(call(1, "bank.find"), step="call[1]"), done(1, {"iban": IBAN}))
    ended = e.RunCompleted(output={"said": f"it was {IBAN}"})
    assert places(sensitive(), (begun(), *finding), ended, "output") == ("/said",)


def test_a_fork_keeps_what_it_inherits_as_sensitive_as_it_was() -> None:
    inherited = (begun(), call(1, "bank.find"), done(1, {"iban": IBAN}))
    fork = e.RunForked(
        run_id=started(RUN).run_id,
        parent_run_id=started(RUN).run_id,
        parent_version=3,
        inherited=inherited,
        forked_by=started(RUN).started_by,
        reason="again",
        started_at=started(RUN).started_at,
        deadline_at=started(RUN).deadline_at,
        edits={"s2": {"text": IBAN}},
    )
    found = marks(sensitive(), NotStarted(), [fork])
    assert found is not None
    assert found(inherited[2], "tool_call.completed.v1", "output", {"iban": IBAN}) == ("/iban",)
    assert found(fork, "run.forked.v1", "edits", fork.edits) == ("/s2/text",)


def test_nothing_is_looked_for_where_no_schema_marks_anything() -> None:
    plain = {**TOOLS, "bank.find": tool("bank.find")}
    assert marks(Sensitive(sensitive_document(), plain), NotStarted(), [begun()]) is None


def sensitive_document() -> Any:
    return validate(document(*STEPS, tools=list(TOOLS), writes=[]), TOOLS, EXPRESSIONS)


def test_what_a_tool_gave_that_nobody_knows_any_more_is_sensitive_as_a_whole() -> None:
    of = sensitive(**{"bank.tell": None})
    assert places(of, (begun(), call(2, "bank.tell", text="x")), done(2, {"a": 1}), "output") == WHOLE


def test_of_a_run_in_which_too_much_is_sensitive_all_is() -> None:
    of = sensitive({"type": "object", "properties": {"ibans": {"type": "array", "items": {"x-sensitive": True}}}})
    many = begun(ibans=[f"DE{number:020}" for number in range(MOST_TEXTS + 1)])
    assert places(of, (many,), e.RunFailed(code="no", message="no"), "message") == WHOLE
    few = begun(ibans=[f"DE{number:020}" for number in range(MOST_TEXTS)])
    assert places(of, (few,), e.RunFailed(code="no", message="no"), "message") == ()


def test_what_a_model_that_plans_is_asked_and_answers_is_sensitive_as_a_whole() -> None:
    """What tools gave stands in it, among other text."""
    agent = {"prompt": "helper", "route": "default"}
    plain = document(planner="model", agent=agent, tools=list(TOOLS), writes=[], input={"type": "object"})
    told = Sensitive(validate(plain, TOOLS, EXPRESSIONS), TOOLS)
    asked = msgspec.convert(
        {"call_id": "mcl_1", "purpose": "turn", "request": {"messages": [f"account {IBAN}"]}, "request_hash": "0",
         "max_input_tokens": 1, "max_output_tokens": 1, "attempts": 1},
        e.ModelCallRequested,
    )  # fmt: skip
    for rules, expected in ((told, WHOLE), (sensitive(), ())):
        marking = marks(rules, fold(NotStarted(), [begun()]), [asked])
        assert marking is not None
        assert marking(asked, "model_call.requested.v1", "request", asked.request) == expected
