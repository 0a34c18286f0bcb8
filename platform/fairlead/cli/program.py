"""The group that everything hangs from: what goes wrong below it becomes a message and an exit code."""

from typing import Any

import rich_click as click

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure, of_error
from fairlead.domain.errors import FairleadError


class Program(click.RichGroup):
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
