"""Thousands of requests that were made from the published description, right and wrong ones, against a real server."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.support.api import Customer, Served, listening

MAX_S = 220
# What no schema can say, like "a cursor of this list", is refused with 422. A read that names a position waits for it,
# and made-up ones never come. A method that no operation has is refused in one place: one of them is tried.
CONFIG = """
[parameters]
"header.Fairlead-Position" = "0"
[generation]
max-examples = 2
[phases.coverage]
unexpected-methods = ["put"]
[checks]
positive_data_acceptance.expected-statuses = ["2xx", %s403, 404, 409, 412, 422]
[[operations]] # what is wrong with a document is their answer
include-path-regex = "^/v1/(policies/test|workflows/validate)$"
checks.negative_data_rejection.enabled = false
"""
NO_END = "/events$"  # streams: nothing to wait for
AGAINST_ONESELF = r"/keys/[^/]+/(revoke|rotate)$|/principals/[^/]+/(disable|grants/withdraw)$"
EVERYWHERE = frozenset({"#/components/parameters/Position", "#/components/parameters/IdempotencyKey"})
SHARED = EVERYWHERE | {"limit", "cursor", "workspace_id", "unmasked"}
AT = frozenset({"/v1/workspaces", "/v1/runs", "/v1/dead-letters"})


async def test_every_operation_answers_as_described(
    served: Served, alice: Customer, bob: Customer, tmp_path: Path
) -> None:
    """What may take away the key that is used is tried with a key of its own."""
    description = tmp_path / "description.json"
    described = (await alice.owner.get("/openapi.json")).json()
    description.write_text(json.dumps(without_what_is_shared(described)))
    async with listening(served.api) as url:
        await tried(url, alice, description, "", "--exclude-path-regex", f"{NO_END}|{AGAINST_ONESELF}")
        await tried(url, bob, description, "401, ", "--include-path-regex", AGAINST_ONESELF)


async def tried(url: str, customer: Customer, description: Path, allowed: str, *which: str) -> None:
    config = description.with_name("schemathesis.toml")
    config.write_text(CONFIG % allowed)
    tester = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        *("--config-file", str(config), "run", str(description), "--url", url, *which),
        *("--header", f"Authorization: Bearer {customer.key}"),
        *("--phases", "examples,coverage,fuzzing", "--seed", "1", "--warnings", "off", "--no-color"),
        cwd=description.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(MAX_S):
        output, _ = await tester.communicate()
    assert tester.returncode == 0, output.decode()


def without_what_is_shared(description: dict[str, Any]) -> dict[str, Any]:
    """Wrong values of a parameter that one piece of code reads everywhere are tried at a few operations."""
    for path, operations in description["paths"].items():
        for operation in operations.values():
            if path not in AT:
                named = operation.get("parameters", [])
                operation["parameters"] = [each for each in named if not is_shared(each)]
    return description


def is_shared(parameter: dict[str, Any]) -> bool:
    return parameter.get("in") != "path" and bool(SHARED & {parameter.get("$ref"), parameter.get("name")})
