"""`fairlead toolset` against a server that answers from a script: what is sent, and what is said of the answer."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fairlead.__main__ import main
from fairlead.cli.exits import Exit
from tests.support.api_double import Reply, scripted_api
from tests.support.api_keys import some_key

REPORT: dict[str, Any] = {
    "name": "crm",
    "version": 1,
    "title": "Customers",
    "problems": [],
    "left_out": [{"operation": "POST /files", "path": "", "code": "media_type", "message": "cannot be sent"}],
    "left_out_count": 1,
    "tools": [{"name": "crm.list_customers"}],
    "sign_in": {"auth": "api_key", "scopes": [], "egress": ["crm.example.com"], "config": []},
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    found = tmp_path / "crm.yaml"
    found.write_text("openapi: 3.1.0\npaths: {}\n")
    return str(found)


def run(url: str, *arguments: str) -> Any:
    return CliRunner().invoke(main, ["toolset", *arguments], env={"FAIRLEAD_URL": url, "FAIRLEAD_API_KEY": some_key()})


def test_a_file_is_sent_as_it_is_with_its_hints(file: str) -> None:
    with scripted_api([Reply(201, REPORT)]) as api:
        done = run(api.url, "import", "crm", file, "--reason", "wanted", "--hints", '{"only": ["/v1"]}')
    assert done.exit_code == Exit.OK, done.output
    (asked,) = api.asked
    assert asked.json == {
        "name": "crm",
        "description": "openapi: 3.1.0\npaths: {}\n",
        "reason": "wanted",
        "importer": "http",
        "hints": {"only": ["/v1"]},
    }
    assert "POST /files: cannot be sent" in done.output


def test_a_dry_run_that_finds_problems_fails_with_them(file: str) -> None:
    problem = {"path": "/description/paths", "code": "missing", "message": "there are no paths"}
    with scripted_api([Reply(200, REPORT | {"version": None, "problems": [problem]})]) as api:
        done = run(api.url, "import", "crm", file, "--reason", "wanted", "--dry-run")
    assert done.exit_code == Exit.INVALID
    assert "dry_run=true" in api.asked[0].path.lower()
    assert "/description/paths: there are no paths" in done.output + done.stderr
