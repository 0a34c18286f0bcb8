"""Whatever is done to an export, the check says what and where; what nothing was done to is sound."""

import copy
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fairlead_ledger.__main__ import main
from fairlead_ledger.checking import Report
from fairlead_ledger.csv_cells import COLUMNS, cells_of
from fairlead_ledger.heads import head_text
from fairlead_ledger.keys import Trust, keys_document, listed
from fairlead_ledger.reading import SIDECAR, check_file
from fairlead_ledger.rows import Known

from tests.support.ledgers import AT, HandLedger, document, ndjson, signer, ten_commits

Rows = list[dict[str, Any]]
TRUST = Trust([signer().public_key])
PAGES = ([0, 1, 2, 3], [5, 6, 7], [8, 9])  # commit 4 is outside of what was asked for


@pytest.fixture
def rows() -> Rows:
    return ten_commits().export(*PAGES)


def checked(rows: Rows, folder: Path, trust: Trust | None = TRUST) -> Report:
    """As NDJSON and as JSON, which must come to the same."""
    lines, whole = folder / "e.ndjson", folder / "e.json"
    lines.write_bytes(ndjson(rows))
    whole.write_bytes(document(rows))
    of_lines, of_whole = check_file(lines, trust), check_file(whole, trust)
    assert [f for f in of_whole.findings if f.where != "the document"] == of_lines.findings
    return of_lines


def found(report: Report) -> list[tuple[str, str]]:
    return [(finding.kind, finding.where) for finding in report.findings]


def test_what_nobody_touched_is_sound(rows: Rows, tmp_path: Path) -> None:
    report = checked(rows, tmp_path)
    assert report.findings == []
    assert (report.events, report.commits, report.trusted) == (11, 9, True)
    assert report.head is not None
    assert report.head.size == 10


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "run.other.v1"), ("at", "2026-01-01T00:00:01Z"), ("actor", {"kind": "person", "id": "x"}),
        ("version", 99), ("run_id", "run_2"), ("stream", "approval"), ("stream_id", "run_2"), ("commit_id", "x"),
        ("causation_id", "x"), ("correlation_id", "x"), ("trace_parent", "x"), ("note", "added"), ("version", True),
    ],
)  # fmt: skip
def test_a_changed_field_is_named(rows: Rows, tmp_path: Path, field: str, value: Any) -> None:
    rows[4][field] = value
    (finding,) = checked(rows, tmp_path).findings
    assert (finding.kind, finding.where) == ("changed", "40-0")
    assert field in finding.text


def test_a_changed_event_is_named(rows: Rows, tmp_path: Path) -> None:
    rows[3]["data"]["text"] = "something else"
    assert found(checked(rows, tmp_path)) == [("changed", "30-1")]


@pytest.mark.parametrize("at", [1, 2, 6])
def test_a_removed_event_is_named(rows: Rows, tmp_path: Path, at: int) -> None:
    gone = rows.pop(at)
    assert found(checked(rows, tmp_path)) == [("removed", gone["position"])]


def test_an_event_that_took_its_proof_with_it_is_missed(rows: Rows, tmp_path: Path) -> None:
    first = next(index for index, row in enumerate(rows) if index and "proof" in row)
    del rows[first]
    assert found(checked(rows, tmp_path))[0] == ("removed", "40-0 to 70-0")
    assert found(checked(rows[1:], tmp_path))[0] == ("removed", "the beginning to 20-0")


def test_a_page_that_was_taken_out_whole_is_missed(rows: Rows, tmp_path: Path) -> None:
    kept = [row for row in rows if not row["position"].startswith(("60-", "70-", "80-"))]
    assert found(checked(kept, tmp_path)) == [("removed", "40-0 to 80-0")]


def test_a_commit_cannot_be_taken_out_with_its_leaf(rows: Rows, tmp_path: Path) -> None:
    """Its hash would do as a node beside the others, but what was signed says which commits the page has."""
    ledger = ten_commits()
    forged = ledger.block([0, 2, 3], None, end=False)
    del rows[1]
    rows[0]["proof"] |= {key: forged[key] for key in ("leaves", "nodes")}
    assert found(checked(rows, tmp_path)) == [("changed", "the beginning to 40-0")]


def test_an_inserted_event_is_named(rows: Rows, tmp_path: Path) -> None:
    rows.insert(2, {**rows[1], "position": "25-0"})
    assert found(checked(rows, tmp_path)) == [("inserted", "25-0")]


def test_an_event_that_comes_twice_is_named(rows: Rows, tmp_path: Path) -> None:
    rows.insert(3, dict(rows[2]))
    assert found(checked(rows, tmp_path)) == [("inserted", "30-0")]


def test_more_at_the_end_is_named(rows: Rows, tmp_path: Path) -> None:
    rows.append({**rows[-1], "position": "110-0"})
    assert found(checked(rows, tmp_path)) == [("inserted", "110-0")]


