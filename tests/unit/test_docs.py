"""What the documents say exists: files, headings, settings, and commands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
import yaml
from fairlead_ledger.csv_cells import COLUMNS

from fairlead.__main__ import main
from fairlead.domain.policy import document as policy
from fairlead.domain.workflow import document as workflow
from fairlead.settings import OTHERS, Settings, variable

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
}
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"(?:platform|tenants|connectors|tests|migrations|docs|requirements)/[\w./-]+")
_VARIABLE = re.compile(r"\bFAIRLEAD_[A-Z_]+\b")


def fences(text: str, *languages: str) -> Iterator[str]:
    for _, language, body in _FENCE.findall(text):
        if language in languages:
            yield body


def prose(text: str) -> str:
    return _FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    lost = []
    for link in _LINK.findall(prose(PAGES[page])):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_is_there(page: str) -> None:
    """A name with a part to fill in is a pattern, and none of a file."""
    exact = [code for code in _INLINE.findall(prose(PAGES[page])) if not re.search(r"[<{]|NNNN", code)]
    assert [name for code in exact for name in _FILE.findall(code) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_is_named_exists(page: str) -> None:
    known = {variable(field) for field in Settings.__struct_fields__}
    named = set(_VARIABLE.findall(PAGES[page]))
    assert [name for name in sorted(named - known) if not name.startswith(OTHERS)] == []


def commands(page: str) -> Iterator[list[str]]:
    """The words after `fairlead` of every command line in a shell fence."""
    for body in fences(PAGES[page], "sh", "console"):
        for line in body.replace("\\\n", " ").splitlines():
            for part in re.split(r"\$\(|\||&&|;", line):
                words = part.strip().removeprefix("$ ").split(" #")[0]
                if re.match(r"(\.venv/bin/)?fairlead ", words):
                    yield shlex.split(words.rstrip(")"))[1:]


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))])
def test_every_command_that_is_shown_exists(page: str) -> None:
    assert [words for words in commands(page) if (fault := misfit(words)) and fault] == []


def misfit(words: list[str]) -> str | None:
    """Why these words are no command of ours, down to the names of its options."""
    command: click.Command = main
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0]) if words else None
        if found is None:
            return f"no command {words[:1]}"
        command, words = found, words[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    return next(
        (f"no option {word}" for word in words if word.startswith("-") and word.split("=")[0] not in known), None
    )


DOCUMENT = PAGES["docs/reference/workflow-document.md"]
RULES = PAGES["docs/reference/policy-rules.md"]


@pytest.mark.parametrize(
    "shape",
    [
        workflow.Workflow,
        workflow.Limits,
        workflow.Retry,
        workflow.CallStep,
        workflow.Parallel,
        workflow.IfStep,
        workflow.Each,
        workflow.Ask,
        workflow.Wait,
        workflow.End,
        policy.Rule,
        policy.ApprovalsNeeded,
    ],
)
def test_every_field_of_a_document_is_described(shape: type[msgspec.Struct]) -> None:
    page = RULES if shape.__module__ == policy.__name__ else DOCUMENT
    missing = [
        field.encode_name
        for field in msgspec.structs.fields(shape)
        if not re.search(rf"\b{re.escape(field.encode_name)}\b", page)
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_yaml_example_can_be_read(page: str) -> None:
    read = [yaml.safe_load(body) for body in fences(PAGES[page], "yaml")]
    assert all(part is None or isinstance(part, dict | list) for part in read), "data, or nothing but a comment"


def test_the_columns_of_an_export_are_described_in_their_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGES["docs/reference/export-columns.md"], re.MULTILINE)
    assert rows == list(COLUMNS)
