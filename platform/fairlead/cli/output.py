"""Answers on standard output: a table for people, JSON or YAML as the API gave it, or only the ids for a pipe."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import rich_click as click
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairlead.cli.plain import plain, plain_json

Format = Literal["table", "json", "yaml", "id"]
FORMATS: tuple[Format, ...] = ("table", "json", "yaml", "id")
WIDTH_IN_A_PIPE = 400  # so that a row stays one line
YAML_WIDTH = 120

_STYLES: Mapping[str, str] = {
    "completed": "green",
    "granted": "green",
    "ok": "green",
    "failed": "red",
    "denied": "red",
    "fail": "red",
    "capped": "red",
    "expired": "yellow",
    "warn": "yellow",
    "impossible": "yellow",
    "cancelled": "yellow",
    "waiting_for_approval": "yellow",
    "waiting_for_input": "yellow",
    "waiting_for_connection": "yellow",
}


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        envvar="FAIRLEAD_CLI_OUTPUT",
        help="How answers are printed.",
    )(command)


class Column(Struct, frozen=True):
    """`value` finds the cell in an item: a field, a path of fields with dots, or a function."""

    title: str
    value: str | Callable[[Any], Any]
    right: bool = False


class View(Struct, frozen=True, kw_only=True):
    """How one kind of thing is shown. `identity` is the field that `-o id` prints."""

    identity: str
    columns: Sequence[Column]
    details: Sequence[Column] = ()


class Printer:
    def __init__(self, form: Format, *, stderr: bool = False) -> None:
        self.form = form
        self._stderr = stderr

    def many(self, items: Iterable[Any], view: View) -> None:
        """Ids and tables as the items come is not needed: lists are bounded by --limit."""
        found = list(items)
        match self.form:
            case "table":
                self._table(found, view)
            case "id":
                for item in found:
                    self._say(plain(text_of(pick(item, view.identity))))
            case _:
                self.document(found)

    def one(self, item: Any, view: View) -> None:
        match self.form:
            case "table":
                self._fields(item, view)
            case "id":
                self._say(plain(text_of(pick(item, view.identity))))
            case _:
                self.document(item)

    def document(self, body: Any) -> None:
        """Whole and as it is."""
        if self.form == "yaml":
            self._say(_yaml(body).rstrip("\n"))
        else:
            self._say(plain_json(msgspec.json.format(msgspec.json.encode(body)).decode()))

    def line(self, item: Any, tell: Callable[[Any], None]) -> None:
        """One of many that come one after the other: JSON is one line each."""
        if self.form == "table":
            tell(item)
        elif self.form == "yaml":
            self.document([item])  # items of one list, as a whole stream
        else:
            self._say(plain_json(msgspec.json.encode(item).decode()))

    def done(self, sentence: str, body: Any = None) -> None:
        """After a change without a thing to show: a sentence for people, the answer for programs."""
        if self.form in ("json", "yaml"):
            self.document(body)
        elif self.form == "table":
            self._say(plain(sentence))

    def note(self, sentence: str) -> None:
        """Beside the result, for people: never in the way of what reads it."""
        click.echo(sentence, err=True)

    def _say(self, text: str) -> None:
        click.echo(text, err=self._stderr)

    def _table(self, items: Sequence[Any], view: View) -> None:
        if not items:
            click.echo("nothing found", err=True)
            return
        table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
        for column in view.columns:
            table.add_column(
                column.title,
                justify="right" if column.right else "left",
                overflow="fold",
                no_wrap=column.value == view.identity,  # ids are copied
            )
        for item in items:
            table.add_row(*(line_of(pick(item, column.value)) for column in view.columns))
        console(stderr=self._stderr).print(table)

    def _fields(self, item: Any, view: View) -> None:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for column in (*view.columns, *view.details):
            value = pick(item, column.value)
            if value not in (None, "", [], {}):
                table.add_row(column.title, block(value))
        console(stderr=self._stderr).print(table)


def console(*, stderr: bool = False) -> Console:
    """Colours only on a terminal; in a pipe lines are long enough for a table."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else WIDTH_IN_A_PIPE, highlight=False, markup=False)


def pick(item: Any, value: str | Callable[[Any], Any]) -> Any:
    if callable(value):
        return value(item)
    for name in value.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    return item


def cell(value: Any) -> Text:
    text = plain(text_of(value))
    return Text(text, style=_STYLES.get(text, ""))


def line_of(value: Any) -> Text:
    """On one line, however it was written."""
    return cell(" ".join(text_of(value).split()))


def block(value: Any) -> Text:
    """Nested values on lines of their own."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return cell(", ".join(value))
    if isinstance(value, dict | list):
        return Text(plain(_yaml(value).rstrip()))
    return cell(value)


def _yaml(value: Any) -> str:
    import yaml  # most answers are shown without, and the sooner

    written: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=YAML_WIDTH)
    return written


def text_of(value: Any) -> str:
    match value:
        case None:
            return ""
        case True:
            return "yes"
        case False:
            return "no"
        case str():
            return value
        case _:
            return msgspec.json.encode(value).decode()
