"""A program that speaks the protocol and takes far too much of one thing: `python glutton.py <how>`.

It stops by itself before it harms the machine that tests run on.
"""

import json
import mmap
import os
import sys
import time
from typing import Any

MOST_LOTS = 400  # of 4 MiB
PARTS, ENDS_S = 200, 20
TOOL = {"name": "take_all", "inputSchema": {"type": "object", "properties": {}}}


def memory() -> None:
    held = [bytearray(os.urandom(4096) * 1024) for _ in range(PARTS)]
    time.sleep(ENDS_S if held else 0)


def shared_memory() -> None:
    held = [mmap.mmap(-1, 4096 * 1024) for _ in range(PARTS)]
    for part in held:
        part.write(os.urandom(4096) * 1024)
    time.sleep(ENDS_S)


def processes() -> None:
    """None of them is in a group or session with another, or has anything of ours open."""
    for _ in range(PARTS):
        if os.fork() == 0:
            os.setsid()
            os.closerange(0, 3)
            time.sleep(ENDS_S)
            os._exit(0)
    time.sleep(ENDS_S)


def cpu() -> None:
    """By children that are waited for, none of which lives long."""
    ends_at = time.monotonic() + ENDS_S
    while time.monotonic() < ends_at:
        if (child := os.fork()) == 0:
            sum(range(3_000_000))
            os._exit(0)
        os.waitpid(child, 0)


def output() -> None:
    """One line that is longer than anybody can keep."""
    for _ in range(PARTS):
        sys.stdout.write("x" * 4096 * 256)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    match asked["method"]:
        case "initialize":
            version = asked["params"]["protocolVersion"]
            who = {"name": "glutton", "version": "1"}
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": who}
        case "tools/list":
            return {"tools": [TOOL]}
        case _:
            HOW[sys.argv[1]]()
            return {"content": [{"type": "text", "text": "nobody minded"}]}


HOW = {each.__name__: each for each in (memory, shared_memory, processes, cpu, output)}
KNOWN = ("initialize", "tools/list", "tools/call")

for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        result = (
            {"result": answer(asked)} if asked["method"] in KNOWN else {"error": {"code": -32601, "message": "unknown"}}
        )
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **result}) + "\n")
        sys.stdout.flush()
