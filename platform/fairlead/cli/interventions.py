"""`fairlead run …`: what a person may do to a run that is under way."""

from collections.abc import Sequence
from typing import Any

import rich_click as click
from uuid_utils.compat import uuid7

from fairlead.cli.documents import pairs, value_of
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.runs import reason_option, run
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views.runs import ANSWER, SIGNALLED

__all__ = ["run"]  # with the commands below

payload_option = click.option("-p", "--payload", default="null", help="JSON, @file, or - for standard input.")
signal_id_option = click.option("--signal-id", help="The same id is taken once; made up when left out.")
step_argument = click.argument("step")


def _change(session: Session, run_id: str, what: Sequence[str], body: Any) -> None:
    session.out.one(session.api.post(path("runs", run_id, *what), body).body, ANSWER)


@run.command("pause")
@click.argument("run_id")
@reason_option
@client_command
def pause(session: Session, run_id: str, reason: str) -> None:
    """Hold a run before its next side effect."""
    _change(session, run_id, ["pause"], {"reason": reason})


@run.command("resume")
@click.argument("run_id")
@reason_option
@client_command
def resume(session: Session, run_id: str, reason: str) -> None:
    """Let a paused run go on."""
    _change(session, run_id, ["resume"], {"reason": reason})


@run.command("cancel")
@click.argument("run_id")
@reason_option
@client_command
def cancel(session: Session, run_id: str, reason: str) -> None:
    """End a run before its next side effect."""
    _change(session, run_id, ["cancel"], {"reason": reason})


@run.command("signal")
@click.argument("run_id")
@click.argument("name")
@payload_option
@signal_id_option
@client_command
def signal(session: Session, run_id: str, name: str, payload: str, signal_id: str | None) -> None:
    """Tell a run that something happened outside."""
    body = _signal(name, payload, signal_id)
    session.out.one(session.api.post(path("runs", run_id, "signals"), body).body, SIGNALLED)


@run.command("signal-labelled")
@click.argument("label", metavar="NAME=VALUE")
@click.argument("name")
@payload_option
@signal_id_option
@client_command
def signal_labelled(session: Session, label: str, name: str, payload: str, signal_id: str | None) -> None:
    """Tell every run under way that bears a label that something happened outside."""
    [(key, value)] = pairs((label,)).items()
    body = _signal(name, payload, signal_id) | {"label": {"key": key, "value": value}}
    session.out.many(session.api.post("/v1/signals", body).body["runs"], SIGNALLED)


def _signal(name: str, payload: str, signal_id: str | None) -> dict[str, Any]:
    return {"name": name, "payload": value_of(payload), "signal_id": signal_id or str(uuid7())}


@run.command("answer")
@click.argument("run_id")
@click.argument("answer")
@click.option("--question", help="Which one, where the run has asked several.")
@client_command
def answer(session: Session, run_id: str, answer: str, question: str | None) -> None:
    """Answer the question that a run waits on. ANSWER is JSON, @file, or - for standard input."""
    question_id = question or _only_question(session, run_id)
    _change(session, run_id, ["questions", question_id, "answer"], {"answer": value_of(answer)})


def _only_question(session: Session, run_id: str) -> str:
    questions = session.api.get(path("runs", run_id)).body["awaited"]["questions"]
    if len(questions) != 1:
        details = tuple(f"{question['question_id']}: {question['question']}" for question in questions)
        asked = f"asks {len(questions)} questions; name one with --question" if questions else "asks nothing"
        raise Failure(f"the run {asked}", Exit.REFUSED, details=details)
    return str(questions[0]["question_id"])


def _repair(session: Session, run_id: str, step: str, repair: str, reason: str, **more: Any) -> None:
    _change(session, run_id, ["steps", step, repair], {"reason": reason, **more})


@run.command("retry")
@click.argument("run_id")
@step_argument
@reason_option
@client_command
def retry(session: Session, run_id: str, step: str, reason: str) -> None:
    """Carry out a failed STEP again."""
    _repair(session, run_id, step, "retry", reason)


@run.command("skip")
@click.argument("run_id")
@step_argument
@reason_option
@client_command
def skip(session: Session, run_id: str, step: str, reason: str) -> None:
    """Go on as if STEP had been done and had given nothing."""
    _repair(session, run_id, step, "skip", reason)


@run.command("supply")
@click.argument("run_id")
@step_argument
@click.option("-r", "--result", required=True, help="JSON, @file, or - for standard input.")
@reason_option
@client_command
def supply(session: Session, run_id: str, step: str, result: str, reason: str) -> None:
    """Give the result of STEP by hand."""
    _repair(session, run_id, step, "supply", reason, output=value_of(result))
