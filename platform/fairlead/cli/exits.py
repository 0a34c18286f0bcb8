"""Exit codes: what a script can tell apart. Permanent, like an error code of the API."""

from collections.abc import Mapping
from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    NOT_PERMITTED = 5
    INVALID = 6
    UNAVAILABLE = 7
    WAIT_OVER = 8
    FLAGGED = 9
    RUN_FAILED = 10
    RUN_IMPOSSIBLE = 11
    RUN_CANCELLED = 12
    RUN_CAPPED = 13
    RUN_EXPIRED = 14
    NEEDS_PERSON = 15
    INTERRUPTED = 130


MEANING: Mapping[Exit, str] = {
    Exit.OK: "It is done. After waiting for a run: the run completed.",
    Exit.FAILED: "It failed, and none of the codes below says it better.",
    Exit.USAGE: "The command line is wrong; nothing was sent.",
    Exit.NOT_FOUND: "There is no such thing, or it is not yours.",
    Exit.REFUSED: "The present state does not allow it, or somebody else was faster: look again before you retry.",
    Exit.NOT_PERMITTED: "The key is missing, unknown, expired or revoked, or lacks the permission that is named.",
    Exit.INVALID: "The input breaks its contract; every problem is listed with its path.",
    Exit.UNAVAILABLE: "The server did not answer, or asked to come back later; the same command may be sent again.",
    Exit.WAIT_OVER: "`--timeout` ran out before the run came to its end; the run goes on.",
    Exit.FLAGGED: "With `--gate`: the report is shown, and something in it is flagged.",
    Exit.RUN_FAILED: "The run failed.",
    Exit.RUN_IMPOSSIBLE: "The run was declared impossible.",
    Exit.RUN_CANCELLED: "The run was cancelled.",
    Exit.RUN_CAPPED: "The run reached one of its limits.",
    Exit.RUN_EXPIRED: "The run reached its deadline.",
    Exit.NEEDS_PERSON: "With `--stop-for-person`: the run waits for an approval, an answer, or access to an account.",
    Exit.INTERRUPTED: "Interrupted from the keyboard; a run that was waited for goes on.",
}

OF_RUN: Mapping[str, Exit] = {
    "completed": Exit.OK,
    "failed": Exit.RUN_FAILED,
    "impossible": Exit.RUN_IMPOSSIBLE,
    "cancelled": Exit.RUN_CANCELLED,
    "capped": Exit.RUN_CAPPED,
    "expired": Exit.RUN_EXPIRED,
}

_OF_STATUS: Mapping[int, Exit] = {
    400: Exit.INVALID,
    401: Exit.NOT_PERMITTED,
    403: Exit.NOT_PERMITTED,
    404: Exit.NOT_FOUND,
    409: Exit.REFUSED,
    410: Exit.REFUSED,
    412: Exit.REFUSED,
    413: Exit.INVALID,
    415: Exit.INVALID,
    422: Exit.INVALID,
    428: Exit.REFUSED,
    429: Exit.UNAVAILABLE,
    502: Exit.UNAVAILABLE,
    503: Exit.UNAVAILABLE,
    504: Exit.UNAVAILABLE,
}


def of_status(status: int) -> Exit:
    """For an HTTP status that is no success."""
    return _OF_STATUS.get(status, Exit.FAILED)
