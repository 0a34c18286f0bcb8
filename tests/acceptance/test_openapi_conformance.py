"""Thousands of requests that were made from the published description, right and wrong ones, against a real server."""

import asyncio
import sys
from pathlib import Path

from tests.support.api import Customer, Served, listening

MAX_S = 180
# What no schema can say, like "a cursor of this list", is refused with 422. A read that names a position waits for it,
# and made-up ones never come. Streams have no end to wait for.
# A method that no operation has is refused in one place: one of them is tried for each path.
CONFIG = """
[parameters]
"header.Fairlead-Position" = "0"
[generation]
max-examples = 4
[phases.coverage]
unexpected-methods = ["put"]
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 412, 422]
"""


async def test_every_operation_answers_as_described(served: Served, alice: Customer, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    async with listening(served.api) as url:
        tester = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"),
            *("--config-file", str(tmp_path / "schemathesis.toml"), "run", f"{url}/openapi.json"),
            *("--header", f"Authorization: Bearer {alice.key}", "--checks", "all"),
            *("--exclude-path-regex", "/events$", "--phases", "examples,coverage,fuzzing", "--seed", "1"),
            *("--warnings", "off", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(MAX_S):
            output, _ = await tester.communicate()
    assert tester.returncode == 0, output.decode()
