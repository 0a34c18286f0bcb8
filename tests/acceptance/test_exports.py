"""Exports over the API: the same as the timeline, whole or in parts, in each format, and in constant memory."""

import csv
import gc
import io
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pandas as pd
import psycopg
import pytest
from fairlead_tenants.access import Grant, Role

from fairlead.adapters.postgres import Database
from fairlead.api import commit_pages
from fairlead.api.commit_pages import OF_TIME, pages
from fairlead.api.export_csv import CsvWriter
from fairlead.api.timeline_events import events_of
from tests.support import spreadsheet
from tests.support.api import Customer, Served, in_a_task_of_its_own
from tests.support.clock import T0
from tests.support.database import DatabaseUrls
from tests.support.documents import ask
from tests.support.histories import five_steps
from tests.support.reading import EVERYWHERE, reader
from tests.support.timelines import A_RUN, row
from tests.support.workflows import at_work, echo, publish, started, until_status

SCHEMA = jsonschema_rs.Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs/reference/timeline.schema.json").read_text()), validate_formats=True
)
FORMULA = "=cmd|' /C calc'!A0"
MANY = "tnt_many"
BEGINNING = "2000-01-01T00:00:00Z"


@pytest.fixture(scope="module", autouse=True)
async def _worker(served: Served) -> AsyncIterator[None]:
    async with in_a_task_of_its_own(at_work(served)):
        yield


@pytest.fixture
async def run_id(alice: Customer) -> str:
    """A run with all sorts of events, some of which would be formulas."""
    steps = (echo("a", FORMULA), echo("b", '"quoted", \r\n and more; Grüße'), ask("q"))
    run_id = await started(alice.owner, await publish(alice, *steps, result={}))
    await until_status(alice, run_id, "waiting_for_input")
    await alice.owner.post(f"/v1/runs/{run_id}/pause", json={"reason": FORMULA})
    cancelled = await alice.owner.post(f"/v1/runs/{run_id}/cancel", json={"reason": "+1"})
    at = {"Fairlead-Position": cancelled.headers["Fairlead-Position"]}
    await alice.owner.get(f"/v1/runs/{run_id}/timeline", headers=at)
    return run_id


def unproven(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in event.items() if key not in ("proof", "sealed")} for event in events]


async def test_every_format_of_a_run_says_what_its_timeline_says(alice: Customer, run_id: str) -> None:
    timeline = (await alice.owner.get(f"/v1/runs/{run_id}/timeline?limit=200")).json()["items"]
    path = f"/v1/runs/{run_id}/export"
    document = (await alice.owner.get(path)).json()
    SCHEMA.validate(document)
    assert (document["scope"], document["last"]) == ({"run_id": run_id}, timeline[-1]["position"])
    assert unproven(document["events"]) == timeline
    lines = await alice.owner.get(f"{path}?format=ndjson")
    assert unproven(json.loads(line) for line in lines.text.splitlines()) == timeline
    table = await alice.owner.get(f"{path}?format=csv")
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert table.headers["Content-Disposition"] == f'attachment; filename="{run_id}.csv"'
    frame = pd.read_csv(io.BytesIO(table.content), keep_default_na=False)
    assert list(frame["position"]) == [event["position"] for event in timeline]
    rows = _rows(table)
    assert [json.loads(row["data"]) for row in rows] == [event["data"] for event in timeline]
    assert {cell[0] for row in rows for cell in row.values() if cell} & set("=+-@\t\r\n") == set()
    reasons = [row["reason"].removeprefix("'") for row in rows if row["type"] in ("run.paused.v1", "run.cancelled.v1")]
    assert reasons == [FORMULA, "+1"]


@pytest.mark.skipif(spreadsheet.PROGRAM is None, reason="LibreOffice (soffice) is not installed")
async def test_a_spreadsheet_shows_every_cell_as_it_was_exported_and_makes_a_formula_of_none(
    alice: Customer, run_id: str, tmp_path: Path
) -> None:
    table = await alice.owner.get(f"/v1/runs/{run_id}/export?format=csv")
    file, unsafe = tmp_path / "run.csv", tmp_path / "unsafe.csv"
    file.write_bytes(table.content)
    unsafe.write_text('"shown"\n=1+1\n')
    shown, calculated = await spreadsheet.opened(tmp_path, file, unsafe)
    assert [[cell.formula for cell in row] for row in calculated] == [[None], ["of:=1+1"]]
    exported = list(csv.reader(io.StringIO(table.content.decode("utf-8-sig"), newline="")))
    assert [[cell.text for cell in row] for row in shown] == [[_one_line_end(cell) for cell in row] for row in exported]
    assert {cell.formula for row in shown for cell in row} == {None}
    assert any(FORMULA in cell.text for row in shown for cell in row)


