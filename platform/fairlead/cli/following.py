"""Waits for a run to end, and shows on standard error what happens meanwhile.

Events come as server-sent events. When the connection breaks, the stream is taken up after the last event that came, so
nothing is missed and nothing is shown twice.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import rich_click as click
from msgspec import Struct

from fairlead.cli.exits import OF_RUN, Exit
from fairlead.cli.failures import Failure
from fairlead.cli.plain import plain
from fairlead.cli.transport import Api, json_in, path
from fairlead.cli.views.runs import about

BEGINNING = "0-0"  # before every event
PAUSE_S = 0.5
MAX_SILENT_TRIES = 60  # tries in a row that brought no event and no answer
SILENCE_S = 60.0  # the server says something every 15 seconds: after this it is gone
REOPEN_S = 1.0
ASKS_PERSON = ("tool_call.approval_requested.", "run.question_asked.", "tool_call.connection_awaited.")
NEEDS_PERSON = ("waiting_for_approval", "waiting_for_input", "waiting_for_connection")
ENDINGS = tuple(f"run.{ending}." for ending in OF_RUN)
PLANS_UNDOING, ENDS_UNDOING = "run.compensation_planned.", "run.compensation_ended."

Say = Callable[[Any], None]


class Wait(Struct, frozen=True, kw_only=True):
    """`ends_at` is on the monotonic clock; None is to wait for ever."""

    ends_at: float | None = None
    stop_for_person: bool = False


class OutOfTime(Exception):
    """The bound of the wait was reached."""


def wait_for(api: Api, run_id: str, wait: Wait, say: Say) -> tuple[Any, Exit]:
    """The run as it is when the wait is over, and the exit code that says why it is."""
    asked = False
    try:
        for event in live_events(api, run_id, wait.ends_at):
            say(event)
            asked = asked or event["type"].startswith(ASKS_PERSON)
            if wait.stop_for_person and asked:
                run = run_of(api, run_id)  # other branches may still be at work: the run itself says when all wait
                if run["status"] in NEEDS_PERSON:
                    return run, Exit.NEEDS_PERSON
    except OutOfTime:
        return run_of(api, run_id), Exit.WAIT_OVER
    run = run_of(api, run_id)
    return run, OF_RUN.get(run["status"], Exit.FAILED)


def run_of(api: Api, run_id: str) -> Any:
    return api.get(path("runs", run_id)).body


def live_events(api: Api, run_id: str, ends_at: float | None = None, *, to_the_last: bool = False) -> Iterator[Any]:
    """From the run's first event to its end, or to the end of what it undoes then. Raises Failure, OutOfTime."""
    last, silent = BEGINNING, 0
    ended = undoes = False
    while True:
        before = last
        try:
            for event in _one_stream(api, run_id, last, ends_at):
                last = event["position"]
                api.has_seen(last)
                yield event
                ended = ended or event["type"].startswith(ENDINGS)
                undoes = undoes or event["type"].startswith(PLANS_UNDOING)
                if event["type"].startswith(ENDS_UNDOING) or (ended and not to_the_last):
                    return
            if ended and not undoes:  # the server ends a stream after the last that is to come
                return
        except Failure as failure:
            silent = silent + 1 if last == before else 0
            if failure.exit_code != Exit.UNAVAILABLE or silent >= MAX_SILENT_TRIES:
                raise
        if last == before:
            api.pause(PAUSE_S)


def _one_stream(api: Api, run_id: str, after: str, ends_at: float | None) -> Iterator[Any]:
    """Until the server ends it. Lines without data keep the line open and give us the time to look at the clock."""
    silence_s = min(SILENCE_S, _left_s(ends_at))
    headers = {"Accept": "text/event-stream", "Last-Event-ID": after}
    with api.stream(path("runs", run_id, "events"), headers=headers, silence_s=silence_s) as response:
        for line in response.iter_lines():
            if line.startswith("data:"):
                yield json_in(line.removeprefix("data:"))
            if _left_s(ends_at) < silence_s - REOPEN_S:  # so that the last wait is no longer than what is left
                return


def _left_s(ends_at: float | None) -> float:
    """Raises OutOfTime."""
    if ends_at is None:
        return SILENCE_S
    left_s = ends_at - time.monotonic()
    if left_s <= 0:
        raise OutOfTime
    return left_s


def tell(event: Any) -> None:
    """One line an event, on standard error: standard output is for the answer."""
    at, kind, said = event["at"][11:19], event["type"].rpartition(".v")[0], about(event)
    click.echo(plain(f"{at}  {kind:<28} {said}".rstrip()), err=True)


def say_nothing(_: Any) -> None:
    """For --quiet."""
