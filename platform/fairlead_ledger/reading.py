"""The three forms of an export, read piece by piece and handed to the checker."""

import codecs
import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, AnyStr, Literal, Self

from fairlead_ledger.canonical import NotCanonical, Parsed, parse
from fairlead_ledger.checking import Checker, Report
from fairlead_ledger.csv_cells import BEFORE_SEALS, COLUMNS, cells_of
from fairlead_ledger.heads import Head
from fairlead_ledger.keys import Trust
from fairlead_ledger.proofs import Block, BlockInvalid, block_from
from fairlead_ledger.rows import Known, differences, event_differs

Form = Literal["json", "ndjson", "csv"]
SIDECAR = ".proof.ndjson"  # beside a CSV file, under its name
CHUNK = 1024 * 1024
MOST_OF_AN_EVENT = 32 * CHUNK  # of a line, a row, and what is around the events of a document
_FORMS: Mapping[str, Form] = {".json": "json", ".ndjson": "ndjson", ".csv": "csv"}
_EVENTS = re.compile(r'"events"\s*:\s*\[')
_DOCUMENT = {"format", "exported_at", "scope", "events", "last"}

csv.field_size_limit(MOST_OF_AN_EVENT)


def check_file(file: Path, trust: Trust | None, receipt: Head | None = None, form: Form | None = None) -> Report:
    """Raises OSError. Without `form` it goes by the name, or by how the file begins."""
    checker = Checker(trust, receipt)
    try:
        _check(file, form or form_of(file), checker)
    except RecursionError:
        checker.unreadable("the file", "it is nested too deeply")
    return checker.end()


def _check(file: Path, form: Form, checker: Checker) -> None:
    match form:
        case "ndjson":
            with file.open("rb") as opened:
                _check_lines(opened, checker)
        case "json":
            with file.open(encoding="utf-8", errors="strict", newline="") as opened_text:
                _check_document(opened_text, checker)
        case "csv":
            _check_csv(file, checker)


def form_of(file: Path) -> Form:
    by_name = _FORMS.get(file.suffix)
    if by_name is not None:
        return by_name
    with file.open("rb") as opened:
        start = opened.read(40)
    if start.startswith(b'{"position"'):
        return "ndjson"
    return "json" if start.startswith(b"{") else "csv"


class _Unbounded(ValueError):
    """Something is longer than anything that we write."""

    def __init__(self) -> None:
        super().__init__("it is longer than anything in an export, and what follows was not read")


def _lines(opened: IO[AnyStr]) -> Iterator[AnyStr]:
    """Raises _Unbounded."""
    while line := opened.readline(MOST_OF_AN_EVENT):
        if len(line) == MOST_OF_AN_EVENT:
            raise _Unbounded
        yield line


def _check_lines(opened: IO[bytes], checker: Checker) -> None:
    try:
        for number, line in enumerate(_lines(opened), start=1):
            _check_line(number, line, checker)
    except _Unbounded as misfit:
        checker.unreadable("a line", str(misfit))


def _check_line(number: int, line: bytes, checker: Checker) -> None:
    if not line.endswith(b"\n"):
        checker.unreadable(f"line {number}", "it is cut off")
    try:
        _check_event(parse(line), checker)
    except NotCanonical as misfit:
        checker.unreadable(f"line {number}", str(misfit))


def _check_event(parsed: Parsed, checker: Checker) -> None:
    """A JSON row, and the block that may come with it."""
    row = parsed.value
    if not isinstance(row, dict) or not isinstance(row.get("position"), str):
        raise NotCanonical("it is no event")
    if "proof" in row:
        _check_block(row.pop("proof"), row["position"], parsed, checker)
    checker.row(row["position"], partial(differences, row=row, plain=parsed.plain))


def _check_block(document: Any, where: str, parsed: Parsed, checker: Checker) -> None:
    try:
        checker.block(block_from(document, plain=parsed.plain))
    except BlockInvalid as misfit:
        checker.unreadable(f"the proof at {where}", str(misfit))


def _check_document(opened: IO[str], checker: Checker) -> None:
    """One JSON document, of which one event at a time is in memory."""
    try:
        pieces = _Pieces(opened)
        before = pieces.up_to(_EVENTS)
        last = None
        scope = exported_at = None
        for parsed in pieces.events():
            if isinstance(parsed.value, dict):
                last = parsed.value.get("position")
                proof = parsed.value.get("proof")
                if isinstance(proof, dict):
                    scope, exported_at = proof.get("scope"), proof.get("exported_at")
            _check_event(parsed, checker)
        document = parse(before + "[]" + pieces.rest()).value
    except (NotCanonical, UnicodeDecodeError, _Unbounded) as misfit:
        checker.unreadable("the document", str(misfit))
        return
    _check_around(document, scope, exported_at, last, checker)


def _check_around(document: Any, scope: Any, exported_at: Any, last: Any, checker: Checker) -> None:
    if not isinstance(document, dict) or document.keys() != _DOCUMENT:
        checker.report.found("changed", "the document", "its members are not those of an export")
        return
    asked = document["scope"]
    if isinstance(asked, dict):
        asked = {key: value for key, value in asked.items() if key != "after"}
    said = {"scope": asked, "exported_at": document["exported_at"], "last": document["last"]}
    proven = {"scope": scope, "exported_at": exported_at, "last": last}
    wrong = [name for name in said if said[name] != proven[name]]
    if wrong or document["format"] != "fairlead.timeline.v1":
        checker.report.found("changed", "the document", f"not as it was signed: {', '.join(wrong or ['format'])}")


