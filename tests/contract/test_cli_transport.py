"""The client over real HTTP: what is sent, what is repeated, and what each answer becomes."""

import pytest

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.targets import Target
from fairlead.cli.transport import MAX_ATTEMPTS, Api
from tests.support.api_double import Asked, Reply, ScriptedApi, scripted_api
from tests.support.api_keys import some_key

KEY = some_key()


def api_of(server: ScriptedApi, pauses: list[float] | None = None) -> Api:
    return Api(Target(url=server.url, key=KEY, source="test"), sleep=(pauses if pauses is not None else []).append)


def test_the_key_goes_in_a_header_and_every_write_has_an_idempotency_key() -> None:
    with scripted_api([Reply(201, {"id": 1}), Reply(201, {"id": 2})]) as server, api_of(server) as api:
        api.post("/v1/runs", {"x": 1})
        api.post("/v1/runs", {"x": 1}, idempotency_key="mine")
    first, second = server.asked
    assert first.headers["Authorization"] == f"Bearer {KEY}"
    assert first.json == {"x": 1}
    assert len(first.headers["Idempotency-Key"]) == 36
    assert second.headers["Idempotency-Key"] == "mine"


def test_a_write_whose_answer_was_lost_is_sent_again_under_the_same_key() -> None:
    replies = [Reply(201, {"id": 1}, cut=True), Reply(503), Reply(429, headers={"Retry-After": "2"}), Reply(201, {})]
    pauses: list[float] = []
    with scripted_api(replies) as server, api_of(server, pauses) as api:
        api.post("/v1/runs", {"x": 1})
    assert len({asked.headers["Idempotency-Key"] for asked in server.asked}) == 1
    assert len(server.asked) == 4
    assert pauses[2] == 2


def test_a_try_that_is_still_under_way_is_waited_for_and_another_conflict_is_not() -> None:
    with scripted_api([Reply(409, headers={"Retry-After": "1"}), Reply(201, {})]) as server, api_of(server) as api:
        api.post("/v1/runs", {})
    with (
        scripted_api([Reply(409, {"detail": "ended"})]) as server,
        api_of(server) as api,
        pytest.raises(Failure, match="ended") as failure,
    ):
        api.post("/v1/runs/run_1/pause", {})
    assert failure.value.exit_code == Exit.REFUSED


def test_asking_ends_and_says_that_the_server_is_not_available() -> None:
    with scripted_api(lambda _: Reply(503)) as server, api_of(server) as api, pytest.raises(Failure) as failure:
        api.get("/v1/runs")
    assert failure.value.exit_code == Exit.UNAVAILABLE
    assert len(server.asked) == MAX_ATTEMPTS


def test_a_server_that_wants_a_long_pause_is_reported_at_once() -> None:
    with (
        scripted_api([Reply(429, {"detail": "too many"}, {"Retry-After": "60"})]) as server,
        api_of(server) as api,
        pytest.raises(Failure, match="too many") as failure,
    ):
        api.get("/v1/runs")
    assert failure.value.exit_code == Exit.UNAVAILABLE
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_not_available() -> None:
    with scripted_api([]) as server:
        pass
    with api_of(server) as api, pytest.raises(Failure) as failure:
        api.get("/v1/runs")
    assert failure.value.exit_code == Exit.UNAVAILABLE


def test_the_position_of_a_write_goes_with_later_reads() -> None:
    with (
        scripted_api([Reply(201, {}, {"Fairlead-Position": "7"}), Reply(200, {})]) as server,
        api_of(server) as api,
    ):
        api.post("/v1/runs", {})
        api.get("/v1/runs")
    assert server.asked[1].headers["Fairlead-Position"] == "7"


def test_a_key_does_not_follow_a_redirect() -> None:
    with (
        scripted_api([Reply(307, headers={"Location": "http://127.0.0.1:1/"})]) as server,
        api_of(server) as api,
        pytest.raises(Failure, match="307"),
    ):
        api.get("/v1/runs")


def test_lists_are_followed_to_their_end_or_to_the_limit() -> None:
    def page(asked: Asked) -> Reply:
        first = "cursor" not in asked.path
        return Reply(200, {"items": [1, 2] if first else [3], "next_cursor": "c1" if first else None})

    with scripted_api(page) as server, api_of(server) as api:
        assert list(api.pages("/v1/runs", {"status": None})) == [1, 2, 3]
        assert list(api.pages("/v1/runs", limit=2)) == [1, 2]
    assert server.asked[0].path == "/v1/runs?limit=100"
    assert server.asked[1].path == "/v1/runs?limit=100&cursor=c1"
    assert len(server.asked) == 3


def test_an_answer_of_some_other_server_is_named_as_such() -> None:
    with (
        scripted_api([Reply(200, raw=b"<html>")]) as server,
        api_of(server) as api,
        pytest.raises(Failure, match="Fairlead server"),
    ):
        api.get("/v1/runs")
