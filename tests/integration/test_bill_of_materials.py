"""What ships is written down by one command, all of it; and asked about by another, which never passes unasked."""

import asyncio
import json
import os
import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(.*(?:\n +.*)*)", re.MULTILINE)
HASH = re.compile(r"sha256:([0-9a-f]{64})")
NEEDED = re.compile(r"^([A-Za-z0-9._-]+)")


@pytest.fixture(scope="module")
async def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    file = tmp_path_factory.mktemp("bill") / "sbom.json"
    assert await made("sbom", f"SBOM={file}", "SBOM_CHECK=--no-validate") == 0
    written = json.loads(file.read_text())
    assert (written["bomFormat"], written["metadata"]["component"]["name"]) == ("CycloneDX", "fairlead")
    return {component["name"]: component for component in written["components"]}


async def made(*words: str, **variables: str) -> int:
    """The exit code of `make`. Some targets need the environment, which is there when tests run."""
    process = await asyncio.create_subprocess_exec(
        "make", "-s", "-o", ".venv/.ready", *words, cwd=ROOT, env={**os.environ, **variables}
    )
    return await process.wait()


async def test_the_bill_names_everything_that_ships_with_its_version_and_its_hashes(
    bill: dict[str, dict[str, Any]],
) -> None:
    pins = {found[1]: found for found in PIN.finditer((ROOT / "requirements" / "embedded.txt").read_text())}
    assert bill.keys() == pins.keys()
    for name, pin in pins.items():
        [distribution] = bill[name]["externalReferences"]
        assert bill[name]["purl"] == f"pkg:pypi/{name}@{pin[2]}"
        assert {each["content"] for each in distribution["hashes"]} == set(HASH.findall(pin[3]))


async def test_nothing_that_is_needed_here_is_missing_from_the_bill(bill: dict[str, dict[str, Any]]) -> None:
    assert needed_here({"fairlead"}) - bill.keys() == set()


async def test_an_audit_that_could_ask_nobody_does_not_pass() -> None:
    nowhere = "http://127.0.0.1:9"
    assert await made("audit", HTTPS_PROXY=nowhere, https_proxy=nowhere, NO_PROXY="", no_proxy="") != 0


def needed_here(names: set[str]) -> set[str]:
    """What those need of what is installed, and what that needs, without extras."""
    found: set[str] = set()
    waiting = list(names)
    for name in waiting:  # grows while it is walked
        for requirement in _of(name):
            wanted = re.sub(r"[-_.]+", "-", NEEDED.match(requirement)[1]).lower()  # type: ignore[index]  # PEP 508
            if "extra ==" not in requirement and wanted not in found and _is_here(wanted):
                found.add(wanted)
                waiting.append(wanted)
    return found


def _of(name: str) -> list[str]:
    return requires(name) or []


def _is_here(name: str) -> bool:
    try:
        requires(name)
    except PackageNotFoundError:  # for another platform or another Python
        return False
    return True
