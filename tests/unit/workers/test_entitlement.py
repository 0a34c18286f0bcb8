"""A worker makes only those calls that an order gives it the right to: this run's, of its tools, within its limits."""

import asyncio
import timeit
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from fairlead.adapters.capability_keys import FILE_NAME, capability_keys
from fairlead.adapters.memory_jobs import MemoryJobs
from fairlead.adapters.vault.keys import VaultKeysInvalid, new_line
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import RunId
from fairlead.domain.runs import obligations as o
from fairlead.domain.runs.capabilities import Capability, NotEntitled, hold_to
from fairlead.domain.runs.states import Active
from fairlead.handling.capabilities import Capabilities, Expired, MarkKey, UnknownKey, marked
from fairlead.workers import tool_worker
from fairlead.workers.tool_worker import MAX_DELIVERIES
from tests.support.books import Books
from tests.support.documents import parallel
from tests.support.platform import MARK_KEY, PAYING, Platform, Process, ended, running
from tests.support.tenancy import TENANT

NEW_KEY = MarkKey("k2", b"n" * 32)
NO_KEY = MarkKey("k9", b"m" * 32)


class Scene:
    """Two runs that wait for their call, and the orders for them."""

    def __init__(self, books: Books, **fields: Any) -> None:
        self.books = books
        self.platform = Platform(books.keyed(), **fields)

    async def begin(self) -> "Scene":
        await self.platform.prepare()
        self.a, self.b = await self.platform.start(), await self.platform.start()
        self.for_a, self.for_b = await self.order(self.a), await self.order(self.b)
        self.platform.jobs._lanes.clear()
        self.platform.jobs._there.clear()
        return self

    async def order(self, run: StreamRef, keys: Sequence[MarkKey] = (MARK_KEY,)) -> o.CallOrder:
        state = (await self.platform.main.handler.load(run)).state
        (order,) = [owed for owed in o.outstanding(TENANT, state) if isinstance(owed, o.CallOrder)]
        return await self.capabilities(*keys).entitled(run, order, state)

    def capabilities(self, *keys: MarkKey) -> Capabilities:
        return Capabilities(keys or (MARK_KEY,), self.platform.main.rulebook, self.platform.clock)

    async def obey(self, order: o.CallOrder) -> Any:
        """What became of run A once this order was served, and another after it."""
        await publish(self.platform.jobs, "first", order)
        await publish(self.platform.jobs, "second", self.for_b)
        async with running(self.platform.main.worker(max_in_flight=1).run()):
            await self.platform.until(self.b, ended)
        return (await self.platform.main.handler.load(self.a)).state


async def publish(jobs: MemoryJobs, name: str, order: o.Order) -> None:
    await jobs.publish("tool", TENANT, name, msgspec.json.encode(order))


def with_right(order: o.CallOrder, **changed: Any) -> o.CallOrder:
    assert order.capability is not None, "it was entitled"
    return replace(order, capability=replace(order.capability, **changed))


async def test_an_order_with_its_right_is_carried_out() -> None:
    scene = await Scene(Books()).begin()
    assert ended(await scene.obey(scene.for_a))
    assert scene.books.total == 2


async def test_the_right_of_one_run_is_worth_nothing_for_another() -> None:
    scene = await Scene(Books()).begin()
    borrowed = replace(scene.for_a, capability=scene.for_b.capability)
    renamed = with_right(borrowed, run_id=scene.a.id)
    assert isinstance(await scene.obey(borrowed), Active)
    assert isinstance(await scene.obey(renamed), Active)
    assert [call.call_id for call in scene.books.requests] == [scene.for_b.call_id]


