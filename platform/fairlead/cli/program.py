"""The group that everything hangs from: what goes wrong below it becomes a message and an exit code.

Commands of the client are loaded when they are asked for: a process that serves a role starts without them.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import rich_click as click

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure, of_error
from fairlead.domain.errors import FairleadError


class Program(click.RichGroup):
    """`lazy` maps a command's name to `module:attribute`."""

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands and cmd_name in self._lazy:
            module, _, attribute = self._lazy[cmd_name].partition(":")
            self.add_command(getattr(import_module(module), attribute), cmd_name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (Failure, FairleadError, ExceptionGroup) as error:
            failure = _failure(error)
            if failure is None:
                raise
            failure.show()
            ctx.exit(failure.exit_code)
        except KeyboardInterrupt:
            ctx.exit(Exit.INTERRUPTED)


def _failure(error: Exception) -> Failure | None:
    """None for what nobody expected. A group of tasks with one error in it is that error."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, FairleadError):
        return of_error(error)
    return error if isinstance(error, Failure) else None
