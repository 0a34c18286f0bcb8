"""What a caller is told of a log that was taken back."""

from fairlead.api.problems import status_of
from fairlead.handling.log_guard import LogTakenBack


def test_writing_to_a_log_that_was_taken_back_answers_503_and_names_the_runbook() -> None:
    error = LogTakenBack()
    assert (status_of(LogTakenBack), error.code, error.retry_after_s) == (503, "log_taken_back", 30)
    assert "runbook ledger-mismatch" in str(error)