def test_events_in_another_order_are_named(rows: Rows, tmp_path: Path) -> None:
    rows[1], rows[2] = rows[2], rows[1]
    assert found(checked(rows, tmp_path)) == [("reordered", "30-0")]


@pytest.mark.parametrize("length", [10, 9, 6, 5, 1])
def test_a_cut_end_is_named(rows: Rows, tmp_path: Path, length: int) -> None:
    kinds = {finding.kind for finding in checked(rows[:length], tmp_path).findings}
    assert kinds == {"truncated"}


def test_nothing_at_all_is_truncated(tmp_path: Path) -> None:
    assert found(checked([], tmp_path)) == [("truncated", "everything")]


def test_another_signature_is_named(tmp_path: Path) -> None:
    forged = ten_commits(signer(2)).export(*PAGES)
    assert {finding.kind for finding in checked(forged, tmp_path).findings} == {"foreign_key"}


def test_a_rewritten_ledger_under_the_name_of_the_key_is_found(tmp_path: Path) -> None:
    rows = ten_commits(signer(2)).export(*PAGES)
    for row in rows:
        if "proof" in row:
            row["proof"]["key_id"] = row["proof"]["head"]["key_id"] = signer().key_id
    assert ("changed", "the head of size 10") in found(checked(rows, tmp_path))


def test_a_rewritten_leaf_is_found_in_the_tree(rows: Rows, tmp_path: Path) -> None:
    leaf = rows[0]["proof"]["leaves"][1]["leaf"]
    leaf["commit"]["at"] = rows[1]["at"] = "2026-01-01T00:00:09Z"
    assert ("changed", "the beginning to 40-0") in found(checked(rows, tmp_path))


def test_every_byte_counts(tmp_path: Path) -> None:
    """One digit or letter after another is changed: something is found each time."""
    text = ndjson(ten_commits().export([2], [6])).decode()
    file, missed = tmp_path / "e.ndjson", []
    for at in range(0, len(text), 29):
        letter = text[at]
        if not letter.isalnum():
            continue
        file.write_text(text[:at] + ("7" if letter != "7" else "8") + text[at + 1 :])
        if check_file(file, TRUST).is_sound:
            missed.append(text[at - 20 : at + 20])
    assert missed == []


def test_parts_put_together_are_whole_wherever_the_first_was_cut(tmp_path: Path) -> None:
    ledger = ten_commits()
    first = ledger.export([0, 1, 2, 3], [5, 6, 7])[:3]  # broken off within the third commit
    rest = ledger.rows(2)[1:] + [row for index in (3, 5, 6) for row in ledger.rows(index)]
    rest[0]["proof"] = ledger.block([2, 3, 5, 6], "30-0", end=True)
    assert checked([*first, *rest], tmp_path).findings == []
    assert checked(rest, tmp_path).findings == []
    assert found(checked([*first[:2], *rest], tmp_path)) == [("removed", "30-0")]


def test_without_a_key_it_is_sound_but_nobody_vouches_for_it(rows: Rows, tmp_path: Path) -> None:
    report = checked(rows, tmp_path, trust=None)
    assert (report.findings, report.trusted) == ([], False)


def as_csv(rows: Rows, edit: Callable[[list[dict[str, str]]], None] = lambda _: None) -> tuple[bytes, bytes]:
    """The file and its proof, which lies beside it."""
    lines, proofs = [], []
    known: dict[str, tuple[Known, int]] = {}
    for row in copy.deepcopy(rows):
        if "proof" in row:
            proofs.append(row.pop("proof"))
            for leaf in proofs[-1]["leaves"]:
                each = Known(json.dumps(leaf["leaf"]).encode())
                known |= {position: (each, index) for index, position in enumerate(each.positions)}
        each, index = known[row["position"]]
        data = {"sealed": "", "data": json.dumps(row["data"])}
        lines.append(cells_of(each.envelope(index), row["data"]) | data)
    edit(lines)
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    writer.writerows(lines)
    return b"\xef\xbb\xbf" + out.getvalue().encode(), ndjson(proofs)


def checked_csv(folder: Path, files: tuple[bytes, bytes]) -> list[tuple[str, str]]:
    (folder / "e.csv").write_bytes(files[0])
    (folder / f"e.csv{SIDECAR}").write_bytes(files[1])
    return found(check_file(folder / "e.csv", TRUST))


def test_a_table_is_checked_cell_by_cell_against_the_proof_beside_it(rows: Rows, tmp_path: Path) -> None:
    assert checked_csv(tmp_path, as_csv(rows)) == []
    for column in COLUMNS[1:]:

        def edit(lines: list[dict[str, str]], column: str = column) -> None:
            lines[5][column] += "7" if column != "data" else " 7"

        assert checked_csv(tmp_path, as_csv(rows, edit)) == [("changed", "60-0")], column


