"""Readings of the machine: processor time and memory by group of processes, and the flushes that disks were asked for.

Processor time carries over between a quiet and a busy machine; rates do not. So every rate is printed beside it, and
beside what all other processes used meanwhile.
"""

import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from msgspec import Struct

_FLUSHES = 18  # place in a line of /proc/diskstats


class Reading(Struct, frozen=True, kw_only=True):
    """Seconds of processor time by group, flushes of all disks, and the seconds all cores were busy."""

    at: float
    cpu_s: dict[str, float]
    flushes: int
    busy_s: float


class Use(Struct, frozen=True, kw_only=True):
    """Between two readings."""

    seconds: float
    cpu_s: dict[str, float]
    flushes: int
    others_cores: float

    def cpu_ms_each(self, things: int) -> dict[str, float]:
        each = {group: round(1_000 * spent / max(1, things), 3) for group, spent in self.cpu_s.items()}
        return {**each, "all": round(sum(each.values()), 3)}


def read(groups: Mapping[str, int]) -> Reading:
    """`groups` names the first process of each group; its descendants belong to it unless they lead a group."""
    return Reading(
        at=time.monotonic(),
        cpu_s={name: sum(map(_cpu_s, _members(pid, groups))) for name, pid in groups.items()},
        flushes=_flushes(),
        busy_s=_busy_s(),
    )


def between(first: Reading, second: Reading) -> Use:
    seconds = second.at - first.at
    cpu_s = {group: second.cpu_s[group] - first.cpu_s.get(group, 0.0) for group in second.cpu_s}
    others = second.busy_s - first.busy_s - sum(cpu_s.values())
    return Use(
        seconds=seconds,
        cpu_s=cpu_s,
        flushes=second.flushes - first.flushes,
        others_cores=round(max(0.0, others / seconds), 2),
    )


def pss_mb(groups: Mapping[str, int]) -> dict[str, float]:
    """Memory, shared pages split among those who share them."""
    return {name: round(sum(map(_pss_mb, _members(pid, groups))), 1) for name, pid in groups.items()}


def description() -> str:
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "")
    memory = psutil.virtual_memory().total / 2**30
    python = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {python}"


def _members(pid: int, groups: Mapping[str, int]) -> list[psutil.Process]:
    leaders = set(groups.values()) - {pid}
    found: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        queue = [psutil.Process(pid)]
        while queue:
            process = queue.pop()
            found.append(process)
            queue += [child for child in process.children() if child.pid not in leaders]
    return found


def _cpu_s(process: psutil.Process) -> float:
    """With what its ended children used, so that a server's short-lived helpers are not lost."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _pss_mb(process: psutil.Process) -> float:
    found = [line for line in _lines(f"/proc/{process.pid}/smaps_rollup") if line.startswith("Pss:")]
    return int(found[0].split()[1]) / 1024 if found else 0.0


def _flushes() -> int:
    """Flush commands of whole disks; 0 where the system does not count them."""
    disks = {path.name for path in Path("/sys/block").iterdir() if (path / "device").exists()}
    rows = [line.split() for line in _lines("/proc/diskstats")]
    return sum(int(row[_FLUSHES]) for row in rows if row[2] in disks and len(row) > _FLUSHES)


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice - times.steal)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
