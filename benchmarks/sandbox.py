"""What a call of a sandboxed tool costs on top of the same call in process: warm, and with a process to start first."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

from fairlead_sdk import Call

from fairlead.adapters.plugins import Connectors, load_connectors
from fairlead.adapters.sandbox.choosing import tested
from fairlead.adapters.sandbox.connector import SandboxedConnector
from fairlead.adapters.sandbox.containment import CONTAINMENTS, Containment
from fairlead.adapters.sandbox.limits import Limits
from fairlead.adapters.sandbox.packages import Unpacked
from fairlead.adapters.sandbox.pool import Pool

WARM_CALLS = 2_000
COLD_CALLS = 30
TOOL = "basics.echo"
CONNECTORS = Path(__file__).resolve().parents[1] / "connectors"
BASICS = Unpacked(name="basics", version="1.0.0", module="fairlead_basics", folders=(CONNECTORS,))
ARGUMENTS = {"text": "x" * 300}
CALL = Call(call_id="tcl_1", attempt=1, idempotency_key="tcl_1", settings={})

Once = Callable[[], Awaitable[Any]]


async def measure(name: str) -> dict[str, Any] | None:
    """None for a containment that does not hold on this machine."""
    containment = next(each for each in CONTAINMENTS if each.name == name)
    if (await tested(containment, Limits())).flaw is not None:
        return None
    in_process = await _timed(_in_process(load_connectors(["basics"])), WARM_CALLS)
    warm = await _warm(containment)
    cold = await _cold(containment)
    less = in_process[0]
    return {
        "warm_ms_p50": round(warm[0] - less, 3),
        "warm_ms_p99": round(warm[1] - less, 3),
        "cold_ms_p50": round(cold[0] - less, 1),
        "cold_ms_p99": round(cold[1] - less, 1),
    }


def _in_process(connectors: Connectors) -> Once:
    tool = connectors.tool(TOOL, "tnt_1")
    assert tool is not None
    assert isinstance(tool.input, type)
    arguments = tool.input(**ARGUMENTS)
    return lambda: tool.run(arguments, CALL)


async def _warm(containment: Containment) -> tuple[float, float]:
    pool = Pool(containment, Limits(calls=WARM_CALLS * 2))
    try:
        once = _sandboxed(SandboxedConnector(BASICS, await pool.describe(BASICS), pool), "tnt_1")
        await once()
        return await _timed(once, WARM_CALLS)
    finally:
        await pool.aclose()


async def _cold(containment: Containment) -> tuple[float, float]:
    """Each call is another tenant's, so it finds no process."""
    pool = Pool(containment, Limits(processes=COLD_CALLS + 1))
    try:
        connector = SandboxedConnector(BASICS, await pool.describe(BASICS), pool)
        calls = iter([_sandboxed(connector, f"tnt_{number}") for number in range(COLD_CALLS)])

        async def first_call_of_the_next_tenant() -> None:
            await next(calls)()

        return await _timed(first_call_of_the_next_tenant, COLD_CALLS)
    finally:
        await pool.aclose()


def _sandboxed(connector: SandboxedConnector, tenant_id: str) -> Once:
    tool = connector.tool(TOOL, tenant_id)
    assert tool is not None
    return lambda: tool.run(ARGUMENTS, CALL)


async def _timed(once: Once, times: int) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds."""
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        await once()
        took.append((time.perf_counter() - began) * 1_000)
    cuts = quantiles(took, n=100, method="inclusive")
    return cuts[49], cuts[98]