class _Pieces:
    """A text in which one looks ahead no further than needed."""

    def __init__(self, opened: IO[str]) -> None:
        self._opened = opened
        self._buffer = ""
        self._find_end = json.JSONDecoder().raw_decode

    def up_to(self, pattern: re.Pattern[str]) -> str:
        """What is before a match that ends with a bracket, which is taken off."""
        self._more()
        found = pattern.search(self._buffer)
        if found is None:
            raise NotCanonical("it is no export")
        before, self._buffer = self._buffer[: found.end() - 1], self._buffer[found.end() :]
        return before

    def events(self) -> Iterator[Parsed]:
        while True:
            self._buffer = self._buffer.lstrip(" \t\r\n,")
            if not self._buffer:
                if not self._more():
                    raise NotCanonical("it is cut off")
            elif self._buffer[0] == "]":
                self._buffer = self._buffer[1:]
                return
            else:
                yield parse(self._next())

    def rest(self) -> str:
        while self._more():
            if len(self._buffer) > MOST_OF_AN_EVENT:
                raise _Unbounded
        return self._buffer

    def _next(self) -> str:
        while True:
            try:
                _, end = self._find_end(self._buffer)
            except (ValueError, RecursionError) as misfit:
                if len(self._buffer) > MOST_OF_AN_EVENT or not self._more():
                    raise NotCanonical(f"an event cannot be read: {misfit}") from misfit
            else:
                text, self._buffer = self._buffer[:end], self._buffer[end:]
                return text

    def _more(self) -> bool:
        chunk = self._opened.read(CHUNK)
        self._buffer += chunk
        return bool(chunk)


def _check_csv(file: Path, checker: Checker) -> None:
    sidecar = file.with_name(file.name + SIDECAR)
    if not sidecar.exists():
        checker.unreadable(str(sidecar.name), "the proof of a CSV file is a file beside it, and there is none")
        return
    with sidecar.open("rb") as proofs, file.open(encoding="utf-8", newline="") as opened:
        ahead = _Ahead(_blocks(proofs, checker))
        try:
            for number, row in enumerate(_csv_rows(opened, checker), start=1):
                position = row.get("position") or ""  # None where cells are missing
                while not checker.expects(position) and (checker.is_complete or position in ahead.positions):
                    if (block := ahead.take()) is None:
                        break
                    checker.block(block)
                checker.row(position, partial(_csv_differences, row=row))
                if None in row or None in row.values():
                    checker.report.found("changed", f"row {number}", "it has another number of cells")
        except (csv.Error, UnicodeDecodeError, _Unbounded) as misfit:
            checker.unreadable("the file", str(misfit))
        while (block := ahead.take()) is not None:
            checker.block(block)


class _Ahead:
    """The next block, and which events it speaks of."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self._next: Block | None = None
        self.positions: frozenset[str] = frozenset()
        self.take()

    def take(self) -> Block | None:
        """None when there are no more."""
        taken, self._next = self._next, next(self._blocks, None)
        leaves = self._next.leaves if self._next else ()
        self.positions = frozenset(position for _, text in leaves for position in Known(text).positions)
        return taken


def _blocks(opened: IO[bytes], checker: Checker) -> Iterator[Block]:
    try:
        for number, line in enumerate(_lines(opened), start=1):
            try:
                parsed = parse(line)
                yield block_from(parsed.value, plain=parsed.plain)
            except (NotCanonical, BlockInvalid) as misfit:
                checker.unreadable(f"line {number} of the proof", str(misfit))
    except _Unbounded as misfit:
        checker.unreadable("a line of the proof", str(misfit))


class _RowLines:
    """Lines for the reader of CSV, of which one row takes only so many: a cell may have several."""

    def __init__(self, opened: IO[str]) -> None:
        self._lines = _lines(opened)
        self._size = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        """Raises _Unbounded."""
        line = next(self._lines)
        self._size += len(line)
        if self._size > MOST_OF_AN_EVENT:
            raise _Unbounded
        return line

    def row_ends(self) -> None:
        self._size = 0


def _csv_rows(opened: IO[str], checker: Checker) -> Iterator[dict[str, str]]:
    """A part that goes on has no header of its own."""
    goes_on = opened.read(1) != codecs.BOM_UTF8.decode()
    names: Sequence[str] = COLUMNS
    if goes_on:
        opened.seek(0)
        cells = len(next(csv.reader(_RowLines(opened), strict=True), ()))
        names = BEFORE_SEALS if cells == len(BEFORE_SEALS) else COLUMNS
        opened.seek(0)
    lines = _RowLines(opened)
    rows = csv.DictReader(lines, fieldnames=names if goes_on else None, strict=True)
    strange = [name for name in rows.fieldnames or () if name not in COLUMNS]
    if strange or not {"position", "data"} <= set(rows.fieldnames or ()):
        checker.report.found("changed", "the header", f"there are other columns: {', '.join(strange)}")
    for row in rows:
        lines.row_ends()
        yield row


def _sealed(row: Mapping[str, str]) -> Any:
    try:
        return parse(row["sealed"]).value if row.get("sealed") else None
    except NotCanonical:
        return False  # which no event fits


def _csv_differences(known: Known, index: int, row: Mapping[str, str]) -> Iterator[str]:
    try:
        data, plain = parse(row.get("data") or "")
    except NotCanonical:
        yield "data"
        return
    if not isinstance(data, dict) or event_differs(known, index, data, plain=plain, sealed=_sealed(row)):
        yield "data"
    expected = cells_of(known.envelope(index), data if isinstance(data, dict) else {})
    for name, cell in row.items():
        if name in expected and cell != expected[name]:
            yield name
