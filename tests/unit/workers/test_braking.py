"""Switches at the moment of effect: denied, paused, put back, taken back; and everything goes on when released."""

import asyncio
from typing import Any

import pytest
from fairlead_sdk.errors import Refused
from fairlead_tenants.ids import PrincipalId, TenantId

from fairlead.domain.connectors.catalogue import INSTALLATION
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import RunId
from fairlead.domain.runs import events as e
from fairlead.domain.runs.commands import PauseRun
from fairlead.domain.runs.states import Active, Ended
from fairlead.domain.switches import board as b
from fairlead.domain.throttling import Limit
from fairlead.handling.switching import StartsStopped, SwitchesUnknown
from fairlead.workers import braking, tool_worker
from fairlead.workers.gates import Asked, PutBack
from fairlead.workers.switch_keeper import SwitchKeeper
from tests.support.books import Books
from tests.support.connectors import tool
from tests.support.platform import FREELY, PAYING, Platform, ended, running
from tests.support.tenancy import TENANT

ALL_OF_IT = b.Target("tenant", TENANT)


async def switch(platform: Platform, *modes: b.Mode, target: b.Target = ALL_OF_IT, holder: TenantId = TENANT) -> None:
    setting = b.SetSwitch(
        target=target, modes=modes, reason="a hole", set_by=PrincipalId("prn_ann"), now=platform.clock.now()
    )
    await platform.main.switching.change(holder, setting, platform.cause())


async def release(platform: Platform, target: b.Target = ALL_OF_IT, holder: TenantId = TENANT) -> None:
    await platform.main.switching.change(holder, b.ReleaseSwitch(target=target, reason="mended"), platform.cause())


class OneRun:
    """The read model, as far as the keeper needs it."""

    def __init__(self, run: StreamRef) -> None:
        self._found = [(run.tenant_id, RunId(run.id))]

    async def after(self, place: tuple[str, str], limit: int) -> list[tuple[TenantId, RunId]]:
        return [each for each in self._found if each > place][:limit]


def keeper(platform: Platform, run: StreamRef) -> SwitchKeeper:
    main = platform.main
    return SwitchKeeper(platform.switches, main.switching, main.brake, OneRun(run), main.handler, platform.clock)


def is_paused(state: Any) -> bool:
    return isinstance(state, Active) and state.paused is not None


def is_held(state: Any) -> bool:
    return isinstance(state, Active) and any(call.held is not None for call in state.calls.values())


async def begun(platform: Platform) -> StreamRef:
    """A run whose call is queued and that nobody works on yet."""
    await platform.prepare()
    return await platform.start()


@pytest.mark.parametrize("mode", ["deny_writes", "deny_all"])
async def test_a_write_that_is_switched_off_after_it_was_queued_is_denied_untouched(mode: b.Mode) -> None:
    books = Books()
    platform = Platform(books.keyed())
    run = await begun(platform)
    await switch(platform, mode)
    async with running(platform.main.worker().run()):
        state = await platform.until(run, ended)
    assert (state.ending.code, books.total) == ("denied_by_switch", 0)
    (denied,) = [event for event in await platform.history(run) if isinstance(event, e.ToolCallDenied)]
    assert (denied.by, denied.rule_id, "a hole" in denied.reason) == ("switch", f"switch.{mode}", True)


async def test_safe_mode_lets_reads_through() -> None:
    platform = Platform(Books().reading())
    run = await begun(platform)
    await switch(platform, "deny_writes")
    async with running(platform.main.worker().run()):
        assert (await platform.until(run, ended)).outcome == "completed"


async def test_a_paused_run_says_which_switch_and_goes_on_by_itself_once_released() -> None:
    books, bills = Books(), b.Target("connector", "bills")
    platform = Platform(books.unkeyed())
    run = await begun(platform)
    await switch(platform, "pause_runs", target=bills, holder=INSTALLATION)
    async with running(platform.main.worker().run()):
        paused = await platform.until(run, is_paused)
        assert (paused.paused_by, paused.paused, books.total) == ("connector:bills", "a hole", 0)
        await keeper(platform, run).look()
        assert is_paused((await platform.main.handler.load(run)).state), "the switch is still on"
        await release(platform, bills, INSTALLATION)
        await keeper(platform, run).look()
        assert (await platform.until(run, ended)).outcome == "completed"
    assert books.total == 1


