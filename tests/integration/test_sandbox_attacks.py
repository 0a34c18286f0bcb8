"""A connector that wants out meets a wall, whatever it tries, and costs the call that it was given and nothing else."""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from fairlead_sandbox.wire import MAX_CODE, MAX_MESSAGE
from fairlead_sdk import Call, Connection, Credential
from fairlead_sdk.errors import OutcomeUnknown, ToolError
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec.structs import replace
from structlog.testing import capture_logs

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.plugins import Connectors
from fairlead.adapters.sandbox.connector import SandboxedConnector
from fairlead.adapters.sandbox.containment import Containment
from fairlead.adapters.sandbox.pool import Pool
from fairlead.domain.ids import RunId
from fairlead.domain.runs.commands import CallErred, CallSucceeded
from fairlead.domain.runs.states import OpenCall
from fairlead.workers.answering import Result
from fairlead.workers.calling import Caller
from fairlead.workers.equipping import Equipping, Place
from tests.support.connections import NoAccounts
from tests.support.connectors import known, remembering
from tests.support.database import DatabaseUrls
from tests.support.histories import a_run, requested
from tests.support.sandboxes import HOSTILE, NAMES, SMALL, Wire, holding, sandboxed, still_there
from tests.support.switches import FREE

SECRET = "ghp_" + "x9Y8" * 9
TENANT = "tnt_1"
Attack = Callable[..., Awaitable[list[str]]]
Called = Callable[..., Awaitable[Result]]
A_CALL = Call(call_id="tcl_1", attempt=1, idempotency_key="tcl_1", settings={})


@pytest.fixture(scope="module", params=NAMES)
async def containment(request: pytest.FixtureRequest) -> Containment:
    return await holding(request.param)


