"""What an export says: the same events in each format, checked by the published schema and safe in a spreadsheet."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import msgspec
import pandas as pd
import pytest
from fairlead_ledger.csv_cells import COLUMNS, FORMULA_STARTS
from fairlead_tenants.ids import PrincipalId, WorkspaceId

from fairlead.api.export_csv import CsvWriter, status_after
from fairlead.api.export_formats import JsonWriter, NdjsonWriter, Scope, Writer
from fairlead.api.timeline_events import CommitRow, Place, TimelineEvent, events_of, place_of
from fairlead.api.timeline_schema import export_schema
from fairlead.domain import approvals as a
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Invalid
from fairlead.domain.ids import QuestionId, RunId
from fairlead.domain.runs import events as e
from tests.support.clock import T0
from tests.support.histories import approval_of, call_of, completed, five_steps, requested, started
from tests.support.timelines import A_RUN, row, rows, somebody, timeline

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "timeline.schema.json"
FIVE_STEPS = timeline(rows(five_steps(A_RUN)))


def written(writer: Writer, *batches: list[TimelineEvent]) -> bytes:
    return writer.begin() + b"".join(writer.batch(batch) for batch in batches) + writer.end()


def read_csv(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def plain(events: Iterable[TimelineEvent]) -> list[Any]:
    return [json.loads(msgspec.json.encode(event)) for event in events]


def one_of_each() -> list[CommitRow]:
    """Every event of approvals, and of runs those with a shape of their own."""
    asked = a.ApprovalRequested(
        run_id=RunId(A_RUN.id),
        call_id=call_of(A_RUN, 1),
        workspace_id=WorkspaceId("wsp_1"),
        workflow_name="pay",
        tool="bank.pay",
        arguments={"amount": 5},
        rule_id="r1",
        reason="high",
        evidence={"before": None, "after": {"x": [1, 2]}},
        fingerprint="f",
        digest="d",
        count=2,
        roles=("reviewer",),
        requested_by=(PrincipalId("prn_agent"),),
        deadline_at=T0 + timedelta(hours=1),
    )
    run_id, call_id = RunId(A_RUN.id), call_of(A_RUN, 1)
    approval = StreamRef(A_RUN.tenant_id, "approval", approval_of(A_RUN, 2))
    signed = a.ApprovalSigned(signed_by=PrincipalId("prn_bo"), comment="fine", missing=1)
    granted = a.ApprovalGranted(
        run_id=run_id, call_id=call_id, digest="d", fingerprint="f", approved_by=(PrincipalId("prn_bo"),)
    )
    denied = a.ApprovalDenied(run_id=run_id, call_id=call_id, denied_by=PrincipalId("prn_bo"), comment="no")
    others = (denied, a.ApprovalExpired(run_id=run_id, call_id=call_id), a.ApprovalWithdrawn(reason="moot"))
    first = started(A_RUN)
    forked = e.RunForked(
        run_id=RunId("run_child"),
        parent_run_id=RunId(A_RUN.id),
        parent_version=2,
        inherited=(first, requested(A_RUN, 1)),
        forked_by=PrincipalId("prn_bo"),
        reason="again",
        started_at=T0,
        deadline_at=T0,
    )
    question = e.QuestionAsked(
        question_id=QuestionId("qst_1"), purpose="step", question="Go on?", schema={"type": "null"}
    )
    failed = e.ToolCallFailed(
        call_id=call_of(A_RUN, 1), attempt=1, error_class="transient", code="c", message="m", latency_us=1, worker="w",
        retry_at=T0,
    )  # fmt: skip
    return [
        row(1, first, forked, question, failed, completed(A_RUN, 1), e.RunFailed(code="x", message="y", step="z")),
        row(2, asked, signed, granted, *others, stream=approval),
    ]


# --- the events -------------------------------------------------------------------------------------------------------


def test_an_event_says_where_it_is_who_caused_it_and_all_that_was_recorded() -> None:
    (event,) = timeline([row(7, e.RunPaused(reason="lunch"), version=4, actor=somebody("prn_bo"))])
    assert plain([event]) == [
        {
            "position": "7-0",
            "run_id": A_RUN.id,
            "stream": "run",
            "stream_id": A_RUN.id,
            "version": 4,
            "type": "run.paused.v1",
            "at": "2026-03-02T09:00:00Z",
            "actor": {"kind": "person", "id": "prn_bo"},
            "commit_id": "cmd_7",
            "causation_id": None,
            "correlation_id": A_RUN.id,
            "trace_parent": None,
            "data": {"type": "run.paused.v1", "reason": "lunch"},
        }
    ]


def test_versions_count_through_the_commits() -> None:
    assert [event.version for event in FIVE_STEPS] == list(range(1, len(FIVE_STEPS) + 1))


def test_events_go_on_within_a_commit() -> None:
    commit = row(7, e.RunPaused(reason="a"), e.RunResumed(reason="b"), e.RunPaused(reason="c"))
    assert [event.position for event in events_of(commit, Place(7, 0))] == ["7-1", "7-2"]
    assert list(events_of(commit, Place(7, 2))) == []


def test_a_position_reads_back() -> None:
    assert place_of("4711-12") == Place(4711, 12)


@pytest.mark.parametrize(
    "text", ["", "4711", "-", "4711-", "-1", "a-b", "1-2-3", "\uff11-\uff12", " 1-1", "9" * 19 + "-0", "1--1"]
)
def test_what_is_no_position_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        place_of(text, "after")
    assert [problem.path for problem in refused.value.problems] == ["/after"]


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 100])
def test_json_and_ndjson_hold_the_timeline_however_it_is_cut_into_batches(size: int) -> None:
    batches = [FIVE_STEPS[start : start + size] for start in range(0, len(FIVE_STEPS), size)]
    document = json.loads(written(JsonWriter(Scope(run_id=A_RUN.id), T0), *batches))
    assert document["events"] == plain(FIVE_STEPS)
    assert document["last"] == FIVE_STEPS[-1].position
    assert [json.loads(line) for line in written(NdjsonWriter(), *batches).splitlines()] == plain(FIVE_STEPS)


def test_an_export_without_events_is_whole_too() -> None:
    assert json.loads(written(JsonWriter(Scope(run_id="run_1"), T0))) == {
        "format": "fairlead.timeline.v1",
        "exported_at": "2026-03-02T09:00:00Z",
        "scope": {"run_id": "run_1"},
        "events": [],
        "last": None,
    }
    assert written(NdjsonWriter()) == b""
    assert read_csv(written(CsvWriter(goes_on=False))) == []


def test_the_published_schema_is_up_to_date() -> None:
    assert PUBLISHED.read_text() == json.dumps(export_schema(), indent=2) + "\n"


def test_the_published_schema_accepts_what_is_exported() -> None:
    validator = jsonschema_rs.Draft202012Validator(export_schema(), validate_formats=True)
    scope = Scope(from_=T0, to=T0 + timedelta(days=1), workflow_id="wfl_pay", after="3-1")
    for events in (FIVE_STEPS, timeline(one_of_each()), []):
        batches = [events] if events else []
        assert list(validator.iter_errors(json.loads(written(JsonWriter(scope, T0), *batches)))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"type": "run.imagined.v1"},
        {"data": {"type": "run.paused.v1"}},
        {"data": {"type": "run.resumed.v1", "reason": "of another type"}},
        {"data": {"type": "run.paused.v1", "reason": 1}},
        {"version": "1"},
        {"at": "yesterday"},
    ],
)
def test_the_published_schema_refuses_what_no_export_says(change: dict[str, Any]) -> None:
    validator = jsonschema_rs.Draft202012Validator(export_schema(), validate_formats=True)
    document = json.loads(written(JsonWriter(Scope(), T0), timeline([row(1, e.RunPaused(reason="x"))])))
    assert validator.is_valid(document)
    document["events"][0] |= change
    assert not validator.is_valid(document)


# --- CSV --------------------------------------------------------------------------------------------------------------


def test_csv_says_the_same_as_the_timeline() -> None:
    events = timeline(one_of_each()) + FIVE_STEPS
    for line, event in zip(read_csv(written(CsvWriter(goes_on=False), events)), plain(events), strict=True):
        assert json.loads(line["data"]) == event["data"]
        assert event["actor"] == {"kind": line["actor_kind"], "id": line["actor_id"]}
        for column in ("position", "run_id", "stream", "stream_id", "type", "at", "commit_id"):
            assert line[column] == event[column]
        assert line["version"] == str(event["version"])
        for column in ("step", "tool", "call_id", "attempt", "verdict", "rule_id", "error_class", "latency_us"):
            assert line[column] == str(event["data"].get(column, ""))


def test_csv_columns_are_those_that_were_promised() -> None:
    assert written(CsvWriter(goes_on=False)).decode("utf-8-sig") == (
        "position,run_id,stream,stream_id,version,type,at,actor_kind,actor_id,commit_id,causation_id,correlation_id,"
        "status,step,tool,call_id,approval_id,question_id,attempt,verdict,rule_id,policy_version,error_class,code,"
        "reason,latency_us,sealed,data\r\n"
    )


def test_parts_of_a_csv_put_together_are_the_whole() -> None:
    whole = written(CsvWriter(goes_on=False), FIVE_STEPS)
    assert written(CsvWriter(goes_on=False), FIVE_STEPS[:4]) + written(CsvWriter(goes_on=True), FIVE_STEPS[4:]) == whole


HOSTILE = [
    *(f"{start}1+cmd|' /C calc'!A0" for start in sorted(FORMULA_STARTS)),
    "'=1",
    "'quoted'",
    'say "hi", then\r\ngo',
    "line\nbreak",
    "Grüße, 世界 🙂",
    ";semicolon",
    "trailing ",
    '"',
    "=",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_is_a_formula_and_what_was_written_can_be_had_back(text: str) -> None:
    (event,) = timeline([row(1, e.RunPaused(reason=text))])
    (line,) = read_csv(written(CsvWriter(goes_on=False), [event]))
    cell = line["reason"]
    assert cell[0] not in FORMULA_STARTS
    assert cell.removeprefix("'") == text if cell.startswith("'") else cell == text
    assert json.loads(line["data"])["reason"] == text


@pytest.mark.parametrize("text", HOSTILE)
def test_every_column_that_others_write_is_safe(text: str) -> None:
    hostile = msgspec.structs.replace(requested(A_RUN, 1), step=text, tool=text)
    judged = e.ToolCallJudged(call_id=call_of(A_RUN, 1), verdict="allow", rule_id=text, policy_version=text)
    failed = e.RunFailed(code=text, message=text)
    events = timeline([row(1, hostile, judged, failed, actor=somebody(text))])
    lines = read_csv(written(CsvWriter(goes_on=False), events))
    assert [(name, cell) for line in lines for name, cell in line.items() if cell and cell[0] in FORMULA_STARTS] == []


def test_a_nul_does_not_stop_a_reader() -> None:
    events = timeline([row(1, e.RunPaused(reason="a\x00b")), row(2, e.RunResumed(reason="c"))])
    content = written(CsvWriter(goes_on=False), events)
    assert b"\x00" not in content
    assert [line["reason"] for line in read_csv(content)] == ["a\N{REPLACEMENT CHARACTER}b", "c"]


def test_pandas_reads_the_csv_as_it_is() -> None:
    events = timeline(one_of_each()) + FIVE_STEPS
    frame = pd.read_csv(io.BytesIO(written(CsvWriter(goes_on=False), events)), keep_default_na=False)
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["position"]) == [event.position for event in events]
    assert [json.loads(data) for data in frame["data"]] == [event["data"] for event in plain(events)]


def test_the_status_of_every_event_of_a_call_and_of_every_end_is_stated() -> None:
    tags = {str(event.__struct_config__.tag) for union in (e.RunEvent, a.ApprovalEvent) for event in get_args(union)}
    silent = {tag for tag in tags if tag.split(".")[0] in ("tool_call", "approval") and not status_after(tag)}
    assert silent == set()
    assert [status_after(f"run.{outcome}.v1") for outcome in ("completed", "capped")] == ["completed", "capped"]
