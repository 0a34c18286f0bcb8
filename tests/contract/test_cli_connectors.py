"""`fairlead connector enable` against a server that answers from a script."""

from typing import Any

from click.testing import CliRunner

from fairlead.__main__ import main
from fairlead.cli.exits import Exit
from tests.support.api_double import Reply, scripted_api
from tests.support.api_keys import some_key

UNKNOWN = Reply(404, {"code": "connector_unknown", "detail": "no such connector is installed"})
USED = Reply(200, {"name": "notes", "version": "0.1.0", "usable": True, "versions": []})


def enable(url: str, *arguments: str) -> Any:
    environment = {"FAIRLEAD_URL": url, "FAIRLEAD_API_KEY": some_key()}
    return CliRunner().invoke(main, ["connector", "enable", "notes", *arguments], env=environment)


def test_what_was_installed_just_now_is_waited_for() -> None:
    with scripted_api([UNKNOWN, USED]) as api:
        assert enable(api.url, "--wait").exit_code == Exit.OK
    assert len(api.asked) == 2


def test_nobody_waits_who_did_not_ask_to() -> None:
    with scripted_api([UNKNOWN]) as api:
        assert enable(api.url).exit_code == Exit.NOT_FOUND


def test_a_refusal_that_time_does_not_mend_is_said_at_once() -> None:
    with scripted_api([Reply(403, {"code": "permission_denied", "detail": "not yours"})]) as api:
        assert enable(api.url, "--wait").exit_code == Exit.NOT_PERMITTED
    assert len(api.asked) == 1