def _one_line_end(text: str) -> str:
    """A spreadsheet knows one way to end a line within a cell."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
async def test_an_export_goes_on_after_any_event(alice: Customer, run_id: str, form: str) -> None:
    spans = [f"/v1/runs/{run_id}/export?", f"/v1/exports/events?from={BEGINNING}&"]
    timeline = (await alice.owner.get(f"/v1/runs/{run_id}/timeline?limit=200")).json()["items"]
    positions = [event["position"] for event in timeline]
    for path in spans:
        for index in (0, 1, len(positions) // 2, len(positions) - 1):
            part = await alice.owner.get(f"{path}format={form}&after={positions[index]}")
            assert _positions(part, form) == positions[index + 1 :]


async def test_a_span_of_time_holds_what_was_recorded_in_it(alice: Customer, run_id: str) -> None:
    workflow = await publish(alice, ask("q"), name="other")
    other = await started(alice.owner, workflow)
    at = {"Fairlead-Position": str(await alice.served.core.log.last_sequence())}
    everything = (await alice.owner.get(f"/v1/exports/events?from={BEGINNING}&format=json", headers=at)).json()
    SCHEMA.validate(everything)
    assert {event["run_id"] for event in everything["events"]} == {run_id, other}
    times = [event["at"] for event in everything["events"]]
    assert times == sorted(times)
    middle = times[len(times) // 2]
    first = await alice.owner.get("/v1/exports/events", params={"from": BEGINNING, "to": middle})
    second = await alice.owner.get("/v1/exports/events", params={"from": middle})
    halves = [json.loads(line) for part in (first, second) for line in part.text.splitlines()]
    assert unproven(halves) == unproven(everything["events"])
    of_other = await alice.owner.get("/v1/exports/events", params={"from": BEGINNING, "workflow_id": workflow})
    assert {json.loads(line)["run_id"] for line in of_other.text.splitlines()} == {other}


async def test_what_cannot_be_exported_is_refused_before_anything_is_sent(alice: Customer, run_id: str) -> None:
    own = f"/v1/runs/{run_id}/export"
    for wrong, path in (
        ("?format=xml", "/format"),
        ("?after=nowhere", "/after"),
    ):
        refused = await alice.owner.get(own + wrong)
        assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, path)
    events = "/v1/exports/events"
    for query, path in (
        ("?from=2026-01-01T00:00:00", "/from"),
        (f"?from={BEGINNING}&after=999999999-0", "/after"),
    ):
        refused = await alice.owner.get(events + query)
        assert (query, refused.status_code, refused.json()["errors"][0]["path"]) == (query, 422, path)
    assert (await alice.owner.get(events)).status_code == 400


async def test_an_export_needs_its_permission_and_holds_nothing_of_another_tenant(
    alice: Customer, bob: Customer, run_id: str
) -> None:
    _, reviewer = await alice.person(Grant(Role.REVIEWER))
    for path in (f"/v1/runs/{run_id}/export", f"/v1/exports/events?from={BEGINNING}"):
        refused = await alice.as_key(reviewer).get(path)
        assert (refused.status_code, refused.json()["missing"]) == (403, "export:read")
    assert (await bob.owner.get(f"/v1/runs/{run_id}/export")).status_code == 404
    assert (await bob.owner.get(f"/v1/exports/events?from={BEGINNING}")).text == ""
    first = (await alice.owner.get(f"/v1/runs/{run_id}/timeline")).json()["items"][0]["position"]
    assert (await bob.owner.get(f"/v1/exports/events?from={BEGINNING}&after={first}")).status_code == 422
    _, tester = await alice.person(Grant(Role.OPERATOR), kind="test")
    assert (await alice.as_key(tester).get(f"/v1/exports/events?from={BEGINNING}")).text == ""


_COPIES = """
INSERT INTO run_commits (tenant_id, run_id, sequence, kind, stream_id, first_version, event_count, at, body)
SELECT %(tenant)s, 'run_' || g, g, 'run', 'run_' || g, 1, 4, now(), %(body)s FROM generate_series(1, %(count)s) AS g
"""


async def test_a_hundred_thousand_events_take_no_more_memory_than_a_few_pages(
    database: DatabaseUrls,
) -> None:
    body = row(1, *next(five_steps(A_RUN))).body
    with psycopg.connect(database.admin) as admin:
        admin.execute(_COPIES, {"tenant": MANY, "body": body, "count": 25_000})
    span = {"from_at": T0 - timedelta(days=9999), "to_at": T0 + timedelta(days=9999), "workflow": None}
    params = EVERYWHERE.as_params() | span | {"to_sequence": 10**9}
    writer, events, size = CsvWriter(goes_on=False), 0, 0
    gc.collect()
    tracemalloc.start()
    async with Database(database.app) as application:
        async for rows in pages(reader(application, MANY), OF_TIME, params, 0):
            batch = [event for each in rows for event in events_of(each)]
            events, size = events + len(batch), size + len(writer.batch(batch))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert events == 100_000
    assert peak < 8 * commit_pages.PAGE_BYTES < size


def _rows(answer: httpx2.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


def _positions(part: httpx2.Response, form: str) -> list[str]:
    if form == "json":
        return [event["position"] for event in part.json()["events"]]
    if form == "ndjson":
        return [json.loads(line)["position"] for line in part.text.splitlines()]
    return [line[0] for line in csv.reader(io.StringIO(part.content.decode(), newline=""))]
