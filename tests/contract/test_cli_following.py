"""Waiting for a run over real server-sent events: nothing is missed when one breaks off, each end has its code."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from fairlead.cli.exits import OF_RUN, Exit
from fairlead.cli.failures import Failure
from fairlead.cli.following import Wait, live_events, wait_for
from fairlead.cli.targets import Target
from fairlead.cli.transport import Api
from tests.support.api_double import Asked, Reply, ScriptedApi, scripted_api
from tests.support.api_keys import some_key

RUN = "run_1"
HEARTBEAT = b": still here\n\n"


def event(number: int, kind: str) -> bytes:
    body = {"position": f"{number}-0", "type": kind, "at": "2026-01-31T08:00:00Z", "data": {}}
    return b"id: %d-0\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), msgspec.json.encode(body))


def server_of(streams: list[Reply], statuses: list[str]) -> Callable[[Asked], Reply]:
    """Answers each stream once; the run has the statuses one after the other and keeps the last."""

    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("/events"):
            reply = streams.pop(0)
            return Reply(reply.status, raw=reply.content, cut=reply.cut, headers={"Content-Type": "text/event-stream"})
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        return Reply(200, {"run_id": RUN, "status": status})

    return answer


def api_of(server: ScriptedApi) -> Api:
    return Api(Target(url=server.url, key=some_key(), source="test"), sleep=lambda _: None)


def waited(
    streams: list[Reply], statuses: list[str], wait: Wait | None = None
) -> tuple[Any, Exit, list[str], list[Asked]]:
    told: list[str] = []
    with scripted_api(server_of(streams, statuses)) as server, api_of(server) as api:
        run, code = wait_for(api, RUN, wait or Wait(), lambda each: told.append(each["position"]))
    return run, code, told, server.asked


@pytest.mark.parametrize(("status", "code"), OF_RUN.items())
def test_each_end_of_a_run_has_its_exit_code(status: str, code: Exit) -> None:
    stream = Reply(raw=event(1, "run.started.v1") + HEARTBEAT + event(2, f"run.{status}.v1"))
    run, found, told, _ = waited([stream], [status])
    assert (run["status"], found, told) == (status, code, ["1-0", "2-0"])


def test_a_broken_stream_is_taken_up_after_the_last_event() -> None:
    streams = [
        Reply(raw=event(1, "run.started.v1") + b"id: 2-0\nevent: x\nda", cut=True),
        Reply(503, raw=b""),
        Reply(raw=HEARTBEAT),
        Reply(raw=event(2, "tool_call.completed.v1") + event(3, "run.completed.v1")),
    ]
    _, code, told, asked = waited(streams, ["completed"])
    assert (code, told) == (Exit.OK, ["1-0", "2-0", "3-0"])
    lasts = [each.headers["Last-Event-ID"] for each in asked if each.path.endswith("/events")]
    assert lasts == ["0-0", "1-0", "1-0", "1-0"]


def test_the_answer_knows_at_least_what_the_last_event_said() -> None:
    _, _, _, asked = waited([Reply(raw=event(7, "run.completed.v1"))], ["completed"])
    assert asked[-1].headers["Fairlead-Position"] == "7"


def test_waiting_stops_for_a_person_only_when_the_whole_run_waits() -> None:
    stream = Reply(
        raw=event(1, "run.started.v1")
        + event(2, "tool_call.approval_requested.v1")
        + event(3, "tool_call.completed.v1")
        + event(4, "run.completed.v1")
    )
    statuses = ["running", "waiting_for_approval"]
    run, code, told, _ = waited([stream], statuses, Wait(stop_for_person=True))
    assert (run["status"], code, told) == ("waiting_for_approval", Exit.NEEDS_PERSON, ["1-0", "2-0", "3-0"])


def test_a_wait_that_is_over_leaves_the_run_alone() -> None:
    def answer(asked: Asked) -> Reply:
        body = {"run_id": RUN, "status": "running"}
        return Reply(raw=HEARTBEAT) if asked.path.endswith("/events") else Reply(200, body)

    with scripted_api(answer) as server, api_of(server) as api:
        run, code = wait_for(api, RUN, Wait(ends_at=time.monotonic() + 0.2), lambda _: None)
    assert (run["status"], code) == ("running", Exit.WAIT_OVER)
    assert all(each.method == "GET" for each in server.asked)


def test_a_run_that_is_not_there_is_not_waited_for() -> None:
    with (
        scripted_api([Reply(404, {"detail": "no such run"})]) as server,
        api_of(server) as api,
        pytest.raises(Failure, match="no such run") as failure,
    ):
        wait_for(api, RUN, Wait(), lambda _: None)
    assert failure.value.exit_code == Exit.NOT_FOUND


def followed(streams: list[Reply]) -> list[str]:
    with scripted_api(server_of(streams, ["failed"])) as server, api_of(server) as api:
        return [each["position"] for each in live_events(api, RUN, to_the_last=True)]


def test_a_run_is_followed_until_it_has_undone_what_it_did() -> None:
    ends = event(2, "run.failed.v1") + event(3, "run.compensation_planned.v1")
    streams = [
        Reply(raw=event(1, "run.started.v1") + ends + HEARTBEAT),
        Reply(raw=event(4, "tool_call.compensated.v1") + event(5, "run.compensation_ended.v1")),
    ]
    assert followed(streams) == ["1-0", "2-0", "3-0", "4-0", "5-0"]
    assert followed([Reply(raw=event(1, "run.started.v1") + event(2, "run.failed.v1"))]) == ["1-0", "2-0"]
