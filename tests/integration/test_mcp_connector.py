"""The bridge, against reference servers of both eras of the protocol, over HTTP and as programs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fairlead_sdk import (
    BadArguments,
    Call,
    Connection,
    Effect,
    Idempotency,
    NeedsReconnect,
    OutcomeUnknown,
    Refused,
    Tool,
    TryLater,
)
from fairlead_sdk.checks import faults_of
from fairlead_sdk.errors import ToolError
from fairlead_sdk.importing import ToolSet
from msgspec.structs import replace

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.ports import WayOut
from fairlead_mcp import McpConnector
from fairlead_mcp.listing import Nothing, Offer, list_tools
from tests.support.flaky_http import FlakyServer, reply, reset
from tests.support.mcp_servers.servers import (
    GLUTTON,
    contained,
    git_server,
    glutton,
    over_http,
    program,
    thief,
    time_server,
)


@pytest.fixture(scope="module")
async def everything() -> AsyncIterator[str]:
    async with over_http() as authority:
        yield authority


_open: list[GuardedOutbound] = []


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    """Connections that were kept end with the test that made them."""
    yield
    while _open:
        await _open.pop().aclose()


def call_to(authority: str = "", *, private: str = "127.0.0.1/32", programs: Any = None, **config: str) -> Call:
    known = {"url": f"http://{authority}/mcp"} | config if authority else config
    outbound = GuardedOutbound(private_networks=[private], plain_http=[authority] if authority else [])
    _open.append(outbound)
    return Call(
        call_id="tcl_1",
        attempt=1,
        idempotency_key="tcl_1",
        settings={"stdio_servers": msgspec.json.encode(programs or {}).decode()},
        connection=Connection(connection_id="con_1", config=known),
        http=outbound.http(WayOut(owner="con_1", egress=("{url}",), timeout_s=20.0, config=known)),
    )


async def offered(call: Call) -> Offer:
    return await list_tools.run(Nothing(), call)


def imported(offer: Offer | str, **hints: Any) -> ToolSet:
    document = offer if isinstance(offer, str) else offer.document
    found = McpConnector().read("helper", document.encode(), hints)
    assert found.tool_set is not None, found.problems
    return found.tool_set


def tool_of(tool_set: ToolSet, name: str) -> Tool[Any, Any]:
    (found,) = [each for each in tool_set.tools if each.name == f"helper.{name}"]
    return McpConnector().tool(tool_set, found)


def command_lines() -> Iterator[str]:
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            yield (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


async def met(asking: Any) -> ToolError:
    with pytest.raises(ToolError) as raised:
        await asking
    return raised.value


def document(*tools: dict[str, Any]) -> str:
    return msgspec.json.encode({"tools": tools}).decode()


TAKES = {"type": "object", "properties": {"path": {"type": "string"}}}


def test_the_connector_check_finds_nothing() -> None:
    assert [str(fault) for fault in faults_of(McpConnector.manifest, shipped=True)] == []


# --- servers ----------------------------------------------------------------------------------------------------------


async def test_tools_of_a_server_over_http_are_listed_imported_and_called(everything: str) -> None:
    offer = await offered(call_to(everything))
    tool_set = imported(offer)
    assert offer.protocol == "2025-11-25"
    answer = await tool_of(tool_set, "echo").run({"message": "hello"}, call_to(everything))
    assert answer == {"text": "Echo: hello", "omitted": 0}
    picture = await tool_of(tool_set, "get_tiny_image").run({}, call_to(everything))
    assert picture["omitted"] == 1


async def test_structured_answers_are_passed_on_with_their_schema(everything: str) -> None:
    tool_set = imported(await offered(call_to(everything)))
    tool = tool_of(tool_set, "get_structured_content")
    answer = await tool.run({"location": "New York"}, call_to(everything))
    assert answer["structured"]["temperature"] == 33
    assert "structured" in tool.output.document["properties"]


async def test_a_program_of_the_new_era_is_spoken_to_in_it() -> None:
    programs = {"clock": time_server()}
    offer = await offered(call_to(programs=programs, program="clock"))
    assert offer.protocol == "2026-07-28"
    tool = tool_of(imported(offer), "get_current_time")
    answer = await tool.run({"timezone": "UTC"}, call_to(programs=programs, program="clock"))
    assert answer["structured"]["timezone"] == "UTC"


async def test_a_program_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRLEAD_NATS_URL", "a-secret-that-nobody-sees")
    programs = {"everything": program("server-everything")}
    offer = await offered(call_to(programs=programs, program="everything"))
    answer = await tool_of(imported(offer), "get_env").run({}, call_to(programs=programs, program="everything"))
    seen = msgspec.json.decode(answer["text"]).keys()
    assert seen - {"PWD"} == {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"}


async def test_files_are_reached_only_where_the_operator_says(tmp_path: Any) -> None:
    (tmp_path / "note.txt").write_text("hello")
    programs = {"files": program("server-filesystem", str(tmp_path), writes=[str(tmp_path)])}
    tool_set = imported(await offered(call_to(programs=programs, program="files")))
    read = tool_of(tool_set, "read_text_file")
    call = call_to(programs=programs, program="files")
    assert (await read.run({"path": str(tmp_path / "note.txt")}, call))["text"] == "hello"
    outside = await met(read.run({"path": "/etc/hostname"}, call))
    assert (type(outside), outside.code) == (Refused, "tool_failed")


async def test_a_program_takes_nothing_that_is_not_listed_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, no network, nothing of ours; and all that without walls, so that it is they that hold."""
    if not contained():
        pytest.skip("bubblewrap does not hold here")
    monkeypatch.setenv("FAIRLEAD_NATS_URL", "a-secret-that-nobody-sees")
    (tmp_path / "secret").write_text("ours")
    async with FlakyServer.at() as server:
        for said, taken in (
            ({}, []),
            ({"network": True}, ["socket"]),
            ({"writes": [str(tmp_path)]}, ["file", "left a file"]),
            ({"contained": False}, ["file", "left a file", "socket", "processes"]),
        ):
            (tmp_path / "left").unlink(missing_ok=True)
            programs = {"thief": thief(tmp_path / "secret", server.port, **said)}
            tool_set = imported(await offered(call_to(programs=programs, program="thief")))
            answer = await tool_of(tool_set, "take_all").run({}, call_to(programs=programs, program="thief"))
            assert msgspec.json.decode(answer["text"]) == taken


