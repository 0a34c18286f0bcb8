"""Events whose content was removed are shown by their hash, and only those of which whoever signed says so."""

import json
from pathlib import Path
from typing import Any

from fairlead_ledger.checking import Report
from fairlead_ledger.keys import Trust
from fairlead_ledger.merkle import nodes_beside
from fairlead_ledger.proofs import Page, sealed
from fairlead_ledger.reading import check_file
from fairlead_ledger.rows import EXPIRED, Known

from tests.support.ledgers import AT, SCOPE, HandLedger, ndjson, signer, ten_commits

GONE_AT = "2027-01-01T00:00:00Z"
TRUST = Trust([signer().public_key])


def an_export(expired: dict[int, str], shown_as_expired: set[int]) -> list[dict[str, Any]]:
    """Of ten commits in one page; some signed as expired, some shown so."""
    ledger: HandLedger = ten_commits()
    head, indexes = ledger.head(), range(10)
    last = Known(ledger.leaves[9].text).positions[-1]
    page = Page(scope=SCOPE, exported_at=AT, after=None, last=last, end=True, expired=expired)
    leaves = [(index, ledger.leaves[index].text) for index in indexes]
    beside = [ledger.nodes[node] for node in nodes_beside(list(indexes), head.size)]
    rows = [
        row | _by_hash(row, Known(ledger.leaves[index].text)) if index in shown_as_expired else row
        for index in indexes
        for row in ledger.rows(index)
    ]
    rows[0]["proof"] = json.loads(sealed(ledger.signer, page, head, leaves, beside))
    return rows


def _by_hash(row: dict[str, Any], known: Known) -> dict[str, Any]:
    sha256 = known.events[int(row["position"].partition("-")[2])]
    return {"type": EXPIRED, "data": {"type": EXPIRED, "sha256": sha256, "expired_at": GONE_AT}}


def checked(rows: list[dict[str, Any]], folder: Path) -> Report:
    file = folder / "export.ndjson"
    file.write_bytes(ndjson(rows))
    return check_file(file, TRUST)


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


def test_what_is_signed_as_expired_verifies_by_its_hash(tmp_path: Path) -> None:
    report = checked(an_export({2: GONE_AT, 5: GONE_AT}, {2, 5}), tmp_path)
    assert (report.findings, report.expired, report.events) == ([], 2, 12)


def test_content_that_somebody_took_out_of_a_file_is_not_taken_for_expired(tmp_path: Path) -> None:
    assert kinds(checked(an_export({}, {2}), tmp_path)) == {"changed"}


def test_content_is_not_put_in_the_place_of_what_has_expired(tmp_path: Path) -> None:
    assert kinds(checked(an_export({2: GONE_AT}, set()), tmp_path)) == {"changed"}


def test_who_adds_to_what_has_expired_is_found_by_the_signature(tmp_path: Path) -> None:
    rows = an_export({2: GONE_AT}, {2, 5})
    rows[0]["proof"]["expired"].append([5, GONE_AT])
    assert kinds(checked(rows, tmp_path)) == {"changed"}


def test_another_time_or_another_hash_is_found(tmp_path: Path) -> None:
    for name, wrong in (("expired_at", AT), ("sha256", "00" * 32)):
        rows = an_export({5: GONE_AT}, {5})
        (row,) = [row for row in rows if row["type"] == EXPIRED]
        row["data"] = row["data"] | {name: wrong}
        assert kinds(checked(rows, tmp_path)) == {"changed"}
