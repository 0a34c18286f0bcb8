"""What goes wrong on the way to the API, each with its exit code and with what the reader can do about it."""

from collections.abc import Mapping
from typing import Any

import msgspec
import rich_click as click
from msgspec import Struct

from fairlead.cli.exits import Exit, of_status
from fairlead.cli.plain import plain, plain_json
from fairlead.domain.errors import Denied, FairleadError, Invalid, NotFound, Rejected, StreamMoved, Unavailable

_OF_ERROR: tuple[tuple[type[FairleadError], Exit], ...] = (
    (NotFound, Exit.NOT_FOUND),
    (Denied, Exit.NOT_PERMITTED),
    (Invalid, Exit.INVALID),
    (Unavailable, Exit.UNAVAILABLE),
    (Rejected, Exit.REFUSED),
    (StreamMoved, Exit.REFUSED),
)


class PathProblem(Struct, frozen=True):
    """One thing wrong with what was sent; `path` is a JSON Pointer into it."""

    path: str = ""
    message: str = ""


class ProblemDocument(Struct, frozen=True):
    """RFC 9457, as far as we show it."""

    title: str = ""
    detail: str = ""
    type: str = ""
    code: str = ""
    trace_id: str = ""
    errors: tuple[PathProblem, ...] = ()


class Failure(Exception):
    """Ends the program with `exit_code`. `document` is what a program may want to read instead of the sentences."""

    def __init__(
        self,
        message: str,
        exit_code: Exit = Exit.FAILED,
        *,
        details: tuple[str, ...] = (),
        document: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.details = details
        self.document = document
        self.as_document = False

    def show(self) -> None:
        """On standard error; standard output is for answers."""
        if self.as_document and self.document is not None:
            click.echo(plain_json(msgspec.json.encode(self.document).decode()), err=True)
            return
        click.echo(f"fairlead: {plain(str(self))}", err=True)
        for detail in self.details:
            click.echo(f"  {plain(detail)}", err=True)


def of_answer(status: int, body: bytes) -> Failure:
    """What an answer that is no success means. The body may be anything: a proxy may have written it."""
    try:
        problem = msgspec.json.decode(body, type=ProblemDocument)
        document = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Failure(f"the server answered {status}", of_status(status))
    details = [f"{error.path or '/'}: {error.message}" for error in problem.errors]
    if problem.trace_id and status >= 500:
        details.append(f"trace {problem.trace_id}")
    message = problem.detail or problem.title or f"the server answered {status}"
    return Failure(message, of_status(status), details=tuple(details), document=document)


def of_error(error: FairleadError) -> Failure:
    """For commands that work on the engines themselves."""
    code = next((code for family, code in _OF_ERROR if isinstance(error, family)), Exit.FAILED)
    problems = error.problems if isinstance(error, Invalid) else ()
    return Failure(str(error), code, details=tuple(f"{problem.path}: {problem.message}" for problem in problems))