@pytest.mark.parametrize(
    ("how", "walls", "code"),
    [
        ("memory", True, "program_memory"),
        ("shared_memory", True, "program_memory"),
        ("processes", True, "program_processes"),
        ("cpu", True, "program_cpu"),
        ("output", True, "program_output"),
        ("memory", False, "program_memory"),
        ("processes", False, "program_processes"),
    ],
)
async def test_a_program_that_takes_too_much_is_ended_with_all_that_it_began(how: str, walls: bool, code: str) -> None:
    if walls and not contained():
        pytest.skip("bubblewrap does not hold here")
    call = call_to(programs={"glutton": glutton(how, contained=walls)}, program="glutton")
    take_all = tool_of(imported(document({"name": "take_all", "inputSchema": TAKES})), "take_all")
    fault = await met(take_all.run({}, call))
    assert (type(fault), fault.code) == (OutcomeUnknown, code)
    assert [line for line in command_lines() if str(GLUTTON) in line] == []


async def test_a_program_that_nothing_contains_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = {"clock": {**time_server(), "contained": True}}
    monkeypatch.setenv("PATH", "/nowhere")
    fault = await met(offered(call_to(programs=programs, program="clock")))
    assert (type(fault), fault.code) == (Refused, "not_contained")


@pytest.mark.parametrize(
    "listed",
    [
        "{",
        '{"clock": 5}',
        '{"clock": {"command": []}}',
        '{"clock": {"command": ["x"], "reads": ["etc"]}}',
        '{"clock": {"command": ["x"], "cpu_s": 0}}',
    ],
)
async def test_a_list_of_programs_that_cannot_be_read_starts_none(listed: str) -> None:
    call = replace(call_to(program="clock"), settings={"stdio_servers": listed})
    fault = await met(offered(call))
    assert (type(fault), fault.code) == (Refused, "bad_settings")


async def test_a_repository_is_read_and_written_by_the_server_for_git(tmp_path: Path) -> None:
    for words in (["init", "-q"], ["config", "user.name", "Ann"], ["config", "user.email", "ann@example.com"]):
        await git(tmp_path, *words)
    (tmp_path / "note.txt").write_text("hello")
    programs = {"git": git_server(tmp_path)}
    tool_set = imported(await offered(call_to(programs=programs, program="git")), trust="server")
    effects = {tool.name: tool.effect for tool in tool_set.tools}
    assert (effects["helper.git_status"], effects["helper.git_commit"]) == (Effect.READ, Effect.WRITE)
    call, here = call_to(programs=programs, program="git"), {"repo_path": str(tmp_path)}
    await git(tmp_path, "add", "note.txt")
    await tool_of(tool_set, "git_commit").run({**here, "message": "A note"}, call)
    assert await git(tmp_path, "log", "--format=%an: %s") == "Ann: A note\n"
    elsewhere = await met(tool_of(tool_set, "git_status").run({"repo_path": str(tmp_path.parent)}, call))
    assert (type(elsewhere), elsewhere.code) == (Refused, "tool_failed")


