"""The commands as they are found: each described, none hidden, the page about them fresh."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import rich_click as click

from fairlead import cli_reference
from fairlead.__main__ import main

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"


def commands(group: click.Group, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        inner = click.Context(command, parent=ctx, info_name=name)
        yield inner.command_path, command
        if isinstance(command, click.Group):
            yield from commands(command, inner)


COMMANDS = dict(commands(main, click.Context(main, info_name="fairlead")))


def test_the_reference_page_is_fresh() -> None:
    assert PAGE.read_text() == cli_reference.page(), "run make reference"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_says_what_it_does(path: str) -> None:
    assert (COMMANDS[path].help or "").strip().endswith("."), f"{path} needs a docstring"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_says_what_it_means(path: str) -> None:
    undescribed = [
        parameter.name
        for parameter in COMMANDS[path].params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not undescribed


def test_no_command_takes_a_key_on_its_line() -> None:
    taking = [
        f"{path} {option}"
        for path, command in COMMANDS.items()
        for parameter in command.params
        for option in parameter.opts
        if option in ("--key", "--api-key", "--token", "--password")
    ]
    assert not taking
