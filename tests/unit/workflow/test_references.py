import pytest

from fairlead.domain.expressions import ExpressionInvalid
from fairlead.domain.workflow.references import Embedded, expression_of, reads, sentence_parts


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        ("steps.a.output.total + steps.b.output.total", {"a", "b"}),
        ("has(steps . a) && .steps.b.x", {"a", "b"}),
        ("'steps.a' + \"steps.b\" + r'steps.c\\' + '''\n'steps.d' ''' ", set()),
        ("input.x // steps.a", set()),
        ("input.steps.a + item.run.steps.b", set()),
        ("input.lines.map(line, line.n + steps.a.output.n)", {"a"}),
        ("{'steps': steps.a}['steps']", {"a"}),
    ],
)
def test_the_steps_that_an_expression_reads_are_found(source: str, steps: set[str]) -> None:
    assert reads(source).steps == steps


@pytest.mark.parametrize("source", ["steps", "steps['a']", "size(steps)", "x.map(steps, steps.a)", "steps.", ""])
def test_a_step_is_read_only_by_name(source: str) -> None:
    with pytest.raises(ExpressionInvalid):
        reads(source)


def test_only_top_level_names_count_as_read() -> None:
    assert reads("input.run.item > 1 && run.id != ''").names == {"input", "run"}


def test_the_length_is_bounded() -> None:
    assert reads("x" * 4_000).names
    with pytest.raises(ExpressionInvalid):
        reads("x" * 4_001)


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("${ a }", "a"),
        ("${}", ""),
        ("${a} ${b}", "a} ${b"),
        ("x ${a}", None),
        ("${a} x", None),
        (5, None),
        ("$a", None),
    ],
)
def test_a_value_is_an_expression_only_as_a_whole(value: object, source: str | None) -> None:
    assert expression_of(value) == source


def test_a_sentence_is_text_and_expressions_in_turn() -> None:
    assert sentence_parts("Pay ${input.n} to ${ {'a': '}'}['a'] }? $5 {x}") == [
        "Pay ",
        Embedded("input.n"),
        " to ",
        Embedded("{'a': '}'}['a']"),
        "? $5 {x}",
    ]
    assert sentence_parts("plain") == ["plain"]


def test_an_expression_in_a_sentence_is_closed() -> None:
    with pytest.raises(ExpressionInvalid):
        sentence_parts("Pay ${input.n")