@pytest.fixture(scope="module")
async def pool(containment: Containment) -> AsyncIterator[Pool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIRLEAD_CONNECTOR_OTHER_TOKEN", SECRET)
        pool = Pool(containment, SMALL)
        yield pool
        await pool.aclose()


@pytest.fixture(scope="module")
async def hostile(pool: Pool) -> SandboxedConnector:
    return SandboxedConnector(HOSTILE, await pool.describe(HOSTILE), pool)


@pytest.fixture(autouse=True)
def says_which(containment: Containment, record_property: Callable[[str, object], None]) -> None:
    record_property("containment", containment.name)


@pytest.fixture
def attack(hostile: SandboxedConnector) -> Attack:
    """What the attack got hold of. Afterwards the same connector serves the next call as if nothing had been."""

    async def attacked(name: str, target: object = "", tool: str = "hostile.try_read", **given: Any) -> list[str]:
        found = hostile.tool(tool, TENANT)
        assert found is not None
        output = await found.run({"name": name, "target": str(target)}, replace(A_CALL, **given))
        taken: list[str] = output["taken"]
        return taken

    return attacked


def an_open_call(name: str, tool: str = "hostile.try_read", timeout_s: float = 20.0, target: str = "") -> OpenCall:
    request = requested(a_run(TENANT, 1), 1)
    fields: dict[str, Any] = {field: getattr(request, field) for field in request.__struct_fields__}
    fields |= {"tool": tool, "timeout_s": timeout_s, "arguments": {"name": name, "target": target}}
    return OpenCall(request=type(request)(**fields), calls_by_tool={}, attempt=1)


@pytest.fixture
def called(hostile: SandboxedConnector) -> Called:
    """The same through the proxy of tools, as a worker does it."""

    async def call(name: str, **rest: Any) -> Result:
        place = Place(TenantId(TENANT), "live", WorkspaceId("wsp_1"), EnvironmentId("env_1"), RunId("run_1"))
        equipping = Equipping(NoAccounts(), GuardedOutbound(), FREE)
        caller = Caller(known(Connectors([hostile])), equipping, remembering())
        return await caller.call(an_open_call(name, **rest), place, lost_answer=False)

    return call


async def test_the_environment_holds_nothing_of_ours(attack: Attack) -> None:
    assert os.environ["FAIRLEAD_CONNECTOR_OTHER_TOKEN"] == SECRET
    assert await attack("environment", SECRET) == []
    assert await attack("environment", "PATH") == []


async def test_no_other_process_can_be_seen_or_touched(attack: Attack) -> None:
    assert await attack("processes", os.getpid()) == []
    assert await attack("signal_by_file", os.getpid()) == []


async def test_a_file_outside_cannot_be_read_changed_or_found(attack: Attack, tmp_path: Path) -> None:
    """A data folder, and what another tenant's call left lying about."""
    secret = tmp_path / "tnt_2" / "token"
    secret.parent.mkdir()
    secret.write_text(SECRET)
    before = untouched(secret)
    assert await attack("files", secret) == []
    assert await attack("files", Path(__file__)) == []
    assert untouched(secret) == before
    assert secret.read_text() == SECRET
    assert [path.name for path in secret.parent.iterdir()] == ["token"]


def untouched(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_size, found.st_nlink, found.st_mtime_ns


async def test_its_own_code_stays_as_it_was_installed(attack: Attack) -> None:
    assert await attack("own_folder") == []


async def test_nothing_can_be_left_in_a_place_that_others_look_into(attack: Attack) -> None:
    assert await attack("shared_places") == []


async def test_neither_the_engines_nor_the_world_can_be_reached(
    attack: Attack, nats_url: str, database: DatabaseUrls, tmp_path: Path
) -> None:
    port = nats_url.rpartition(":")[2].rstrip("/")
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(str(tmp_path / "ours"))
        ours.listen()
        postgres = psycopg_host(database.app)
        assert await attack("network", f"{port},{tmp_path / 'ours'},{postgres}") == []


def psycopg_host(url: str) -> str:
    """Where PostgreSQL listens: a port, or the path of its socket."""
    from psycopg.conninfo import conninfo_to_dict

    said = conninfo_to_dict(url)
    host, port = str(said.get("host", "")), str(said.get("port", 5432))
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else port


async def test_no_system_call_leads_out(attack: Attack) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers are those of x86-64")
    assert await attack("system_calls", os.getpid()) == []


async def test_no_second_process_thread_or_program_can_be_started(attack: Attack) -> None:
    before = len(psutil.Process().children(recursive=True))
    assert await attack("many_processes") == []
    assert len(psutil.Process().children(recursive=True)) <= before + 2  # its own, and the program that waits for it


async def test_the_disk_cannot_be_filled(attack: Attack) -> None:
    assert await attack("full_disk") == []


async def test_memory_ends_at_its_limit(attack: Attack) -> None:
    assert await attack("full_memory") == []


async def test_limits_cannot_be_lifted(attack: Attack) -> None:
    assert await attack("limits") == []


async def test_it_holds_no_privilege_and_can_be_given_none(attack: Attack) -> None:
    """Also where we are root. As the kernel says it, from outside."""
    assert await attack("print_much") == []
    for process in sandboxed():
        if process.name() == "bwrap":
            continue  # waits for it outside
        said = status_of(process)
        held = {said[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")}
        assert held == {"0" * 16}
        assert (said["NoNewPrivs"], said["Seccomp"]) == ("1", "2")


def status_of(process: psutil.Process) -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def test_nothing_but_its_own_channels_is_open(attack: Attack) -> None:
    assert await attack("read_channels") == []


async def test_a_credential_never_comes_in(attack: Attack) -> None:
    account = Connection(connection_id="con_1", config={}, credential=Credential(secret=SECRET))
    assert await attack("credential", connection=account) == ["con_1"]
    assert await attack("rummage", SECRET[::-1], connection=account, http=Wire()) == []


DEADLY = ["crash", "leave", "flood_remarks"]
FORGED = [
    "say_nonsense",
    "say_too_much",
    "flood_answers",
    "answer_twice",
    "answer_another",
    "answer_out_of_order",
    "answer_deep",
    "answer_with_a_new_field",
    "request_for_another",
    "request_nonsense",
    "request_without_end",
]
ENDLESS = ["spin", "hang", "promise_and_wait"]
HONEST = CallSucceeded(output={"taken": []})


@pytest.mark.parametrize("name", [*DEADLY, *FORGED])
async def test_a_process_that_dies_or_lies_costs_its_call_and_no_other(called: Called, name: str) -> None:
    result = await called(name)
    assert isinstance(result, CallErred), result
    assert result.error_class == "transient"
    assert await called("print_much") == HONEST


@pytest.mark.parametrize("name", ["crash", "answer_twice", "answer_too_few"])
async def test_a_batch_whose_process_dies_or_lies_has_an_unknown_outcome(
    hostile: SandboxedConnector, called: Called, name: str
) -> None:
    tool, calls = hostile.tool("hostile.try_read", TENANT), [A_CALL, A_CALL]
    assert tool is not None
    assert tool.run_many is not None
    assert await tool.run_many([{"name": "print_much", "target": ""}] * 2, calls) == [HONEST.output] * 2
    warm = sandboxed()
    with pytest.raises(OutcomeUnknown):
        await tool.run_many([{"name": name, "target": ""}] * 2, calls)
    assert await still_there(warm) == []
    assert await called("print_much") == HONEST


@pytest.mark.parametrize("name", ["crash", "say_nonsense", "answer_twice"])
async def test_what_became_of_a_write_is_then_unknown(called: Called, name: str) -> None:
    result = await called(name, tool="hostile.try_write")
    assert isinstance(result, CallErred), result
    assert result.error_class == "unknown_outcome"


@pytest.mark.parametrize("name", ENDLESS)
async def test_nothing_outlives_its_time(called: Called, name: str) -> None:
    """Deaf to signals, busy, or in the middle of an answer: its process is gone soon after its time is."""
    assert await called("print_much") == HONEST  # it is warm: what is cut off is the call, and not its start
    warm = sandboxed()
    result = await called(name, timeout_s=0.3)
    assert isinstance(result, CallErred), result
    assert result.error_class == "timeout"
    assert await still_there(warm) == []
    assert await called("print_much") == HONEST


async def test_processor_time_has_a_bound_of_its_own(called: Called) -> None:
    result = await called("spin", timeout_s=30.0)
    assert isinstance(result, CallErred), result
    assert "processor time" in result.message


async def test_files_without_content_are_counted_too(called: Called) -> None:
    result = await called("make_files", timeout_s=30.0)
    assert result == HONEST or (isinstance(result, CallErred) and "processor" not in result.message), result


async def test_what_goes_on_after_the_answer_is_frozen_and_then_ended(attack: Attack) -> None:
    wire, later = Wire(), Wire()
    assert await attack("go_on_after_the_answer", http=wire) == []
    while_it_lasted = len(wire.sent)
    await asyncio.to_thread(until_frozen, sandboxed())
    for _ in range(3):
        with contextlib.suppress(OutcomeUnknown):  # it may be found out only when it runs again
            await attack("print_much", http=later)
    assert later.sent == []
    assert len(wire.sent) == while_it_lasted


async def test_a_process_serves_one_tenant_only(hostile: SandboxedConnector) -> None:
    async def left(tenant: str, secret: str) -> list[str]:
        tool = hostile.tool("hostile.try_read", tenant)
        assert tool is not None
        output = await tool.run({"name": "leave_a_secret", "target": secret}, A_CALL)
        taken: list[str] = output["taken"]
        return taken

    await left("tnt_8", "of one")
    assert await left("tnt_8", "of one again") == ["of one"]  # within a tenant a warm process is the same one
    assert await left("tnt_9", "of another") == []


async def test_what_it_says_of_itself_is_bounded(attack: Attack) -> None:
    with pytest.raises(ToolError) as raised:
        await attack("raise_much")
    assert len(str(raised.value)) <= MAX_MESSAGE
    assert len(raised.value.code) <= MAX_CODE
    with pytest.raises(OutcomeUnknown, match="the output has"):
        await attack("return_much")


async def test_a_secret_in_an_error_or_a_remark_is_not_repeated(attack: Attack) -> None:
    with capture_logs() as logs, pytest.raises(OutcomeUnknown, match="the connector raised ValueError") as raised:
        await attack("raise_a_secret", SECRET)
    assert SECRET not in str(raised.value)
    with capture_logs() as remarks:
        await attack("remark", SECRET)
    assert "said" in str(remarks)
    assert SECRET not in str([*logs, *remarks])


async def test_every_part_of_a_tool_is_behind_the_same_wall(hostile: SandboxedConnector, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    tool = hostile.tool("hostile.try_write", TENANT)
    assert tool is not None
    assert tool.verify is not None
    assert tool.preview is not None
    assert tool.compensate is not None
    arguments = {"name": "files", "target": str(secret)}
    assert await tool.verify(arguments, A_CALL) == {"taken": []}
    assert await tool.preview(arguments, A_CALL) == {"taken": []}
    await tool.compensate(arguments, {"taken": []}, A_CALL)
    with pytest.raises(OutcomeUnknown):
        await tool.compensate({"name": "crash", "target": ""}, {"taken": []}, A_CALL)


async def test_it_dies_with_its_maker(containment: Containment) -> None:
    """A worker that is killed leaves nothing behind, not even what is frozen or deaf."""
    maker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.sandboxes", containment.name, stdout=asyncio.subprocess.PIPE
    )
    assert maker.stdout is not None
    try:
        async with asyncio.timeout(20):
            left = [psutil.Process(int(pid)) for pid in (await maker.stdout.readline()).split()]
        assert len(left) >= 2  # one frozen, one deaf
    finally:
        maker.kill()
        await maker.wait()
    assert await still_there(left) == []


def until_frozen(processes: list[psutil.Process]) -> None:
    late_at = time.monotonic() + 5
    while any(map(_runs, processes)):
        assert time.monotonic() < late_at, "it goes on"


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_RUNNING)
    return False
