"""An honest connector does not notice that it is contained, and its processes are kept warm within bounds."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from fairlead_sdk import Call, Connection, Credential
from fairlead_sdk.auth import Auth, AuthKind
from fairlead_sdk.checks import faults_of
from fairlead_sdk.description import described
from fairlead_sdk.errors import (
    AnswerTooLarge,
    BadArguments,
    NeedsReconnect,
    OutcomeUnknown,
    Refused,
    ToolError,
    TryLater,
)
from fairlead_sdk.hookspecs import ENTRY_POINT_GROUP
from msgspec.structs import replace

from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.plugins import load_connectors, third_party
from fairlead.adapters.sandbox.connector import SandboxedConnector
from fairlead.adapters.sandbox.containment import Containment
from fairlead.adapters.sandbox.faults import CannotStart
from fairlead.adapters.sandbox.limits import Limits
from fairlead.adapters.sandbox.packages import Unpacked
from fairlead.adapters.sandbox.pool import Pool
from fairlead.adapters.sandbox.sandbox import Sandbox, Uncontained
from fairlead.core import installed_connectors
from fairlead.ports import WayOut
from fairlead.settings import Settings
from tests.support.flaky_http import FlakyServer
from tests.support.sandboxes import GUEST, HOSTILE, NAMES, Wire, holding, sandboxed, still_there

SECRET = "ghp_" + "x9Y8" * 9
A_CALL = Call(call_id="tcl_1", attempt=2, idempotency_key="key_1", settings={"folder": "/data"})
Ask = Callable[..., Awaitable[list[str]]]


@pytest.fixture(scope="module", params=NAMES)
async def containment(request: pytest.FixtureRequest) -> Containment:
    return await holding(request.param)


@pytest.fixture(scope="module")
async def pool(containment: Containment) -> AsyncIterator[Pool]:
    pool = Pool(containment, Limits())
    yield pool
    await pool.aclose()


@pytest.fixture(scope="module")
async def guest(pool: Pool) -> SandboxedConnector:
    return SandboxedConnector(GUEST, await pool.describe(GUEST), pool)


@pytest.fixture
def ask(guest: SandboxedConnector) -> Ask:
    async def asked(what: str, where: str = "", tenant: str = "tnt_1", **given: Any) -> list[str]:
        return await wished(guest, what, where, tenant, **given)

    return asked


async def wished(
    guest: SandboxedConnector, what: str, where: str = "", tenant: str = "tnt_1", **given: Any
) -> list[str]:
    tool = guest.tool("guest.get_wish", tenant)
    assert tool is not None
    output = await tool.run({"what": what, "where": where}, replace(A_CALL, **given))
    said: list[str] = output["said"]
    return said


def test_it_promises_what_it_promises_in_process(guest: SandboxedConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(GUEST.folders[0]))
    import fairlead_guest

    assert described(guest.manifest) == described(fairlead_guest.GuestConnector.manifest)
    assert faults_of(guest.manifest) == []
    assert guest.tool("guest.get_nothing", "tnt_1") is None


async def test_a_call_arrives_as_it_was_made_without_its_credential(ask: Ask) -> None:
    account = Connection(connection_id="con_1", config={"base_url": "here"}, credential=Credential(secret=SECRET))
    assert await ask("tell") == ["tcl_1", "2", "key_1", "/data"]
    assert await ask("tell", connection=account) == ["tcl_1", "2", "key_1", "/data", "con_1", "here"]


async def test_it_imports_what_it_brought_and_what_it_is_offered(ask: Ask) -> None:
    assert await ask("greet") == ["hello", "typing_extensions", "Europe/Berlin"]


async def test_work_for_a_thread_is_done_at_once(ask: Ask) -> None:
    assert await ask("think") == ["4950"]


async def test_what_a_call_leaves_behind_is_gone_before_the_next(ask: Ask, containment: Containment) -> None:
    tasks = await ask("count")
    await ask("linger")
    assert await ask("count") == tasks
    if containment.scratch is not None:
        assert await ask("write") == ["tmp"]
        assert await ask("write") == ["tmp"]


@pytest.mark.parametrize(
    ("where", "kind", "code", "retry_after_s"),
    [("busy", TryLater, "busy", 7.0), ("no", Refused, "closed", None), ("gone", NeedsReconnect, "gone", None)],
)
async def test_an_error_says_the_same_outside(
    ask: Ask, where: str, kind: type[ToolError], code: str, retry_after_s: float | None
) -> None:
    with pytest.raises(kind) as raised:
        await ask("fail", where)
    assert (raised.value.code, getattr(raised.value, "retry_after_s", None)) == (code, retry_after_s)


async def test_a_type_that_refuses_its_arguments_refuses_them(ask: Ask) -> None:
    with pytest.raises(BadArguments):
        await ask("impossible")


async def test_a_tool_that_raises_anything_else_is_known_by_the_name_of_it(ask: Ask) -> None:
    with pytest.raises(OutcomeUnknown, match="raised KeyError"):
        await ask("nothing of the kind")


async def test_the_other_parts_of_a_tool_work_too(guest: SandboxedConnector) -> None:
    tool = guest.tool("guest.set_wish", "tnt_1")
    assert tool is not None
    assert tool.verify is not None
    assert tool.preview is not None
    assert tool.compensate is not None
    assert await tool.verify({"what": "tell", "where": ""}, A_CALL) is None
    assert await tool.verify({"what": "tell", "where": "x"}, A_CALL) == {"said": ["tcl_1", "2", "key_1", "/data"]}
    assert await tool.preview({"what": "tell"}, A_CALL) == {"after": ["tcl_1", "2", "key_1", "/data"]}
    await tool.compensate({"what": "tell", "where": "x"}, {"said": ["x"]}, A_CALL)
    with pytest.raises(Refused, match="not what was done"):
        await tool.compensate({"what": "tell", "where": "x"}, {"said": ["y"]}, A_CALL)


def a_call(number: int) -> Call:
    return replace(A_CALL, call_id=f"tcl_{number}", attempt=number, idempotency_key=f"key_{number}")


async def wished_at_once(guest: SandboxedConnector, *wishes: tuple[str, str]) -> list[Any]:
    tool = guest.tool("guest.get_wish", "tnt_1")
    assert tool is not None
    assert tool.run_many is not None
    wanted = [{"what": what, "where": where} for what, where in wishes]
    return await tool.run_many(wanted, [a_call(number) for number in range(1, len(wishes) + 1)])


async def test_calls_of_a_batch_are_asked_at_once_and_each_has_its_own_key_and_answer(
    guest: SandboxedConnector, pool: Pool
) -> None:
    wishes = [("tell", ""), ("fail", "busy"), ("impossible", ""), ("nothing of the kind", ""), ("tell", "")]
    told, busy, refused, broke, last = await wished_at_once(guest, *wishes)
    assert told == {"said": ["tcl_1", "1", "key_1", "/data"]}
    assert isinstance(busy, TryLater)
    assert (busy.code, busy.retry_after_s) == ("busy", 7.0)
    assert isinstance(refused, BadArguments)
    assert isinstance(broke, OutcomeUnknown)
    assert "raised KeyError" in str(broke)
    assert last == {"said": ["tcl_5", "5", "key_5", "/data"]}


async def test_a_batch_that_fails_as_a_whole_or_loses_an_answer_says_so_of_every_call(
    guest: SandboxedConnector,
) -> None:
    with pytest.raises(Refused, match="none of them"):
        await wished_at_once(guest, ("tell", ""), ("all fail", ""))
    with pytest.raises(OutcomeUnknown, match="raised WrongNumber"):
        await wished_at_once(guest, ("lose one", ""), ("tell", ""))


async def test_an_output_of_a_batch_that_is_too_large_is_too_large_alone(containment: Containment) -> None:
    pool = Pool(containment, Limits(output_bytes=2_000))
    try:
        guest = SandboxedConnector(GUEST, await pool.describe(GUEST), pool)
        large, small = await wished_at_once(guest, ("repeat", "1000"), ("repeat", "800"))
    finally:
        await pool.aclose()
    assert isinstance(large, AnswerTooLarge)
    assert small == {"said": ["x" * 800]}


async def test_requests_go_our_way_and_carry_a_credential_that_it_never_sees(ask: Ask) -> None:
    async with (
        FlakyServer.at() as server,
        GuardedOutbound(private_networks=["127.0.0.1/32"], plain_http=[server.authority]) as outbound,
    ):
        way = WayOut(
            owner="con_1",
            egress=(server.authority,),
            timeout_s=5.0,
            auth=Auth(kind=AuthKind.API_KEY, header="X-Key", prefix=""),
            credential=Credential(secret=SECRET),
        )
        answer = await ask("fetch", f"http://{server.authority}/here", http=outbound.http(way))
        assert answer[:2] == ["200", "{}"]
        assert server.asked[0].headers["x-key"] == SECRET
        assert server.asked[0].headers["x-guest"] == "1"
        with pytest.raises(Refused, match="not among the declared hosts"):
            await ask("fetch", "https://elsewhere.example/", http=outbound.http(way))
        assert len(server.asked) == 1


async def test_a_request_asks_for_what_the_tool_asked_for(ask: Ask) -> None:
    wire = Wire()
    assert await ask("post", "https://api.example.com/", http=wire) == ["200"]
    assert wire.sent == [("POST", "https://api.example.com/", {})]
    assert wire.asked == [{"body": bytes(range(256)), "authorized": False, "timeout_s": 1.5, "max_bytes": 10}]


async def test_many_requests_of_one_call_find_their_answers(ask: Ask) -> None:
    wire = Wire()
    assert await ask("fetch_many", "https://api.example.com", http=wire) == ["hello"] * 20
    assert len({url for _, url, _ in wire.sent}) == 20


@pytest.mark.parametrize(
    "error",
    [
        Refused("no", "egress_denied"),
        TryLater("later", "busy", retry_after_s=3),
        OutcomeUnknown("lost", "lost"),
        AnswerTooLarge("much", "much"),
    ],
)
async def test_what_goes_wrong_with_a_request_is_known_to_the_tool(ask: Ask, error: ToolError) -> None:
    with pytest.raises(type(error)) as raised:
        await ask("fetch", "https://api.example.com/", http=Wire(error))
    assert (str(raised.value), raised.value.code) == (str(error), error.code)


async def test_a_fault_of_ours_shows_it_nothing(ask: Ask) -> None:
    with pytest.raises(OutcomeUnknown) as raised:
        await ask("fetch", "https://api.example.com/", http=Wire(ValueError(SECRET)))
    assert (raised.value.code, SECRET in str(raised.value)) == ("egress_failed", False)


async def test_a_call_that_is_given_up_does_not_cost_an_honest_process(ask: Ask) -> None:
    await ask("stay", "here", tenant="tnt_7")
    wire = Wire()
    task = asyncio.ensure_future(ask("wait", "https://api.example.com/", tenant="tnt_7", http=wire))
    await wire.used.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        while await ask("stay", "here", tenant="tnt_7") != ["here"]:
            pass


@asynccontextmanager
async def a_pool(containment: Containment, **limits: Any) -> AsyncIterator[SandboxedConnector]:
    pool = Pool(containment, Limits(**limits))
    try:
        yield SandboxedConnector(GUEST, await pool.describe(GUEST), pool)
    finally:
        await pool.aclose()


@asynccontextmanager
async def under_way(guest: SandboxedConnector, tenant: str) -> AsyncIterator["asyncio.Task[list[str]]"]:
    """A call that goes on until it is cancelled."""
    wire = Wire()
    task = asyncio.ensure_future(wished(guest, "wait", "https://api.example.com/", tenant, http=wire))
    await wire.used.wait()
    yield task
    task.cancel()
    await asyncio.wait([task])


async def test_calls_at_once_have_a_process_each(guest: SandboxedConnector) -> None:
    before = set(sandboxed())
    async with under_way(guest, "tnt_5"), under_way(guest, "tnt_5"):
        assert len({process.pid for process in set(sandboxed()) - before if process.name() != "bwrap"}) == 2


async def test_a_process_is_replaced_after_its_calls(containment: Containment) -> None:
    async with a_pool(containment, calls=2) as guest:
        assert [await wished(guest, "stay", each) for each in "abc"] == [[""], ["a"], [""]]


@pytest.mark.parametrize("limit", [{"kept_bytes": 1}, {"kept_cpu_s": 0.0}])
async def test_a_process_that_took_much_does_not_stay(containment: Containment, limit: dict[str, Any]) -> None:
    """Memory that it goes on holding, and processor time: what it has left may not be enough for another call."""
    async with a_pool(containment, **limit) as guest:
        assert [await wished(guest, "stay", each) for each in "ab"] == [[""], [""]]


async def test_an_idle_process_ends_by_itself(containment: Containment) -> None:
    before = set(sandboxed())
    async with a_pool(containment, idle_s=0.3) as guest:
        await wished(guest, "stay", "a")
        assert await still_there([*set(sandboxed()) - before]) == []
        assert await wished(guest, "stay", "b") == [""]


async def test_a_tenants_idle_process_makes_room_for_another_tenant(containment: Containment) -> None:
    async with a_pool(containment, processes=1) as guest:
        assert await wished(guest, "stay", "a", "tnt_1") == [""]
        assert await wished(guest, "stay", "b", "tnt_2") == [""]
        assert await wished(guest, "stay", "c", "tnt_1") == [""]


@pytest.mark.parametrize("limit", ["processes", "processes_per_tenant"])
async def test_past_the_bound_calls_wait_for_a_process(containment: Containment, limit: str) -> None:
    async with a_pool(containment, **{limit: 1}) as guest:
        async with under_way(guest, "tnt_1"):
            waiting = asyncio.ensure_future(wished(guest, "think"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await asyncio.shield(waiting)
        assert await waiting == ["4950"]


async def test_one_tenant_at_its_bound_leaves_room_for_another(containment: Containment) -> None:
    async with a_pool(containment, processes_per_tenant=1) as guest, under_way(guest, "tnt_1"):
        assert await wished(guest, "think", tenant="tnt_2") == ["4950"]


async def test_a_pool_that_closes_leaves_nothing_behind(containment: Containment) -> None:
    before = set(sandboxed())
    async with a_pool(containment) as guest:
        await wished(guest, "think")
        async with under_way(guest, "tnt_2"):
            began = [*set(sandboxed()) - before]
    assert began
    assert await still_there(began) == []


REGISTERS = "def register_connectors(register): register(C())"
BROKEN = {
    "raises": ("raise RuntimeError('password=hunter2')", "loading it raised RuntimeError in line 1 of broken.py"),
    "leaves": ("import sys; sys.exit(3)", "loading it raised SystemExit in line 1 of broken.py"),
    "dies": ("import os; os._exit(3)", "ended"),
    "hangs": ("while True: pass", "CPU|too long|ended"),
    "has no hook": ("", "it implements no hook register_connectors"),
    "registers nothing": ("def register_connectors(register): pass", "it registers 0 connectors, not one"),
    "has no manifest": ("def register_connectors(register): register(object())", "raised AttributeError"),
    "lies about its manifest": (
        "class C: manifest = {'name': 'broken'}\n" + REGISTERS,
        "what it calls its manifest is none",
    ),
    "needs what is not offered": ("import psycopg", "loading it raised ModuleNotFoundError"),
    "needs us": ("import fairlead.app", "loading it raised ModuleNotFoundError"),
    "promises nothing that can be told": (
        "from fairlead_sdk import Manifest as M\nclass C: manifest = M(name=7, title='', version='', tools=(7,))\n"
        + REGISTERS,
        "its manifest cannot be described: AttributeError",
    ),
    "forks": ("import os; os.fork()", "loading it raised PermissionError"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_connector_that_cannot_be_loaded_says_why(containment: Containment, tmp_path: Path, name: str) -> None:
    text, reason = BROKEN[name]
    (tmp_path / "broken.py").write_text(text)
    code = Unpacked(name="broken", version="1.0.0", module="broken", folders=(tmp_path,))
    pool = Pool(containment, Limits(start_s=1.0 if name == "hangs" else 10.0))
    with pytest.raises(CannotStart, match=reason) as raised:
        await pool.describe(code)
    assert "hunter2" not in str(raised.value)
    await pool.aclose()


async def test_a_folder_that_is_gone_is_a_call_that_may_be_made_later(containment: Containment, tmp_path: Path) -> None:
    code = Unpacked(name="broken", version="1.0.0", module="broken", folders=(tmp_path / "gone",))
    with pytest.raises(CannotStart):
        await Pool(containment, Limits()).describe(code)


async def test_an_installed_connector_of_somebody_else_is_never_imported_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HOSTILE.folders[0]))
    entry = EntryPoint(name="hostile", value="fairlead_hostile", group=ENTRY_POINT_GROUP)
    codes, lost = third_party(["hostile", "basics"], [entry])
    assert lost == {}
    async with Sandbox() as sandbox:
        contained = await sandbox.connectors(codes)
        connectors = load_connectors(["hostile"], {"hostile": {"folder": "/x"}}, [entry], contained=contained)
        assert connectors.broken == ()
        assert connectors.versions == {"hostile": "6.6.6"}
        assert connectors.settings_of("hostile.try_read") == {"folder": "/x"}
        tool = connectors.tool("hostile.try_read", "tnt_1")
        assert tool is not None
        assert await tool.run({"name": "environment", "target": "PATH"}, A_CALL) == {"taken": []}
    assert "fairlead_hostile" not in sys.modules


async def test_every_process_of_ours_finds_it_in_the_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As it is when somebody has installed it with pip, and its name is allowed."""
    about = tmp_path / "fairlead_hostile-6.6.6.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fairlead-hostile\nVersion: 6.6.6\n")
    (about / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nhostile = fairlead_hostile\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(HOSTILE.folders[0]))
    async with Sandbox() as sandbox:
        found = await installed_connectors(Settings(connectors=("basics", "hostile")), {}, sandbox)
        assert found.broken == ()
        assert found.versions == {"basics": "1.0.0", "hostile": "6.6.6"}
    async with Sandbox("off") as sandbox:
        found = await installed_connectors(Settings(connectors=("basics", "hostile")), {}, sandbox)
        assert [(broken.name, "sandbox" in broken.reason) for broken in found.broken] == [("hostile", True)]
    assert "fairlead_hostile" not in sys.modules


