"""The same answer as a table, as JSON, as YAML, or only its ids."""

import json

import pytest
import yaml

from fairlead.cli.output import FORMATS, Column, Format, Printer, View

VIEW = View(
    identity="run_id",
    columns=(Column("RUN", "run_id"), Column("BY", "started_by.id"), Column("CALLS", lambda run: run["calls"] + 1)),
    details=(Column("INPUT", "input"), Column("REASON", "reason")),
)
RUNS = [
    {"run_id": "run_1", "started_by": {"id": "prn_1"}, "calls": 1, "input": {"a": [1, 2]}, "reason": None},
    {"run_id": "run_2", "started_by": None, "calls": 2, "input": {}, "reason": "\x1b[31mred [bold]x[/bold]"},
]


def printed(form: Format, capsys: pytest.CaptureFixture[str]) -> str:
    Printer(form).many(RUNS, VIEW)
    return capsys.readouterr().out


def test_json_and_yaml_are_the_answer_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed("json", capsys)) == RUNS
    assert yaml.safe_load(printed("yaml", capsys)) == RUNS


def test_ids_come_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed("id", capsys) == "run_1\nrun_2\n"


def test_a_table_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    head, first, second = (line.split() for line in printed("table", capsys).splitlines())
    assert head == ["RUN", "BY", "CALLS"]
    assert first == ["run_1", "prn_1", "2"]
    assert second == ["run_2", "3"]


def test_one_thing_is_shown_field_by_field_and_empty_ones_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    Printer("table").one(RUNS[0], VIEW)
    shown = capsys.readouterr().out
    assert "a:" in shown
    assert "REASON" not in shown


def test_markup_and_control_characters_are_shown_and_do_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Printer("table").one(RUNS[1], VIEW)
    assert "\\x1b[31mred [bold]x[/bold]" in capsys.readouterr().out


def test_an_empty_list_is_said_to_people_and_given_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    outputs = {}
    for form in FORMATS:
        Printer(form).many([], VIEW)
        outputs[form] = capsys.readouterr().out
    assert outputs == {"table": "", "json": "[]\n", "yaml": "[]\n", "id": ""}
