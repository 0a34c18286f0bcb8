"""`python -m benchmarks`: measures the real stack, prints tables, and keeps every figure under `.fairlead/bench/`."""

import argparse
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import (
    budgets,
    cold,
    deaths,
    effects,
    fairness,
    gates,
    ledger,
    lending,
    machine,
    openapi,
    peers,
    policy,
    proxy,
    reads,
    sandbox,
    steps,
    waiting,
)
from fairlead.logs import configure

PARTS = ("cold", "steps", "reads", "waiting", "sandbox", "openapi", "proxy", "deaths", "ledger", "policy", "budgets")
LEVELS = (1, 16, 64)
WIDTH = 160  # of a table that goes into a file
RESULTS = Path(".fairlead") / "bench"
_COLUMNS = {
    "steps/s": "steps_s",
    "step p50 ms": "step_ms_p50",
    "p99": "step_ms_p99",
    "run p50 ms": "run_ms_p50",
    "p99 ": "run_ms_p99",
    "flushes/step": "flushes_per_step",
    "lag p50 ms": "lag_ms_p50",
    "p99  ": "lag_ms_p99",
    "others' cores": "others_cores",
}


class Report:
    """Everything as it is found: a line of JSON each in a file, and a table at the end."""

    def __init__(self, console: Console) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        self.file = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.jsonl"
        self._console = console
        self._table = Table("engine", "in flight", *_COLUMNS, "CPU ms/step")
        self._spent = Table("CPU ms/step", "in flight", "by process")

    def keep(self, part: str, who: str, found: dict[str, Any]) -> None:
        line = {"part": part, "who": who, "machine": machine.description(), **found}
        with self.file.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        if part == "steps":
            cells, spent = [str(found.get(key, "")) for key in _COLUMNS.values()], found["cpu_ms_per_step"]
            self._table.add_row(who, str(found["in_flight"]), *cells, f"{spent['all']:g}")
            self._spent.add_row(who, str(found["in_flight"]), _by_process(spent))
        self._console.print(f"{part} {who}: " + ", ".join(f"{key} {value}" for key, value in found.items()))

    def close(self) -> None:
        if self._table.row_count:
            self._console.print(self._table, self._spent)
        self._console.print(f"{machine.description()}\nEvery figure is in {self.file}.")


def _by_process(spent: dict[str, float]) -> str:
    return ", ".join(f"{name} {ms:g}" for name, ms in spent.items() if name != "all" and ms)


async def main(chosen: argparse.Namespace) -> None:
    report = Report(Console() if sys.stdout.isatty() else Console(width=WIDTH))
    try:
        if "cold" in chosen.only:
            report.keep("cold", "fairlead", await _in_folder(cold.measure))
        if "steps" in chosen.only:
            await _steps(chosen, report)
        if "reads" in chosen.only:
            report.keep("reads", "fairlead", await _in_folder(partial(reads.measure, seconds=chosen.seconds)))
        if "waiting" in chosen.only:
            report.keep("waiting", "fairlead", await _in_folder(partial(waiting.measure, count=chosen.waiting)))
        if "sandbox" in chosen.only:
            await _sandbox(report)
        if "proxy" in chosen.only:
            await _proxy(chosen, report)
        if "deaths" in chosen.only:
            await _deaths(report)
        if "ledger" in chosen.only:
            report.keep("ledger", "fairlead", await _in_folder(ledger.measure))
        await _of_governance(chosen, report)
        _in_process(chosen, report)
    finally:
        report.close()


def _in_process(chosen: argparse.Namespace, report: Report) -> None:
    if "policy" in chosen.only:
        for name, found in policy.measure():
            report.keep("policy", name, found)
    if "openapi" in chosen.only:
        report.keep("openapi", "fairlead", openapi.measure())


async def _steps(chosen: argparse.Namespace, report: Report) -> None:
    """Level by level, ours and the others' in turn, so that a change of the machine meets all alike."""
    others = peers.available() if chosen.peers else []
    for peer in others:
        await peers.prepare(peer)
    for _ in range(chosen.repeat):
        for level in chosen.in_flight:
            ours = await _in_folder(
                partial(steps.measure, in_flight=level, seconds=chosen.seconds, workers=chosen.workers)
            )
            report.keep("steps", "fairlead", ours)
            for peer in others:
                report.keep("steps", peer.name, await peers.measure(peer, level, chosen.seconds))


async def _sandbox(report: Report) -> None:
    for name in ("bubblewrap", "landlock"):
        if (found := await sandbox.measure(name)) is not None:
            report.keep("sandbox", name, found)


async def _of_governance(chosen: argparse.Namespace, report: Report) -> None:
    if "policy" in chosen.only:
        report.keep("policy", "from publishing to effect", await _in_folder(effects.measure))
    if "budgets" not in chosen.only:
        return
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-", ignore_cleanup_errors=True) as folder:
        async for name, found in budgets.measure(Path(folder), chosen.seconds):
            report.keep("budgets", name, found)


async def _deaths(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-", ignore_cleanup_errors=True) as folder:
        async for victim, found in deaths.measure(Path(folder)):
            report.keep("deaths", victim, found)


async def _proxy(chosen: argparse.Namespace, report: Report) -> None:
    report.keep("proxy", "a call, nothing waited for", await _in_folder(proxy.measure))
    report.keep("proxy", "lending a credential", await _in_folder(lending.measure))
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-", ignore_cleanup_errors=True) as folder:
        async for name, found in gates.measure(Path(folder)):
            report.keep("proxy", name, found)
    for tool in fairness.TOOLS:
        measure = partial(fairness.measure, tool=tool, seconds=chosen.seconds, workers=chosen.workers)
        report.keep("proxy", f"a quiet tenant beside a flood of {tool}", await _in_folder(measure))


async def _in_folder(measure: Callable[[Path], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-", ignore_cleanup_errors=True) as folder:
        return await measure(Path(folder))


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=PARTS, help="of " + ",".join(PARTS))
    parser.add_argument("--in-flight", type=lambda text: [int(each) for each in text.split(",")], default=LEVELS)
    parser.add_argument("--seconds", type=float, default=10.0, help="measured for each figure")
    parser.add_argument("--repeat", type=int, default=1, help="of the steps, interleaved")
    parser.add_argument("--workers", type=int, default=1, help="worker processes for the steps")
    parser.add_argument("--waiting", type=int, default=10_000, help="runs that wait")
    parser.add_argument("--peers", action="store_true", help=f"others too, by the scripts in {peers.SCRIPTS}")
    chosen = parser.parse_args()
    if unknown := set(chosen.only) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return chosen


if __name__ == "__main__":
    configure("warning")
    uvloop.run(main(_chosen()))
