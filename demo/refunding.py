"""An agent at a support desk: a recorded model decides what to ask for, and policy what is done."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from demo.client import Client
from demo.screen import Screen

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "refund-agent"
SCHEMA = Path(__file__).parents[1] / "connectors" / "fairlead_support" / "schema.sql"
NAME = "refund-agent"
WITHIN_S = 30.0
LOOK_EVERY_S = 0.2
ANNA = {"email": "anna@example.org", "message": "One of the two cups of order 1044 came broken."}


def desk(folder: Path) -> dict[str, str]:
    """Furnishes the desk, and says what its connector and the recordings need of the environment."""
    folder.mkdir(mode=0o700, parents=True)
    file = folder / "desk.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(SCHEMA.read_text())
        connection.executescript((EXAMPLE / "desk.sql").read_text())
    return {
        "FAIRLEAD_CONNECTOR_SUPPORT_DESK_FILE": str(file.resolve()),
        "FAIRLEAD_MODEL_RECORDINGS": str(EXAMPLE / "recordings"),
    }


async def refund(screen: Screen, owner: Client) -> list[str]:
    """What went otherwise than it should."""
    yaml = "application/yaml"
    await owner.put(f"/v1/prompts/{NAME}", (EXAMPLE / "prompt.yaml").read_text(), yaml, reason="first version")
    published = await owner.put(
        f"/v1/workflows/{NAME}", (EXAMPLE / "workflow.yaml").read_text(), yaml, reason="first version"
    )
    begun = await owner.post("/v1/runs", {"workflow_id": published["workflow_id"], "input": ANNA})
    run = await _ended(owner, begun["run_id"])
    output: dict[str, Any] = run.get("output") or {}
    if (run["status"], output.get("refunded_minor")) != ("completed", 3_890):
        return [f"the refund agent: {run['status']} {output.get('refunded_minor')}, not completed 3890"]
    screen.say(f"An agent refunded 38.90 EUR by itself, as its policy allows: {output['answer']}\n")
    return []


async def _ended(owner: Client, run_id: str) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN_S):
        while True:
            run: dict[str, Any] = await owner.get(f"/v1/runs/{run_id}")
            if run["ended_at"] is not None:
                return run
            await asyncio.sleep(LOOK_EVERY_S)
