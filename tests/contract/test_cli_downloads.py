"""An export that breaks off goes on where it was, in whatever format, and is whole in the end."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from fairlead.cli.downloads import MAX_TRIES, Download, download
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.targets import Target
from fairlead.cli.transport import Api
from tests.support.api_double import Asked, Reply, ScriptedApi, scripted_api
from tests.support.api_keys import some_key

NDJSON = b"".join(b'{"position":"%d-0","text":"line %d"}\n' % (n, n) for n in range(1, 6))
CSV_HEAD = b"position,reason\r\n"
CSV_ROWS = [b'%d-0,"says ""no"",\r\n9-9,run_x ""\r\n%d"\r\n' % (n, n) for n in range(1, 6)]
CSV = CSV_HEAD + b"".join(CSV_ROWS)


@contextmanager
def serving(whole: bytes, form: str, cut_at: list[int]) -> Iterator[tuple[ScriptedApi, Api]]:
    """Serves the rest after the position that is asked for; each of the first answers is cut after so many bytes."""

    def answer(asked: Asked) -> Reply:
        rest = after(whole, form, position_in(asked))
        if cut_at:
            return Reply(raw=rest[: cut_at.pop(0)], cut=True)
        return Reply(raw=rest)

    with (
        scripted_api(answer) as server,
        Api(Target(url=server.url, key=some_key(), source="test"), sleep=lambda _: None) as api,
    ):
        yield server, api


def position_in(asked: Asked) -> str | None:
    return parse_qs(urlsplit(asked.path).query).get("after", [None])[0]


def after(whole: bytes, form: str, position: str | None) -> bytes:
    if position is None:
        return whole
    number = int(position.removesuffix("-0"))
    if form == "csv":
        return b"".join(CSV_ROWS[number:])
    return b"".join(line + b"\n" for line in whole.splitlines()[number:])


def wanted(target: Path, form: str) -> Download:
    return Download(path="/v1/exports/events", params={"from": "a"}, form=form, target=target)


@pytest.mark.parametrize("cut", range(1, len(NDJSON), 13))
def test_lines_of_json_go_on_after_the_last_whole_one(tmp_path: Path, cut: int) -> None:
    target = tmp_path / "events.ndjson"
    with serving(NDJSON, "ndjson", [cut, 40]) as (_, api):
        download(api, wanted(target, "ndjson"))
    assert target.read_bytes() == NDJSON
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("cut", range(1, len(CSV), 9))
def test_rows_go_on_after_the_last_whole_one_whatever_is_in_their_cells(tmp_path: Path, cut: int) -> None:
    target = tmp_path / "events.csv"
    with serving(CSV, "csv", [cut]) as (server, api):
        download(api, wanted(target, "csv"))
    assert target.read_bytes() == CSV
    whole_rows = sum(len(CSV_HEAD + b"".join(CSV_ROWS[:n])) <= cut for n in range(1, 6))
    assert position_in(server.asked[1]) == (f"{whole_rows}-0" if whole_rows else None)


def test_a_document_begins_anew(tmp_path: Path) -> None:
    target = tmp_path / "events.json"
    with serving(b'{"events":[\n{"position":"1-0"},\n2]}\n', "json", [30]) as (server, api):
        download(api, wanted(target, "json"))
    assert target.read_bytes().endswith(b"2]}\n")
    assert [position_in(asked) for asked in server.asked] == [None, None]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(tmp_path: Path) -> None:
    target = tmp_path / "events.ndjson"
    with serving(NDJSON, "ndjson", [80] + [0] * MAX_TRIES) as (_, api), pytest.raises(Failure) as failure:
        download(api, wanted(target, "ndjson"))
    assert failure.value.exit_code == Exit.UNAVAILABLE
    assert not target.exists()
    [partial] = tmp_path.iterdir()
    assert partial.stat().st_mode & 0o777 == 0o600
    with serving(NDJSON, "ndjson", []) as (server, api):
        download(api, wanted(target, "ndjson"))
    assert position_in(server.asked[0]) == "2-0"
    assert target.read_bytes() == NDJSON


def test_a_part_of_another_request_is_not_gone_on_with(tmp_path: Path) -> None:
    one = wanted(tmp_path / "events.ndjson", "ndjson")
    other = Download(path=one.path, params={"from": "b"}, form="ndjson", target=one.target)
    assert one.partial != other.partial
    assert re.fullmatch(r"events\.ndjson\.[0-9a-f]{8}\.partial", one.partial.name)


def test_a_refusal_is_not_tried_again(tmp_path: Path) -> None:
    with scripted_api([Reply(403, {"detail": "permission export:read is required"})]) as server:
        api = Api(Target(url=server.url, key=some_key(), source="test"))
        with api, pytest.raises(Failure, match="export:read") as failure:
            download(api, wanted(tmp_path / "x.ndjson", "ndjson"))
    assert failure.value.exit_code == Exit.NOT_PERMITTED
    assert not list(tmp_path.iterdir())