async def test_what_a_person_has_paused_too_stays_paused_when_the_switch_is_released() -> None:
    platform = Platform(Books().keyed())
    run = await begun(platform)
    await switch(platform, "pause_runs")
    async with running(platform.main.worker().run()):
        await platform.until(run, is_paused)
    await platform.handle(run, PauseRun(reason="wait for me", now=platform.clock.now()))
    await release(platform)
    await keeper(platform, run).look()
    assert (await platform.main.handler.load(run)).state.paused == "wait for me"


async def test_while_nothing_is_known_of_switches_nothing_is_done_and_no_run_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(braking, "UNKNOWN_S", 0.01)
    monkeypatch.setattr(tool_worker, "PARK_S", 0.0)
    books = Books()
    platform = Platform(books.keyed())
    run = await begun(platform)
    platform.switches.is_known = False
    async with running(platform.main.worker().run()):
        held = await platform.until(run, is_held)
        (call,) = held.calls.values()
        assert (call.held.held_for, call.held.subject, books.total) == ("switch", "switches_unknown", 0)
        with pytest.raises(SwitchesUnknown):
            await platform.start()
        platform.switches.is_known = True
        assert (await platform.until(run, ended)).outcome == "completed"
    assert books.total == 1


@pytest.mark.parametrize("mode", ["stop_starts", "pause_runs", "deny_all"])
async def test_a_switch_stops_new_runs_and_says_so(mode: b.Mode) -> None:
    platform = Platform(Books().keyed())
    await platform.prepare()
    await switch(platform, mode)
    with pytest.raises(StartsStopped, match="a hole"):
        await platform.start()
    await release(platform)
    await platform.start()


async def test_a_call_that_was_marked_when_the_switch_came_is_known_not_to_have_been_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mark of a call that cannot be repeated would else read as an outcome that was lost."""
    monkeypatch.setattr(braking, "STOPPED_S", 0.01)
    books = Books()
    platform = Platform(books.unkeyed())
    run = await begun(platform)

    async def meanwhile(_: Asked) -> tuple[Limit, ...]:
        """Asked for after the decision about the call, and before its mark."""
        await switch(platform, "deny_all")
        return ()

    async with running(platform.main.worker(gates=platform.main.gates("w1", limits_of=meanwhile)).run()):
        state = await platform.until(run, ended)
    history = [type(event) for event in await platform.history(run)]
    assert history.count(e.ToolCallStarted) == 1
    assert (state.ending.code, books.total) == ("denied_by_switch", 0)
    assert e.ToolCallOutcomeUnknown not in history


async def test_a_call_that_was_taken_back_is_made_when_the_switch_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books()
    platform = Platform(books.unkeyed())
    run = await begun(platform)
    looked = seen(monkeypatch)

    async def meanwhile(_: Asked) -> tuple[Limit, ...]:
        if not looked.is_set():
            await switch(platform, "pause_runs")
        return ()

    async with running(platform.main.worker(gates=platform.main.gates("w1", limits_of=meanwhile)).run()):
        assert not (await platform.until(run, is_paused)).questions
        await release(platform)
        await keeper(platform, run).look()
        assert (await platform.until(run, ended)).outcome == "completed"
    assert books.total == 1


async def test_undoing_waits_for_the_switch_and_is_done_when_it_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    books, looked = Books(), seen(monkeypatch)

    async def close(_: Any, __: Any) -> Any:
        await switch(platform, "deny_writes")
        raise Refused("closed", "closed")

    steps = [PAYING, {"id": "close", "call": "bills.close", "with": {"number": "1", "amount": 1}}]
    platform = Platform(
        books.keyed(compensate=books.refund), tool("bills.close", run=close), policy=FREELY, steps=steps
    )
    async with platform.at_work():
        run = await platform.start()
        await looked.wait()
        assert not books.undone
        await release(platform)
        state = await platform.until(run, lambda state: isinstance(state, Ended) and state.undoing.status == "done")
    assert (state.outcome, len(books.undone)) == ("failed", 1)


def seen(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a worker has found that something is to wait for a switch, which it then soon looks at again."""
    looked = asyncio.Event()

    def held_by(subject: str) -> PutBack:
        looked.set()
        return PutBack(0.01, "switch", subject)

    monkeypatch.setattr(tool_worker, "held_by", held_by)
    return looked
