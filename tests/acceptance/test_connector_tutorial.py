"""The tutorial for authors of connectors, followed to the letter by somebody who knows nothing else."""

import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Struct

from fairlead.adapters.sandbox.choosing import choose
from fairlead.adapters.sandbox.limits import Limits
from tests.support.command_line import Shell, development, newcomer

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-connector.md"
TEN_MINUTES_S = 600
DEV = "fairlead dev"
_BLOCK = re.compile(
    r"(?:Put this into `(?P<file>[^`]+)`:\s+)?```(?P<language>\w+)\n(?P<body>.*?)^```", re.DOTALL | re.MULTILINE
)


class Block(Struct, frozen=True):
    """What is to be typed, or to be put into `file`."""

    body: str
    file: str | None


def blocks() -> Iterator[Block]:
    for found in _BLOCK.finditer(PAGE.read_text()):
        assert (found["language"] == "sh") == (found["file"] is None), "commands are typed, the rest has its file"
        yield Block(found["body"], found["file"])


class Terminal:
    """One shell from beginning to end, so that what is exported stays."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self.folder = folder
        self.said: list[str] = []

    async def type(self, commands: str) -> str:
        """What was printed. Fails with it where a command does."""
        assert self._process.stdin is not None, "asked for"
        assert self._process.stdout is not None, "asked for"
        self._process.stdin.write(f"{commands}\necho; pwd; echo :done:\n".encode())
        lines: list[str] = []
        while not lines or lines[-1] != ":done:":
            line = await self._process.stdout.readline()
            assert line, f"a command failed: {commands}\n{chr(10).join(lines)}"
            lines.append(line.decode().rstrip("\n"))
        self.folder = Path(lines[-2])
        self.said += lines[:-2]
        return "\n".join(lines[:-2])


@asynccontextmanager
async def terminal(shell: Shell) -> AsyncIterator[Terminal]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-eo",
        "pipefail",
        cwd=shell.folder,
        env={
            **inherited,
            "HOME": str(shell.folder / "home"),
            "XDG_CONFIG_HOME": "",
            "PATH": f"{Path(sys.executable).parent}:{inherited['PATH']}",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Terminal(process, shell.folder)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def followed(first: Terminal, block: Block) -> str:
    if block.file is None:
        return await first.type(block.body)
    (first.folder / block.file).write_text(block.body)
    return ""


async def test_whoever_follows_the_tutorial_has_a_connector_that_runs() -> None:
    containment, tried = await choose("auto", Limits())
    if containment is None:
        pytest.skip(f"no sandbox holds here: {tried}")
    todo = list(blocks())
    (start,) = [number for number, block in enumerate(todo) if DEV in block.body]
    async with asyncio.timeout(TEN_MINUTES_S):
        with newcomer() as shell:
            async with terminal(shell) as first:
                for block in todo[:start]:
                    await followed(first, block)
                assert "not yet" in first.said
                assert any("notes.count_words has no example" in line for line in first.said)
                async with development(Shell(first.folder, trusting(todo[start], first.folder))):
                    answers = [await followed(first, block) for block in todo[start + 1 :]]
            logs = "".join(log.read_text() for log in first.folder.glob(".fairlead/logs/worker-*.log"))
    assert f'"containment":"{containment.name}"' in logs
    (ran,) = [answer for answer in answers if '"status"' in answer]
    assert json.loads(ran[ran.index("{\n") :])["output"] == {"words": 5}
    assert "refused" in answers[-1]
    assert "notes.count_words/output/words: what is read is missing (output_widened)" in answers[-1]


def trusting(block: Block, folder: Path) -> dict[str, str]:
    """What is set for the second terminal's only command, which runs until it is stopped."""
    variable, _, file = re.fullmatch(r"(\w+)=\$\((cat) (.+)\) fairlead dev\n", block.body).groups()  # type: ignore[union-attr]
    return {variable: (folder / shlex.split(file)[0]).read_text().strip()}