def test_a_table_with_rows_gone_added_or_moved_is_named(rows: Rows, tmp_path: Path) -> None:
    def remove(lines: list[dict[str, str]]) -> None:
        del lines[5]

    def insert(lines: list[dict[str, str]]) -> None:
        lines.insert(2, lines[1] | {"position": "25-0"})

    def move(lines: list[dict[str, str]]) -> None:
        lines[0], lines[1] = lines[1], lines[0]

    def cut(lines: list[dict[str, str]]) -> None:
        del lines[-1]

    edits = {remove: ("removed", "60-0"), insert: ("inserted", "25-0"), move: ("reordered", "20-0"),
             cut: ("truncated", "100-0 to 100-0")}  # fmt: skip
    assert {edit: checked_csv(tmp_path, as_csv(rows, edit)) for edit in edits} == {
        edit: [wrong] for edit, wrong in edits.items()
    }
    file, proof = as_csv(rows)
    assert {kind for kind, _ in checked_csv(tmp_path, (file, b"\n".join(proof.split(b"\n")[:2]) + b"\n"))} >= {
        "truncated"
    }
    (tmp_path / f"e.csv{SIDECAR}").unlink()
    assert ("truncated", "everything") in found(check_file(tmp_path / "e.csv", TRUST))


class TestReceipts:
    """A head that a customer kept shows whether the ledger has gone on from there."""

    def test_a_ledger_that_went_on_is_sound(self, tmp_path: Path) -> None:
        ledger = ten_commits()
        assert self.against(ledger.head(6), ledger.export([3], since=6), tmp_path) == []
        assert self.against(ledger.head(10), ledger.export([3]), tmp_path) == []

    def test_a_shorter_ledger_is_truncated(self, tmp_path: Path) -> None:
        longer = ten_commits()
        shorter = HandLedger()
        for commit in longer.commits[:8]:
            shorter.add(*commit["events"])
        assert ("truncated", "the receipt of size 10") in self.against(longer.head(), shorter.export([3]), tmp_path)

    def test_another_past_is_a_fork(self, tmp_path: Path) -> None:
        ledger, other = ten_commits(), HandLedger()
        for number in range(10):
            other.add({"type": "run.note.v1", "text": f"other {number}"})
        assert self.against(other.head(6), ledger.export([3], since=6), tmp_path) == [
            ("forked", "the receipt of size 6")
        ]
        assert self.against(other.head(10), ledger.export([3]), tmp_path) == [("forked", "the receipt of size 10")]

    def test_an_export_that_was_made_without_it_says_so(self, tmp_path: Path) -> None:
        ledger = ten_commits()
        assert self.against(ledger.head(6), ledger.export([3]), tmp_path) == [("unlinked", "the receipt of size 6")]

    def against(self, receipt: Any, rows: Rows, folder: Path) -> list[tuple[str, str]]:
        (folder / "e.ndjson").write_bytes(ndjson(rows))
        return found(check_file(folder / "e.ndjson", TRUST, receipt))


def test_keys_vouch_for_those_that_follow_and_for_no_others(tmp_path: Path) -> None:
    first, second, third, stranger = signer(1), signer(2), signer(3), signer(9)
    chain = [listed(first, AT, None), listed(second, AT, first), listed(third, AT, second)]
    forged = listed(stranger, AT, None).__class__(stranger.key_id, stranger.public_key.hex(), AT, first.key_id, "00")
    trust = Trust([first.public_key], [*chain, forged])
    assert set(trust.key_ids) == {first.key_id, second.key_id, third.key_id}
    assert set(Trust([second.public_key], chain).key_ids) == {second.key_id, third.key_id}
    rows = ten_commits(third).export(*PAGES)
    assert checked(rows, tmp_path, trust).findings == []


def test_the_command_says_what_it_found_and_ends_accordingly(
    rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, keys, receipt = tmp_path / "e.ndjson", tmp_path / "keys.json", tmp_path / "receipt.json"
    file.write_bytes(ndjson(rows))
    keys.write_text(json.dumps(keys_document([listed(signer(), AT, None)])))
    receipt.write_bytes(head_text(ten_commits().head()))
    assert main(["verify", str(file)]) == 2
    assert main(["verify", str(file), "--key", signer().public_key.hex(), "--receipt", str(receipt)]) == 0
    assert main(["verify", str(file), "--keys", str(keys)]) == 0
    assert main(["verify", str(file), "--key", signer(2).public_key.hex()]) == 1
    capsys.readouterr()
    rows[1]["data"]["call_id"] = "tcl_x"
    file.write_bytes(ndjson(rows))
    assert main(["verify", str(file), "--keys", str(keys), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"] == [
        {"kind": "changed", "where": "20-0", "text": "not as it was recorded: data"}
    ]
