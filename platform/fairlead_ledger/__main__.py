"""`python -m fairlead_ledger verify FILE`: whether an export is what was recorded. Needs no server and no network.

Ends with 0 when it is, with 1 when it is not, and with 2 when it is sound in itself but nobody said whose signature to
believe.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairlead_ledger.canonical import NotCanonical, parse
from fairlead_ledger.checking import Report, shown
from fairlead_ledger.heads import Head, HeadInvalid, head_from
from fairlead_ledger.keys import KeysInvalid, ListedKey, Trust, public_key_of, read_keys
from fairlead_ledger.reading import check_file

SOUND, AMISS, UNSIGNED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fairlead_ledger", description=__doc__)
    commands = parser.add_subparsers(required=True)
    verify = commands.add_parser("verify", help="check an export")
    verify.add_argument("file", type=Path)
    verify.add_argument("--keys", type=Path, help="list of keys, as `fairlead ledger keys` writes it")
    verify.add_argument("--key", action="append", default=[], help="a public key to believe, 64 hex digits")
    verify.add_argument("--receipt", type=Path, help="a signed head that was kept from earlier")
    verify.add_argument("--json", action="store_true", help="say what was found as JSON")
    asked = parser.parse_args(arguments)
    try:
        report = verified(asked.file, asked.keys, asked.key, asked.receipt)
    except (OSError, KeysInvalid, HeadInvalid, NotCanonical) as fault:
        sys.stderr.write(f"{fault}\n")
        return AMISS
    sys.stdout.write(json.dumps(as_document(report)) + "\n" if asked.json else told(report))
    return exit_code(report)


def verified(file: Path, keys: Path | None, anchors: Sequence[str], receipt: Path | None) -> Report:
    """A list of keys alone is believed as a whole; beside keys that were named it only vouches for others.

    Raises OSError, KeysInvalid, HeadInvalid, NotCanonical.
    """
    listed: list[ListedKey] = read_keys(keys.read_bytes()) if keys else []
    named = [public_key_of(text) for text in anchors]
    trust = Trust(named or [bytes.fromhex(key.public_key) for key in listed], listed) if named or listed else None
    return check_file(file, trust, _receipt(receipt) if receipt else None)


def exit_code(report: Report) -> int:
    if not report.is_sound:
        return AMISS
    return SOUND if report.trusted else UNSIGNED


def as_document(report: Report) -> dict[str, Any]:
    return {
        "sound": report.is_sound,
        "trusted": report.trusted,
        "events": report.events,
        "commits": report.commits,
        "expired": report.expired,
        "head": report.head.document() if report.head else None,
        "findings": [asdict(finding) for finding in report.findings],
    }


def told(report: Report) -> str:
    lines = [f"{finding.kind} · {finding.where}: {finding.text}" for finding in report.findings]
    if report.is_sound and report.head is not None:
        head = report.head
        lines.append(
            f"{report.events:,} events in {report.commits:,} commits are what the ledger of {shown(head.tenant_id)}"
            f" holds at size {head.size:,}, signed by {shown(head.key_id)} at {shown(head.at)}"
        )
    if report.is_sound and report.expired:
        lines.append(f"The content of {report.expired:,} of these commits was removed: their events are shown by hash")
    if report.is_sound and not report.trusted:
        lines.append("No signature was looked at: name the key that you trust with --key or --keys")
    return "\n".join(lines) + "\n"


def _receipt(file: Path) -> Head:
    return head_from(parse(file.read_bytes()).value)


if __name__ == "__main__":
    sys.exit(main())
