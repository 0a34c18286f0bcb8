"""Exports as CSV: stable columns, safe against formula injection, read by spreadsheets and by pandas.

RFC 4180 in UTF-8 with a byte order mark. Columns are only ever added, before `data`. A cell that a spreadsheet could
take for a formula, or that begins with an apostrophe, has an apostrophe put before it: taking one leading apostrophe
away gives back what was there. `data` is the whole event as JSON and always begins with a brace.
"""

from collections.abc import Sequence

import msgspec
from fairlead_ledger.csv_cells import COLUMNS, FORMULA_STARTS, STATUS_AFTER
from msgspec import UNSET, Struct

from fairlead.api.timeline_events import TimelineEvent

BOM = b"\xef\xbb\xbf"  # without it Excel takes the file for one in its local encoding; LibreOffice and pandas skip it


class _Cells(Struct, frozen=True):
    """What columns of their own are taken from; the names are those of the events' fields."""

    step: str = ""
    tool: str = ""
    call_id: str = ""
    approval_id: str = ""
    question_id: str = ""
    attempt: int | None = None
    verdict: str = ""
    rule_id: str = ""
    policy_version: str = ""
    error_class: str = ""
    code: str = ""
    reason: str | None = None
    message: str | None = None
    comment: str | None = None
    latency_us: int | None = None


_encode = msgspec.json.Encoder().encode
_QUOTE, _TWO_QUOTES = '"', '""'
_cells = msgspec.json.Decoder(_Cells).decode


class CsvWriter:
    """A part that goes on after a position has neither header nor mark: parts can be put together as they are."""

    def __init__(self, *, goes_on: bool) -> None:
        self._goes_on = goes_on

    shows_proof = False  # it is a file beside: a cell of a spreadsheet holds 32,767 characters

    def begin(self) -> bytes:
        return b"" if self._goes_on else BOM + ",".join(COLUMNS).encode() + b"\r\n"

    def batch(self, events: Sequence[TimelineEvent], proof: bytes | None = None) -> bytes:  # noqa: ARG002  # see above
        lines, commit_id, shared = [], "", ""
        for event in events:
            if event.commit_id != commit_id:
                commit_id, shared = event.commit_id, shared_cells(event)
            lines.append(line_of(event, shared))
        return "".join(lines).encode()

    def end(self) -> bytes:
        return b""


def shared_cells(event: TimelineEvent) -> str:
    """What events of one commit have in common, from `at` to `correlation_id`."""
    return (
        f"{_encode(event.at)[1:-1].decode()},{event.actor.kind},{cell(event.actor.id)},{cell(event.commit_id)},"
        f"{cell(event.causation_id)},{cell(event.correlation_id)}"
    )


def line_of(event: TimelineEvent, shared: str) -> str:
    """In the order of COLUMNS. The csv module looks at every character of `data` in turn, which is twice as slow; tests
    read the lines with it."""
    data = bytes(event.data)
    cells = _cells(data)
    attempt = "" if cells.attempt is None else cells.attempt
    latency_us = "" if cells.latency_us is None else cells.latency_us
    return (
        f"{event.position},{event.run_id},{event.stream},{event.stream_id},{event.version},{event.type},{shared},"
        f"{STATUS_AFTER.get(event.type, '')},{cell(cells.step)},{cell(cells.tool)},{cell(cells.call_id)},"
        f"{cell(cells.approval_id)},{cell(cells.question_id)},{attempt},{cell(cells.verdict)},{cell(cells.rule_id)},"
        f"{cell(cells.policy_version)},{cell(cells.error_class)},{cell(cells.code)},"
        f"{cell(cells.reason or cells.message or cells.comment)},{latency_us},{_seals(event)},"
        f'"{data.decode().replace(_QUOTE, _TWO_QUOTES)}"\r\n'
    )


def _seals(event: TimelineEvent) -> str:
    """It begins with a brace, and never with what a spreadsheet could take for a formula."""
    return "" if event.sealed is UNSET else cell(_encode(event.sealed).decode())


def cell(text: str | None) -> str:
    """Quoted; never a formula, and without NUL, which some readers stop at."""
    if not text:
        return ""
    if text[0] in FORMULA_STARTS or text[0] == "'":
        text = "'" + text
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return '"' + text.replace('"', '""') + '"'


def status_after(event_type: str) -> str:
    """Where the call, the approval or the run stands after the event; empty when the event does not move it."""
    return STATUS_AFTER.get(event_type, "")
