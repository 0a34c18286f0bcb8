"""What a caller can do next decides the family: change the request, reload, ask for access, or try again.

Each class carries `code`, public and permanent like an event tag. HTTP numbers live in `api/problems.py`.
"""

from collections.abc import Sequence

from msgspec import Struct


class FairleadError(Exception):
    """Root of everything that this program raises on purpose."""

    code = "error"


class Rejected(FairleadError):
    """The request cannot be carried out in the present state; asking again unchanged will not help."""

    code = "rejected"


class Problem(Struct, frozen=True, kw_only=True):
    """One thing wrong with a document. `path` is a JSON Pointer into it."""

    path: str
    message: str
    code: str = "invalid"


class Invalid(FairleadError):
    """The input breaks its contract. Carries every problem found, not only the first."""

    code = "invalid_input"

    def __init__(self, problems: Sequence[Problem], summary: str = "the input is not valid") -> None:
        super().__init__(summary)
        self.problems = tuple(problems)


class NotFound(FairleadError):
    """No such thing, or it is another tenant's: the two are never told apart."""

    code = "not_found"


class Denied(FairleadError):
    """The principal lacks a permission. `missing` names it."""

    code = "permission_denied"

    def __init__(self, missing: str, message: str | None = None) -> None:
        super().__init__(message or f"permission {missing} is required")
        self.missing = missing


class StreamMoved(FairleadError):
    """Somebody else appended first: load again and decide again."""

    code = "stream_moved"


class Unavailable(FairleadError):
    """An engine did not answer. Nothing is known to have changed; the same request may be sent again."""

    code = "unavailable"

    def __init__(self, what: str, retry_after_s: int = 1) -> None:
        super().__init__(f"{what} is not available")
        self.retry_after_s = retry_after_s