@pytest.mark.parametrize("name", ["environment", "files", "processes", "network", "signal_by_file", "limits"])
async def test_the_attacks_succeed_where_nothing_contains_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a list without spoils says something about the walls."""
    (tmp_path / "secret").write_text(SECRET)
    async with FlakyServer.at() as server:
        targets = {"environment": "PATH", "files": tmp_path / "secret", "network": server.port}
        attack = "import sys; from fairlead_hostile import escapes; print(*getattr(escapes, sys.argv[1])(sys.argv[2]))"
        monkeypatch.setenv("PYTHONPATH", str(HOSTILE.folders[0]))
        target = str(targets.get(name, os.getpid()))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", attack, name, target, stdout=asyncio.subprocess.PIPE
        )
        spoils, _ = await process.communicate()
    assert spoils.strip()


async def test_where_nothing_holds_nothing_of_others_is_run() -> None:
    async with Sandbox("off") as sandbox:
        contained = await sandbox.connectors([GUEST])
    reason = "third-party connectors run in a sandbox only, and none holds here (it is switched off)"
    assert contained == {"guest": reason}


async def test_a_sandbox_without_its_program_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    async with Sandbox("bubblewrap") as sandbox:
        with pytest.raises(Uncontained, match="bubblewrap is not installed"):
            await sandbox.connector(GUEST)
