"""Files that somebody made to deceive the check, to stop it, or to use up the machine it runs on."""

import csv
import gzip
import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fairlead_ledger.__main__ import main
from fairlead_ledger.checking import MOST_FINDINGS, MOST_SHOWN
from fairlead_ledger.csv_cells import COLUMNS, cells_of
from fairlead_ledger.keys import Trust
from fairlead_ledger.reading import SIDECAR, check_file
from fairlead_ledger.rows import Known
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ledgers import HandLedger, document, ndjson, signer, ten_commits

TRUST = Trust([signer().public_key])
KEY = signer().public_key.hex()
LEDGER = ten_commits()
ROWS = LEDGER.export([0, 1, 2, 3], [5, 6, 7], [8, 9])
DEEP = 5_000
MEMORY_BYTES = 1024**3
Change = Callable[[bytes], bytes]


def table(ledger: HandLedger, indexes: list[int]) -> bytes:
    """As CSV, with every cell in quotes that needs them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for index in indexes:
        known = Known(ledger.leaves[index].text)
        for number, event in enumerate(ledger.commits[index]["events"]):
            cells = cells_of(known.envelope(number), event) | {
                "sealed": "",
                "data": json.dumps(event, ensure_ascii=False),
            }
            writer.writerow([cells[name] for name in COLUMNS])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


TABLE = table(LEDGER, [0, 1, 2, 3])
PROOF = json.dumps(LEDGER.block([0, 1, 2, 3], None, end=True)).encode() + b"\n"
FILES = {"json": document(ROWS), "ndjson": ndjson(ROWS), "csv": TABLE}


def content(form: str, text: bytes) -> Any:
    """What a reader makes of it."""
    if form == "csv":
        header, *rows = csv.reader(io.StringIO(text.decode("utf-8-sig"), newline=""))
        return [header, *([*cells, json.loads(data)] for *cells, data in rows)]
    return json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]


def written(folder: Path, form: str, text: bytes) -> Path:
    file = folder / f"e.{form}"
    file.write_bytes(text)
    if form == "csv":
        file.with_name(file.name + SIDECAR).write_bytes(PROOF)
    return file


@st.composite
def changes(draw: st.DrawFn, size: int) -> Change:
    at, byte = draw(st.integers(0, size - 1)), draw(st.integers(0, 255))
    made: Change = draw(
        st.sampled_from(
            [
                lambda text: text[:at] + bytes([byte]) + text[at + 1 :],
                lambda text: text[:at] + text[at + 1 :],
                lambda text: text[:at] + bytes([byte]) + text[at:],
                lambda text: text[:at],
            ]
        )
    )
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.mark.parametrize("form", FILES)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_byte_that_is_changed_taken_out_or_put_in_is_found_or_says_the_same(
    form: str, folder: Path, data: st.DataObject
) -> None:
    text = data.draw(changes(len(FILES[form])))(FILES[form])
    report = check_file(written(folder, form, text), TRUST)
    if report.is_sound:
        assert content(form, text) == content(form, FILES[form])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_byte_of_the_proof_beside_a_table_that_is_changed_is_found_or_says_the_same(
    folder: Path, data: st.DataObject
) -> None:
    file = written(folder, "csv", TABLE)
    proof = data.draw(changes(len(PROOF)))(PROOF)
    file.with_name(file.name + SIDECAR).write_bytes(proof)
    if check_file(file, TRUST).is_sound:
        assert json.loads(proof) == json.loads(PROOF)


@pytest.mark.parametrize("form", ["ndjson", "csv"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_rows_that_change_places_are_taken_out_or_come_twice_are_found(
    form: str, folder: Path, data: st.DataObject
) -> None:
    lines = FILES[form].splitlines(keepends=True)
    one, other = data.draw(st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2, unique=True))
    match data.draw(st.sampled_from(["swap", "take", "double"])):
        case "swap":
            lines[one], lines[other] = lines[other], lines[one]
        case "take":
            del lines[one or other]  # a table that goes on from another has no header
        case _:
            lines.insert(other, lines[one])
    assert not check_file(written(folder, form, b"".join(lines)), TRUST).is_sound


def with_leaf(**fields: Any) -> bytes:
    """The first leaf says something else of its commit."""
    rows = json.loads(json.dumps(ROWS))
    leaf = rows[0]["proof"]["leaves"][0]["leaf"]
    leaf |= {key: value for key, value in fields.items() if key in leaf}
    leaf["commit"] |= {key: value for key, value in fields.items() if key not in leaf}
    return ndjson(rows)


def with_proof(**fields: Any) -> bytes:
    rows = json.loads(json.dumps(ROWS))
    proof = rows[0]["proof"]
    for key, value in fields.items():
        (proof["head"] if key in proof["head"] and key != "format" else proof)[key] = value
    return ndjson(rows)


HOSTILE = {
    "a number of many digits": with_proof(size=10**400),
    "a number of more digits than are read": FILES["ndjson"].replace(b'"n": 3', b'"n": ' + b"9" * 10_000),
    "a number beyond all": FILES["ndjson"].replace(b"0.5", b"1e999"),
    "a size below nothing": with_proof(size=-1),
    "a version that is none": with_leaf(first_version="one"),
    "a version that is a list": with_leaf(first_version=[1]),
    "a place that is an object": with_leaf(sequence={"a": 1}),
    "hashes that are none": with_leaf(events=[[1], None]),
    "an actor that is a text": with_leaf(actor="root"),
    "a digit of another script": FILES["ndjson"].replace(b'"10-0"', '"\N{SUPERSCRIPT TWO}-0"'.encode()),
    "a position of many digits": FILES["ndjson"].replace(b'"10-0"', b'"' + b"9" * 5_000 + b'-0"'),
    "a hash in capitals": with_proof(root=ROWS[0]["proof"]["head"]["root"].upper()),
    "a signature with blanks": with_proof(signature=" " + ROWS[0]["proof"]["head"]["signature"]),
    "nodes that are none": with_proof(nodes="????"),
    "arrays in arrays": b"[" * DEEP + b"]" * DEEP + b"\n",
    "objects in objects": b'{"position":' * DEEP + b"1" + b"}" * DEEP + b"\n",
    "an event that is deep": FILES["ndjson"].replace(b'"n": 3', b'"n": ' + b"[" * DEEP + b"]" * DEEP),
    "an actor that is deep": FILES["ndjson"].replace(b'"kind": "system"', b'"kind": ' + b"[" * 900 + b"]" * 900),
    "half of a character": FILES["ndjson"].replace(b'"10-0"', b'"\\ud800-0"'),
    "no characters at all": b"\xff\xfe\x00" * 100,
    "a cut archive": gzip.compress(FILES["ndjson"])[:-20],
    "nothing": b"",
}


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_was_made_to_stop_the_check_is_named_and_ends_it_with_1(
    name: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = HOSTILE[name]
    if form == "json":
        text = b'{"format":"fairlead.timeline.v1","events":[' + b",".join(text.splitlines()) + b"]}"
    file = written(tmp_path, form, text)
    if form == "csv":
        file.write_bytes(TABLE)
        file.with_name(file.name + SIDECAR).write_bytes(text)
    assert main(["verify", str(file), "--key", KEY]) == 1
    assert " · " in capsys.readouterr().out
    assert main(["verify", str(file)]) in (1, 2)


QUOTES = {
    "a quote that never ends": TABLE.replace(b"run_1", b'"run_1', 1),
    "a quote in the middle": TABLE.replace(b"run_1", b'ru"n_1', 1),
    "text after a quote": TABLE.replace(b",run_1", b',"run"_1', 1),
    "a second header": TABLE.replace(b"\r\n", b"\r\n" + ",".join(COLUMNS).encode() + b"\r\n", 1),
    "a cell too many": TABLE.replace(b",run_1", b",,run_1", 1),
    "a cell too few": TABLE.replace(b",run_1", b"", 1),
    "a row in a cell": TABLE.replace(b",run_1", b',"run_1\r\n20-0,run_1"', 1),
    "a column by two names": TABLE.replace(b"run_id", b"position", 1),
    "a formula": TABLE.replace(b",run_1", b",=1+1", 1),
}


@pytest.mark.parametrize("name", QUOTES)
def test_quotes_hide_nothing_in_a_table(name: str, tmp_path: Path) -> None:
    assert check_file(written(tmp_path, "csv", TABLE), TRUST).is_sound
    assert not check_file(written(tmp_path, "csv", QUOTES[name]), TRUST).is_sound


def test_what_a_file_says_of_itself_neither_fills_a_report_nor_moves_a_terminal(tmp_path: Path) -> None:
    rows = [row | {"position": "\x1b[2J" + "9" * 10_000} for row in ROWS * 20]
    report = check_file(written(tmp_path, "ndjson", ndjson(rows)), TRUST)
    assert len(report.findings) == MOST_FINDINGS
    texts = [text for finding in report.findings for text in (finding.where, finding.text)]
    assert max(map(len, texts)) < 2 * MOST_SHOWN
    assert all(text.isprintable() for text in texts)


@pytest.mark.parametrize("form", ["json", "csv", "csv" + SIDECAR])
def test_a_line_of_gigabytes_takes_a_gigabyte_at_most(form: str, tmp_path: Path) -> None:
    file = written(tmp_path, form.partition(".")[0], FILES[form.partition(".")[0]])
    with (file if "." not in form else file.with_name(file.name + SIDECAR)).open("r+b") as opened:
        opened.truncate(4 * MEMORY_BYTES)  # zeros, which lie nowhere

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))

    command = [sys.executable, "-m", "fairlead_ledger", "verify", str(file), "--key", KEY]
    ended = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False, timeout=60)
    assert (ended.returncode, "unreadable" in ended.stdout) == (1, True), ended.stderr
