"""An export proves itself, offline; a copy in which one byte was changed does not."""

from pathlib import Path

import msgspec
from fairlead_ledger.__main__ import AMISS, SOUND, exit_code, verified

from demo.client import Client
from demo.screen import Screen

DOCUMENT = "03-large-variance"
BEFORE, AFTER = b"364375", b"164375"  # 3,643.75 EUR become 1,643.75


async def prove(screen: Screen, owner: Client, exports: Path) -> list[str]:
    """What went wrong, in words. Leaves the keys and the changed copy beside the exports."""
    keys = exports / "keys.json"
    keys.write_bytes(msgspec.json.encode(await owner.get("/v1/ledger/keys")))
    export = exports / f"{DOCUMENT}.json"
    changed = exports / f"{DOCUMENT}-changed.json"
    changed.write_bytes(export.read_bytes().replace(BEFORE, AFTER, 1))
    return _checked(screen, export, keys, SOUND) + _checked(screen, changed, keys, AMISS)


def _checked(screen: Screen, file: Path, keys: Path, wanted: int) -> list[str]:
    report = verified(file, keys, (), None)
    found = "; ".join(f"{each.kind} at {each.where}" for each in report.findings)
    said = f"{report.events} events, each proven" if report.is_sound else found
    screen.say(f"  fairlead ledger verify {file.name}: {said}", "green" if report.is_sound else "red")
    return [] if exit_code(report) == wanted else [f"{file}: the proof says {said}"]
