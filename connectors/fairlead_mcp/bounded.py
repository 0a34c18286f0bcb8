"""`python -I -S bounded.py BOUNDS VERDICT COMMAND…`: runs somebody else's program and ends it when it takes too much.

A program of its own: the protocol's library starts whatever it talks to, and a program that starts others is watched
with all of them, from outside its walls. `VERDICT` is the file that then says of what it took too much.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

LOOK_EVERY_S = 0.1
NICE = 5  # so that it is looked at in time, also while it multiplies
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STATE, _PARENT, _TIMES = 0, 1, slice(11, 15)  # of /proc/…/stat behind the name; the times of those waited for, too
_MEMORY = ("RssAnon:", "RssShmem:")
_PART_BYTES = 64 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    bounds, verdict, command = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    library = ctypes.CDLL(None)
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # nobody leaves the tree by losing a parent
    program = subprocess.Popen(  # noqa: S603  # as the operator lists it
        command,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: _bound(bounds),  # noqa: PLW1509  # there is no thread yet
    )
    assert program.stdout is not None, "asked for"
    said = threading.Thread(
        target=_pass_on, args=(program.stdout.fileno(), bounds["output_bytes"], verdict), daemon=True
    )
    said.start()
    while not _over(program):
        if excess := _written(verdict) or _excess(bounds):
            verdict.write_text(excess)
            _end_all()
    said.join(LOOK_EVERY_S)
    return program.returncode


def _over(program: "subprocess.Popen[bytes]") -> bool:
    try:
        program.wait(LOOK_EVERY_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _bound(bounds: Mapping[str, int]) -> None:
    """What the kernel itself keeps each process to."""
    os.nice(NICE)
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, bounds["cpu_s"] + 1),
        (resource.RLIMIT_DATA, bounds["data_bytes"]),
        (resource.RLIMIT_FSIZE, bounds["file_bytes"]),
        (resource.RLIMIT_NOFILE, bounds["open_files"]),
    ):
        resource.setrlimit(kind, (most, most))


def _pass_on(source: int, most_bytes: int, verdict: Path) -> None:
    """Whoever listens keeps a line until it is whole."""
    left_bytes = most_bytes
    while part := os.read(source, _PART_BYTES):
        left_bytes -= len(part)
        if left_bytes < 0:
            verdict.write_text("output")
            break
        try:
            while part:
                part = part[os.write(1, part) :]
        except BrokenPipeError:  # whoever listened is gone
            return


def _written(verdict: Path) -> str:
    return verdict.read_text() if verdict.exists() else ""


def _excess(bounds: Mapping[str, int]) -> str:
    """Of what all of them together have taken too much, if of anything."""
    stats = dict(_descendants())
    if len(stats) > bounds["processes"]:
        return "processes"
    if sum(map(_cpu_ticks, stats.values())) > bounds["cpu_s"] * _TICKS:
        return "cpu"
    return "memory" if sum(map(_memory_bytes, stats)) > bounds["memory_bytes"] else ""


def _descendants() -> Iterator[tuple[int, list[str]]]:
    stats, children = {}, defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (stat := _stat(folder)):
            stats[int(folder.name)] = stat
            children[int(stat[_PARENT])].append(int(folder.name))
    waiting = list(children[os.getpid()])
    while waiting:
        found = waiting.pop()
        waiting += children[found]
        yield found, stats[found]


def _stat(folder: Path) -> list[str]:
    try:
        return (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:  # it has ended since
        return []


def _cpu_ticks(stat: list[str]) -> int:
    return sum(map(int, stat[_TIMES]))


def _memory_bytes(process: int) -> int:
    """Without what it shares with files: libraries count for nobody."""
    try:
        lines = Path("/proc", str(process), "status").read_text(errors="replace").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_MEMORY))


def _end_all() -> None:
    """Until nobody is left: behind walls the first to die takes the others along."""
    while alive := [process for process, stat in _descendants() if stat[_STATE] not in "ZX"]:
        for process in alive:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
