"""A conversation with a server, for one call. The protocol's own library knows both eras and finds out which it is.

It is imported when the first call comes, since that takes as long as the rest of the program.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import httpx2
from fairlead_sdk import BadArguments, Call, OutcomeUnknown, Refused, TryLater
from fairlead_sdk.errors import ToolError

from fairlead_mcp.carrying import Carrier
from fairlead_mcp.programs import program_of, start_of

if TYPE_CHECKING:
    from mcp import Client

T = TypeVar("T")

VERDICT = "verdict"
_TAKEN = {"memory": "memory", "cpu": "processor time", "processes": "processes", "output": "room for its answers"}
BAD_PARAMS = -32602
NO_METHOD = -32601


async def asked(call: Call, ask: Callable[["Client"], Awaitable[T]]) -> T:
    """What the server answers. Raises TryLater while nothing was asked yet, OutcomeUnknown once it was, and Refused."""
    with TemporaryDirectory(prefix="fairlead-mcp-") as folder:
        return await _asked(call, ask, Path(folder))


async def _asked(call: Call, ask: Callable[["Client"], Awaitable[T]], folder: Path) -> T:
    from mcp.shared.exceptions import MCPError

    carrier, began, answer = Carrier(call), False, list[T]()
    told: ToolError | None = None
    try:
        async with AsyncExitStack() as parts:
            client = await _client(call, carrier, folder, parts)
            began = True
            try:  # what is raised in here would come out wrapped by the library's tasks
                answer.append(await ask(client))
            except ToolError as fault:
                told = fault
            except MCPError as said:
                told = carrier.fault or _excess(folder, began) or _refusal(said.error.code, began)
    except ToolError:
        raise
    except (Exception, BaseExceptionGroup) as fault:  # noqa: BLE001  # the library raises many, also in groups
        if not answer and told is None:
            raise carrier.fault or _excess(folder, began) or _broken(fault, began) from None
    if told is not None:
        raise told
    return answer[0]


async def _client(call: Call, carrier: Carrier, folder: Path, parts: AsyncExitStack) -> "Client":
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    config = call.connection.config if call.connection else {}
    if url := config.get("url"):
        http = await parts.enter_async_context(httpx2.AsyncClient(transport=carrier))
        return await parts.enter_async_context(Client(streamable_http_client(url, http_client=http)))
    return await parts.enter_async_context(Client(_program(call, config.get("program", ""), folder, parts)))


def _program(call: Call, name: str, folder: Path, parts: AsyncExitStack) -> Any:
    from mcp.client.stdio import StdioServerParameters, stdio_client

    program = program_of(call, name)
    home = folder / "home"
    home.mkdir()
    nowhere = parts.enter_context(_nowhere())
    start = start_of(program, str(home), folder / VERDICT)
    said = StdioServerParameters(command=start.command[0], args=start.command[1:], env=start.environment, cwd=home)
    return stdio_client(said, nowhere)


def _nowhere() -> TextIO:
    """For what a program says beside the protocol."""
    return Path(os.devnull).open("w")


def _excess(folder: Path, began: bool) -> ToolError | None:
    """What a program was ended for, if it was."""
    try:
        what = (folder / VERDICT).read_text()
    except OSError:
        return None
    said, code = f"the program was ended: it took more {_TAKEN[what]} than it may", f"program_{what}"
    return OutcomeUnknown(said, code) if began else TryLater(said, code)


def _refusal(code: int, began: bool) -> ToolError:
    """Its message may quote what it was given."""
    if code == BAD_PARAMS:
        return BadArguments("the server does not take these arguments", "bad_arguments")
    if code == NO_METHOD:
        return Refused("the server does not know how", "unknown_method")
    return OutcomeUnknown(f"the server answered {code}", "server_error") if began else TryLater(f"it answered {code}")


def _broken(fault: BaseException, began: bool) -> ToolError:
    said = f"the conversation broke: {type(fault).__name__}"
    if not began and isinstance(fault, FileNotFoundError | PermissionError):
        return Refused("the program cannot be started", "no_program")
    return OutcomeUnknown(said, "connection_lost") if began else TryLater(said, "unreachable")