async def git(folder: Path, *words: str) -> str:
    process = await asyncio.create_subprocess_exec("git", *words, cwd=folder, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"), [(401, NeedsReconnect), (403, Refused), (429, TryLater), (503, TryLater), (500, TryLater)]
)
async def test_a_refusal_before_anything_was_asked_says_what_to_do_next(status: int, kind: type[ToolError]) -> None:
    async with FlakyServer.at() as server:
        server.answers["/mcp"] = reply(status)
        assert type(await met(offered(call_to(server.authority)))) is kind


async def test_a_server_that_is_away_may_be_back_later() -> None:
    async with FlakyServer.at() as server:
        server.answers["/mcp"] = reset
        fault = await met(offered(call_to(server.authority)))
    assert type(fault) in (TryLater, OutcomeUnknown)  # of a read, both are tried again


async def test_a_private_address_is_not_reached(everything: str) -> None:
    fault = await met(offered(call_to(everything, private="10.0.0.0/8")))
    assert (type(fault), fault.code) == (Refused, "egress_denied")


async def test_only_programs_that_the_operator_lists_are_started() -> None:
    for programs in ({}, {"clock": ["/nowhere/at/all"]}):
        fault = await met(offered(call_to(programs=programs, program="clock")))
        assert type(fault) is Refused


async def test_arguments_that_the_server_does_not_take_are_the_callers_fault(everything: str) -> None:
    tool_set = imported(await offered(call_to(everything)))
    fault = await met(tool_of(tool_set, "get_sum").run({"a": "one"}, call_to(everything)))
    assert type(fault) in (BadArguments, Refused)


# --- importing --------------------------------------------------------------------------------------------------------


def said(**annotations: bool) -> str:
    return document({"name": "readFile", "inputSchema": TAKES, "annotations": annotations})


@pytest.mark.parametrize(
    ("offer", "hints", "effect"),
    [
        (said(), {}, Effect.DESTRUCTIVE),
        (said(destructiveHint=False), {}, Effect.WRITE),
        (said(readOnlyHint=True), {}, Effect.WRITE),
        (said(readOnlyHint=True), {"trust": "server"}, Effect.READ),
        (said(), {"tools": {"readFile": {"effect": "read"}}}, Effect.READ),
        (said(readOnlyHint=True), {"trust": "server", "tools": {"readFile": {"effect": "destructive"}}}, "destructive"),
    ],
)
def test_what_a_server_says_of_effects_counts_only_if_told_so(offer: str, hints: Any, effect: str) -> None:
    (tool,) = imported(offer, **hints).tools
    assert (tool.name, tool.effect) == ("helper.read_file", effect)
    assert tool.writes == (() if effect == "read" else ("helper",))


def test_only_a_trusted_promise_makes_a_write_repeatable() -> None:
    (careful,), (trusting,) = (imported(said(idempotentHint=True), **h).tools for h in ({}, {"trust": "server"}))
    assert (careful.idempotency, trusting.idempotency) == (Idempotency.NONE, Idempotency.NATURAL)


def test_unknown_arguments_are_refused_and_definitions_belong_to_the_set() -> None:
    schema = {
        "type": "object",
        "properties": {"at": {"$ref": "#/definitions/Place"}},
        "definitions": {"Place": {"type": "object", "properties": {"in": {"$ref": "#/definitions/Place"}}}},
    }
    tool_set = imported(document({"name": "go", "inputSchema": schema}))
    assert tool_set.tools[0].input["additionalProperties"] is False
    assert tool_set.tools[0].input["properties"]["at"] == {"$ref": "#/$defs/go_Place"}
    assert tool_set.definitions["go_Place"]["properties"]["in"] == {"$ref": "#/$defs/go_Place"}


def test_a_tool_that_cannot_be_used_is_left_out_with_the_reason() -> None:
    offer = document(
        {"name": "good", "inputSchema": TAKES},
        {"name": "elsewhere", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "https://evil.example"}}}},
        {"name": "list", "inputSchema": {"type": "array"}},
        {"name": "GOOD", "inputSchema": TAKES},
        {"name": "\u4f60\u597d", "inputSchema": TAKES},
        {"name": "bare"},
    )
    found = McpConnector().read("helper", offer.encode(), {})
    assert found.tool_set is not None
    assert [tool.name for tool in found.tool_set.tools] == ["helper.good"]
    assert [each.code for each in found.left_out] == ["invalid", "schema", "schema", "name", "name"]


@pytest.mark.parametrize(
    ("offer", "hints", "code"),
    [
        ("", {}, "unreadable"),
        ("[]", {}, "unreadable"),
        ('{"tools": []}', {}, "no_tools"),
        (said(), {"tools": {"other": {}}}, "unknown_tool"),
        (said(), {"surprise": 1}, "invalid"),
        ("x" * 2_000_000, {}, "too_large"),
    ],
)
def test_what_cannot_be_imported_is_a_problem(offer: str, hints: Any, code: str) -> None:
    found = McpConnector().read("helper", offer.encode(), hints)
    assert found.tool_set is None
    assert code in {problem.code for problem in found.problems}