@pytest.mark.parametrize(
    "changed",
    [
        {"tools": ("bills.pay", "bills.delete")},
        {"max_calls": 10_000},
        {"tenant_id": "tnt_other"},
        {"key_id": NO_KEY.key_id},
        {"mark": "0" * 64},
        {"mark": "über"},
        {"mark": ""},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_a_right_that_was_altered_is_none(changed: dict[str, Any]) -> None:
    scene = await Scene(Books()).begin()
    before = await scene.platform.history(scene.a)
    assert isinstance(await scene.obey(with_right(scene.for_a, **changed)), Active)
    assert await scene.platform.history(scene.a) == before


async def test_a_right_that_was_altered_where_it_was_made_is_none_either() -> None:
    scene = await Scene(Books()).begin()
    capabilities = scene.capabilities()
    state = (await scene.platform.main.handler.load(scene.a)).state
    made = await capabilities.entitled(scene.a, scene.for_a, state)
    capabilities.check(made)
    with pytest.raises(NotEntitled):
        capabilities.check(with_right(made, max_calls=10_000))
    with pytest.raises(NotEntitled):
        capabilities.check(replace(scene.for_b, capability=made.capability))
    scene.platform.clock.forward(timedelta(days=400))
    with pytest.raises(Expired):
        capabilities.check(made)


async def test_a_right_cannot_be_prolonged() -> None:
    scene = await Scene(Books()).begin()
    assert scene.for_a.capability is not None
    expires_at = scene.for_a.capability.expires_at + timedelta(days=1)
    assert isinstance(await scene.obey(with_right(scene.for_a, expires_at=expires_at)), Active)


async def test_an_order_without_a_right_does_nothing_and_the_watch_sends_it_with_one() -> None:
    scene = await Scene(Books()).begin()
    state = await scene.obey(replace(scene.for_a, capability=None))
    assert isinstance(state, Active)
    platform = scene.platform
    await platform.main.dispatch.send(scene.a, o.outstanding(TENANT, state), state)
    async with running(platform.main.worker().run()):
        assert (await platform.until(scene.a, ended)).outcome == "completed"


async def test_a_right_ends_with_its_run_which_is_told() -> None:
    scene = await Scene(Books()).begin()
    scene.platform.clock.forward(timedelta(days=400))
    assert (await scene.obey(scene.for_a)).outcome == "expired"
    assert scene.books.total == 0


async def test_a_tool_that_the_workflow_does_not_list_is_not_called_even_where_the_run_wants_it() -> None:
    scene = await Scene(Books()).begin()
    narrow = with_right(scene.for_a, tools=("bills.list",))
    assert narrow.capability is not None, "as above"
    narrow = replace(narrow, capability=marked(narrow.capability, MARK_KEY))
    assert isinstance(await scene.obey(narrow), Active)


def test_it_is_held_to_its_tools_and_to_the_number_of_calls() -> None:
    right = Capability(
        tenant_id=TENANT, run_id=RunId("run_1"), tools=("a.b",), max_calls=3, expires_at=Platform().clock.now()
    )
    hold_to(right, "a.b", 3)
    for refused in ((right, "a.c", 1), (right, "a.b", 4), (None, "a.b", 1)):
        with pytest.raises(NotEntitled):
            hold_to(*refused)


async def test_a_key_can_be_changed_while_runs_are_under_way() -> None:
    scene = await Scene(Books()).begin()
    marked_before, marked_after = scene.for_a, await scene.order(scene.a, (NEW_KEY, MARK_KEY))
    for knows_both in (scene.capabilities(MARK_KEY, NEW_KEY), scene.capabilities(NEW_KEY, MARK_KEY)):
        knows_both.check(marked_before)
        knows_both.check(marked_after)
    with pytest.raises(UnknownKey, match="k2"):
        scene.capabilities(MARK_KEY).check(marked_after)


async def test_an_order_marked_with_a_key_that_only_others_have_is_left_to_them_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool_worker, "RETRY_ORDER_S", 0.0)
    scene = await Scene(Books()).begin()
    seen, enough = [], asyncio.Event()
    check = scene.platform.main.capabilities.check

    def counted(order: o.ToolOrder) -> None:
        seen.append(order.run_id)
        if len(seen) == MAX_DELIVERIES:
            enough.set()
        check(order)

    monkeypatch.setattr(scene.platform.main.capabilities, "check", counted)
    await publish(scene.platform.jobs, "strange", await scene.order(scene.a, (NO_KEY,)))
    async with running(scene.platform.main.worker().run()):
        await enough.wait()
        await publish(scene.platform.jobs, "known", scene.for_b)
        await scene.platform.until(scene.b, ended)
    assert seen.count(scene.for_a.run_id) == MAX_DELIVERIES
    assert scene.books.total == 1


async def test_a_right_that_has_expired_says_so() -> None:
    scene = await Scene(Books()).begin()
    scene.platform.clock.forward(timedelta(days=400))
    with pytest.raises(Expired):
        scene.capabilities().check(scene.for_a)


async def test_calls_that_a_worker_keeps_and_calls_side_by_side_have_their_right_too() -> None:
    books = Books()
    one, two = ([PAYING | {"id": f"side{number}"}] for number in range(2))
    steps = [PAYING, PAYING | {"id": "then"}, parallel("all", one=one, two=two)]
    async with Platform(books.keyed(), steps=steps).at_work(workers=2) as platform:
        run = await platform.start()
        assert (await platform.until(run, ended)).outcome == "completed"
    assert books.total == 4


async def test_a_right_costs_little() -> None:
    """Made with the order and checked by the worker, at most 20 µs together."""
    scene = await Scene(Books()).begin()
    capabilities, times = scene.capabilities(), 200
    state = (await scene.platform.main.handler.load(scene.a)).state
    decode = msgspec.json.Decoder(o.Order).decode
    plain = replace(scene.for_a, capability=None)

    def bare() -> None:
        decode(msgspec.json.encode(plain))

    def entitled() -> None:
        making = capabilities.entitled(scene.a, plain, state)
        try:
            making.send(None)
        except StopIteration as made:
            order = decode(msgspec.json.encode(made.value))
            assert not isinstance(order, o.WithdrawOrder)
            capabilities.check(order)

    def fastest_us(what: Any) -> float:
        return min(timeit.repeat(what, number=times, repeat=20)) / times * 1_000_000

    entitled()  # made once for the run
    assert fastest_us(entitled) - fastest_us(bare) < 20


def test_a_key_is_made_once_in_the_data_directory(tmp_path: Path) -> None:
    made = capability_keys(None, tmp_path / "data")
    assert capability_keys(None, tmp_path / "data") == made
    assert (tmp_path / "data" / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in (tmp_path / "data").iterdir()] == [FILE_NAME]
    assert repr(made[0]) == f"MarkKey({made[0].key_id!r})"


def test_keys_are_read_from_a_file_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{new_line()}\n{new_line()}\n")
    assert len(capability_keys(file, tmp_path)) == 2
    file.write_text("nonsense")
    with pytest.raises(VaultKeysInvalid):
        capability_keys(file, tmp_path)


async def test_two_processes_of_one_installation_believe_each_other() -> None:
    books = Books()
    platform = Platform(books.keyed())
    await platform.prepare()
    run = await platform.start()
    async with running(Process(platform, platform.tools).worker("w2").run()):
        assert (await platform.until(run, ended)).outcome == "completed"
