"""`fairlead report` about money, against a server that answers from a script: what is asked, and what a gate says."""

from pathlib import Path
from typing import Any

from click.testing import CliRunner

from fairlead.__main__ import main
from fairlead.cli.exits import Exit
from tests.support.api_double import Reply, scripted_api
from tests.support.api_keys import some_key

SUMS = ("revenue_usd_micros", "call_cost_usd_micros", "review_cost_usd_micros", "margin_usd_micros")
LEFT = {
    "workflow_id": "wfl_1",
    "workflow_name": "refunds",
    "account": "",
    "runs": 1,
    "successful_runs": 1,
    "is_negative": False,
    **dict.fromkeys(SUMS, 7),
}
LOST = LEFT | {"workflow_id": "wfl_2", "workflow_name": "claims", "is_negative": True, "margin_usd_micros": -7}


def report(*rows: dict[str, Any]) -> Reply:
    return Reply(200, {"items": list(rows), "next_cursor": None})


def run(url: str, *arguments: str) -> Any:
    env = {"FAIRLEAD_URL": url, "FAIRLEAD_API_KEY": some_key()}
    return CliRunner().invoke(main, ["report", *arguments], env=env)


def test_without_a_gate_what_is_flagged_is_shown() -> None:
    with scripted_api([report(LEFT, LOST)]) as api:
        done = run(api.url, "margins", "--workflow", "claims")
    assert done.exit_code == Exit.OK, done.output
    assert "-7 !" in done.output
    assert "workflow=claims" in api.asked[0].path


def test_a_gate_lets_through_what_is_not_flagged_and_names_what_is() -> None:
    with scripted_api([report(LEFT), report(LEFT, LOST)]) as api:
        fine, flagged = run(api.url, "margins", "--gate"), run(api.url, "margins", "--gate")
    assert fine.exit_code == Exit.OK, fine.output
    assert flagged.exit_code == Exit.FLAGGED
    assert "refunds" in flagged.output, "the report is shown all the same"
    assert "claims" in flagged.stderr
    assert "refunds" not in flagged.stderr


def test_a_gate_looks_at_a_report_that_goes_into_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "margins.csv"
    written = Reply(200, raw=b"workflow_id\r\nwfl_2\r\n", headers={"Content-Type": "text/csv"})
    with scripted_api([written, report(LOST)]) as api:
        done = run(api.url, "margins", "--gate", "--file", str(file))
    assert (done.exit_code, file.exists()) == (Exit.FLAGGED, True), done.output
