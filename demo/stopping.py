"""An operator stops everything for a moment: what would begin is refused, what is under way waits and goes on."""

import json
import time

from demo.client import Client, Refused
from demo.screen import Screen

SWITCH = "/v1/switches/tenant"
REASON = "somebody saw something odd"


async def stop_for_a_moment(screen: Screen, operator: Client, workflow_id: str, document: str) -> None:
    """Raises AssertionError when a run could begin all the same."""
    began = time.perf_counter()
    body = json.dumps({"modes": ["stop_starts", "pause_runs"], "reason": REASON})
    await operator.put(SWITCH, body, "application/json")
    try:
        await operator.post("/v1/runs", {"workflow_id": workflow_id, "input": {"document": document}})
    except Refused as refused:
        if refused.code != "starts_stopped":
            raise
    else:
        raise AssertionError("a run began although everything was stopped")
    took_ms = (time.perf_counter() - began) * 1_000
    screen.say(
        f"  olga stops the tenant: within {took_ms:.0f} ms new runs are refused (starts_stopped), others pause",
        "yellow",
    )
    await operator.delete(SWITCH, reason="a false alarm")
    screen.say("  olga releases it: they go on by themselves", "yellow")
