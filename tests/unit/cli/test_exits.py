"""A script can tell failures apart by the exit code."""

from typing import get_args

import msgspec
import pytest

from fairlead.cli.exits import MEANING, OF_RUN, Exit, of_status
from fairlead.cli.failures import of_answer, of_error
from fairlead.domain.errors import Denied, FairleadError, Invalid, NotFound, Problem, Rejected, StreamMoved, Unavailable
from fairlead.domain.runs.status import RunStatus

ENDED = {"completed", "failed", "impossible", "cancelled", "capped", "expired"}


def test_every_code_is_explained() -> None:
    assert set(MEANING) == set(Exit)


def test_every_end_of_a_run_has_a_code_of_its_own() -> None:
    assert set(OF_RUN) == ENDED <= set(get_args(RunStatus))
    assert len(set(OF_RUN.values())) == len(OF_RUN)


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 6), (401, 5), (403, 5), (404, 3), (409, 4), (412, 4), (413, 6), (422, 6), (429, 7), (500, 1), (503, 7)],
)
def test_each_status_has_its_code(status: int, code: int) -> None:
    assert of_status(status) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("x"), 3),
        (Rejected("x"), 4),
        (StreamMoved("x"), 4),
        (Denied("run:start"), 5),
        (Invalid([]), 6),
        (Unavailable("the log"), 7),
        (FairleadError("x"), 1),
    ],
)
def test_errors_on_the_engines_themselves_have_the_same_codes(error: FairleadError, code: int) -> None:
    assert of_error(error).exit_code == code


def test_every_problem_is_listed_with_its_path() -> None:
    failure = of_error(
        Invalid([Problem(path="/a", message="is missing"), Problem(path="/b/0", message="is no number")])
    )
    assert failure.details == ("/a: is missing", "/b/0: is no number")


def test_a_problem_document_is_told_in_full() -> None:
    body = {"title": "Invalid", "detail": "the input is not valid", "errors": [{"path": "/x", "message": "is missing"}]}
    failure = of_answer(422, msgspec.json.encode(body))
    assert str(failure) == "the input is not valid"
    assert failure.details == ("/x: is missing",)
    assert failure.document == body


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"[1]", b'{"title": 7}', b"\xff"])
def test_an_answer_that_is_no_problem_document_still_has_its_code(body: bytes) -> None:
    failure = of_answer(502, body)
    assert failure.exit_code == Exit.UNAVAILABLE
    assert "502" in str(failure)


def test_a_failure_is_shown_on_standard_error_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    of_answer(404, b'{"detail": "no run \\u001b[2J"}').show()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "fairlead: no run \\x1b[2J\n"
