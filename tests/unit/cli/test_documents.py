"""Values and documents from the command line mean what they mean to the server."""

import io
from pathlib import Path

import pytest

from fairlead.cli.documents import JSON, YAML, document_in, pairs, value_of
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: yes", {"on": "yes"}),
        ("day: 2026-01-31", {"day": "2026-01-31"}),
        ("n: 012", {"n": 12}),
        ("time: 12:30", {"time": "12:30"}),
        ("price: 1.50", {"price": 1.5}),
        ("nothing: ~", {"nothing": None}),
        ("yes: true", {"yes": True}),
        ('{"a": [1, 2]}', {"a": [1, 2]}),
    ],
)
def test_yaml_is_read_as_people_mean_it(tmp_path: Path, text: str, value: object) -> None:
    file = tmp_path / "input.yaml"
    file.write_text(text)
    assert value_of(f"@{file}") == value


def test_a_document_is_sent_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_bytes(b"# a comment\nname: x\n")
    document = document_in(str(file))
    assert (document.body, document.media_type) == (b"# a comment\nname: x\n", YAML)
    other = tmp_path / "workflow.json"
    other.write_text("{}")
    assert document_in(str(other)).media_type == JSON


def test_standard_input_is_read_for_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}')))
    assert value_of("-") == {"a": 1}


@pytest.mark.parametrize("text", ["{", "blue", "@/no/such/file", ""])
def test_what_cannot_be_read_is_a_wrong_command_line(text: str) -> None:
    with pytest.raises(Failure) as failure:
        value_of(text)
    assert failure.value.exit_code == Exit.USAGE


def test_a_file_that_is_broken_is_invalid_input(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("a: [1")
    with pytest.raises(Failure) as failure:
        value_of(f"@{file}")
    assert failure.value.exit_code == Exit.INVALID


def test_labels_are_names_and_values() -> None:
    assert pairs(("a=1", "b=x=y", "c=")) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("texts", [("a",), ("=1",), ("a=1", "a=2")])
def test_a_label_without_a_name_or_twice_is_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(Failure):
        pairs(texts)
