"""300 runs in flight while everything that can die does, by SIGKILL, at moments that a seed chooses.

`SURVIVAL_SEED=… pytest tests/acceptance/test_survival.py -s` repeats a draw; the order in which processes then get to
work is still theirs.
"""

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec import Struct
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from fairlead import app
from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.pepper import pepper
from fairlead.adapters.positions import Positions
from fairlead.adapters.postgres import Database
from fairlead.consumers.rebuild import rebuild
from fairlead.domain.approvals import ApprovalGranted
from fairlead.domain.envelope import StreamRef
from fairlead.domain.runs.events import RunCompleted, ToolCallCompleted, ToolCallRequested
from fairlead.ports import AnyRecorded
from tests.support.database import columns
from tests.support.firm import Firm, answered, found
from tests.support.settling import Settling, settling
from tests.support.stack import PLUGINS, Stack
from tests.support.witness import whole

RUNS = 300
WITHIN_S = 240.0  # half a minute is usual
COMMITS_BETWEEN = (20, 500)
LONGEST_CALM_S = 3.0  # then somebody is killed although little has happened since
LONGEST_OUTAGE_S = 1.5
SLOW_MS = 60
READ_WITHIN_S = 30.0
LARGE_EACH, ASKED_EACH = 5, 7
SHOWN = 4  # runs that are stuck, and commits of each

ROLES = {"api": ["api"], "engine": ["engine"], "worker-1": ["worker"], "worker-2": ["worker"]}
VICTIMS = ("api", "engine", "worker", "nats", "postgres")


class Kill(Struct, frozen=True):
    what: str
    after_s: float
    in_flight: int
    outage_s: float


class Scene:
    """A firm at work, somebody who kills, and another tenant."""

    def __init__(self, firm: Settling, stranger: Firm, seed: int) -> None:
        self.settling = firm
        self.stack = firm.stack
        self.witness = firm.witness
        self.stranger = stranger
        self.kills: list[Kill] = []
        self.began = 0.0
        self._seed = seed
        self._gate_open = asyncio.Event()
        self._died = {victim: asyncio.Event() for victim in VICTIMS}

    async def play(self) -> None:
        """Returns when every run has ended and every kill has been made."""
        self.began = time.monotonic()
        async with self.settling.at_work() as people:
            trying = people.create_task(self._stranger_tries())
            killing = asyncio.gather(*(self._kill_now_and_then(victim) for victim in VICTIMS))
            await asyncio.gather(*(self._start(number) for number in range(RUNS)))
            await asyncio.gather(*(died.wait() for died in self._died.values()))
            assert len(self.witness.under_way) == RUNS, "nothing can end before the gate"
            self._gate_open.set()
            for run_id in self.settling.runs:
                people.create_task(self.settling.open_gate(run_id))
            await killing
            await self.witness.until(lambda: len(self.witness.ended) == RUNS)
            trying.cancel()

    async def _start(self, number: int) -> None:
        await self.settling.start(number, large=number % LARGE_EACH == 0, ask=number % ASKED_EACH == 0)

    def kills_of(self, victim: str) -> list[Kill]:
        return [kill for kill in self.kills if kill.what.startswith(victim)]

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self.began

    async def _kill_now_and_then(self, victim: str) -> None:
        """Three times: while runs are started, with all in flight, and on the way to their ends."""
        chance = random.Random(f"{self._seed}/{victim}")
        some = chance.randint(RUNS // 10, RUNS)
        await self.witness.until(lambda: len(self.witness.under_way) >= some)
        await self._kill(victim, chance)
        await self.witness.until(lambda: len(self.witness.under_way) == RUNS)
        await self._kill(victim, chance)
        self._died[victim].set()
        await self._gate_open.wait()
        await self._kill(victim, chance)

    async def _kill(self, victim: str, chance: random.Random) -> None:
        await self._some_commits(chance.randint(*COMMITS_BETWEEN), chance.uniform(0, LONGEST_CALM_S))
        name = chance.choice(["worker-1", "worker-2"]) if victim == "worker" else victim
        outage_s = chance.uniform(0, LONGEST_OUTAGE_S)
        self.kills.append(Kill(name, self.passed_s, len(self.witness.under_way), outage_s))
        await self.stack.kill(name)
        await asyncio.sleep(outage_s)  # how long it stays dead is part of the draw
        await self.stack.start(name)

    async def _some_commits(self, count: int, at_most_s: float) -> None:
        goal = self.witness.seen + count
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self.witness.until(lambda: self.witness.seen >= goal)

    async def _stranger_tries(self) -> None:
        """Another tenant reaches for the first one's runs, as long as there is anything to reach for."""
        while True:
            await self.witness.until(lambda: bool(self.witness.under_way))
            await strangers_see_nothing(self.stranger, self.settling.firm, sorted(self.witness.under_way)[:2])
            await asyncio.sleep(0.5)

    async def stuck(self) -> str:
        """What the log says last of runs that did not end."""
        lines = [f"{len(self.witness.under_way)} runs did not end; kills: {self.kills}"]
        for run_id in sorted(self.witness.under_way)[:SHOWN]:
            for recorded in (await self.settling.core.log.read(self.settling.firm.run(run_id)))[-SHOWN:]:
                events = ", ".join(_short(event) for event in recorded.commit.events)
                lines.append(f"{run_id} {recorded.commit.at:%H:%M:%S.%f} {recorded.commit.commit_id}: {events}")
        return "\n".join(lines)


def _short(event: Any) -> str:
    where = getattr(event, "call_id", "") or getattr(event, "step", "")
    return f"{type(event).__name__} {where.rpartition('-')[2]}"


async def strangers_see_nothing(stranger: Firm, firm: Firm, run_ids: Iterable[str]) -> None:
    answer = await answered(stranger.owner, "POST", "/v1/runs", json={"workflow_id": firm.workflow_id, "input": {}})
    assert answer.status_code == 404, answer.text
    for run_id in run_ids:
        run, approval = f"/v1/runs/{run_id}", f"/v1/approvals/apr_{run_id.partition('_')[2]}"
        signal, yes = {"signal_id": "x", "name": "go"}, {"digest": "x", "comment": "x"}
        for method, path, body in (
            ("GET", run, None),
            ("GET", f"{run}/timeline", None),
            ("GET", f"{run}/state", None),
            ("POST", f"{run}/signals", signal),
            ("POST", f"{run}/cancel", {"reason": "x"}),
            ("POST", f"{approval}-2/approve", yes),
        ):
            answer = await answered(stranger.owner, method, path, json=body)
            assert answer.status_code == 404, (method, path, answer.text)


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("SURVIVAL_SEED", random.SystemRandom().randrange(1_000_000)))
    _say(f"SURVIVAL_SEED={chosen}")
    return chosen


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> AsyncIterator[Scene]:
    monkeypatch.syspath_prepend(PLUGINS)
    chance = random.Random(seed)
    async with settling(tmp_path, ROLES, SLOW_MS, chance) as firm:
        keys = ApiKeys(pepper(None, tmp_path))
        async with found(firm.core, firm.stack.url, keys, "stranger", chance) as stranger:
            yield Scene(firm, stranger, seed)


async def test_everything_dies_and_nothing_is_lost_or_done_twice(scene: Scene) -> None:
    await _to_the_end(scene)
    _say(f"{RUNS} runs ended {scene.passed_s:.1f} s after the first was asked for")
    for kill in scene.kills:
        _say(f"  {kill.after_s:4.1f} s: killed {kill.what} with {kill.in_flight} in flight, for {kill.outage_s:.1f} s")
    assert all(kill.in_flight for kill in scene.kills), "each death is one in the middle of work"
    assert all(sum(kill.in_flight == RUNS for kill in scene.kills_of(victim)) for victim in VICTIMS)
    await strangers_see_nothing(scene.stranger, scene.settling.firm, sorted(scene.settling.runs)[::30])
    history = await whole(scene.settling.core.log)
    _every_run_completed(scene, history)
    await _every_effect_happened_once(scene, history)
    _the_log_is_whole(history)
    _all_that_was_acknowledged_is_there(scene.settling.firm, history)
    await _read_models_agree_with(scene, history)


async def _to_the_end(scene: Scene) -> None:
    playing = asyncio.create_task(scene.play())
    dying = asyncio.create_task(scene.stack.until_a_role_ends())
    done, _ = await asyncio.wait({playing, dying}, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    dying.cancel()
    if playing not in done:
        playing.cancel()
        await asyncio.wait([playing])
        words = dying.result() if dying in done else await scene.stuck()
        pytest.fail(words)
    playing.result()


def _every_run_completed(scene: Scene, history: Sequence[AnyRecorded]) -> None:
    assert set(scene.witness.ended) == set(scene.settling.runs)
    endings = Counter(type(ending).__name__ for ending in scene.witness.ended.values())
    assert endings == {RunCompleted.__name__: RUNS}
    granted = [event for _, event in _events(history) if isinstance(event, ApprovalGranted)]
    assert len(granted) == RUNS // LARGE_EACH
    assert all(set(event.approved_by) == set(scene.settling.firm.reviewer_ids) for event in granted)


async def _every_effect_happened_once(scene: Scene, history: Sequence[AnyRecorded]) -> None:
    calls = {event.call_id: event for _, event in _events(history) if isinstance(event, ToolCallRequested)}
    done = Counter(event.call_id for _, event in _events(history) if isinstance(event, ToolCallCompleted))
    assert set(done) == set(calls)
    assert set(done.values()) == {1}
    payments = await scene.stack.counterpart.payments()
    assert set(payments) == {call_id for call_id, call in calls.items() if call.tool == "counterpart.pay"}
    assert await scene.settling.happened() == scene.settling.wanted()


def _the_log_is_whole(history: Sequence[AnyRecorded]) -> None:
    assert [recorded.sequence for recorded in history] == list(range(1, len(history) + 1))
    versions: defaultdict[StreamRef, int] = defaultdict(int)
    for recorded in history:
        commit = recorded.commit
        assert commit.first_version == versions[commit.stream] + 1
        versions[commit.stream] = commit.last_version
    assert len({recorded.commit.commit_id for recorded in history}) == len(history)


def _all_that_was_acknowledged_is_there(firm: Firm, history: Sequence[AnyRecorded]) -> None:
    by_sequence = {recorded.sequence: recorded.commit for recorded in history}
    for told in firm.acknowledged:
        commit = by_sequence[told.sequence]  # type: ignore[index]
        assert commit.stream == told.stream


async def _read_models_agree_with(scene: Scene, history: Sequence[AnyRecorded]) -> None:
    urls = scene.stack.engines.urls
    async with Database(urls.database_engine) as engine, _positions(urls.database_app) as positions:
        names = [projection.NAME for projection in app.PROJECTIONS]
        assert await positions.reached(names, history[-1].sequence, READ_WITHIN_S)
        assert [(each.name, each.parked) for each in await positions.all() if each.parked] == []
        await _rows_agree(scene, engine, history)
        live = await _dump(scene.stack)
        async with Database(urls.database_owner) as owner:
            for projection in app.PROJECTIONS:
                await rebuild(scene.settling.core.sealed_log, owner, projection)
        assert await _dump(scene.stack) == live


async def _rows_agree(scene: Scene, engine: Database, history: Sequence[AnyRecorded]) -> None:
    async with engine.read(scene.stranger.tenant_id) as tx:
        assert await tx.rows("SELECT run_id FROM run_board UNION SELECT run_id FROM run_commits", None, columns) == []
        assert await tx.rows("SELECT approval_id FROM approvals", None, columns) == []
    async with engine.read(scene.settling.firm.tenant_id) as tx:
        board = await tx.rows("SELECT run_id, status FROM run_board", None, columns)
        timeline = await tx.rows("SELECT sequence, body FROM run_commits ORDER BY sequence", None, columns)
        approvals = await tx.rows("SELECT status, count(*) AS n FROM approvals GROUP BY status", None, columns)
        assert await tx.rows("SELECT run_id FROM open_work", None, columns) == []
        assert await tx.rows("SELECT name, sequence FROM parked_commits", None, columns) == []
    assert {(row["run_id"], row["status"]) for row in board} == {
        (run_id, "completed") for run_id in scene.settling.runs
    }
    assert [(row["sequence"], row["body"].encode()) for row in timeline] == [
        (recorded.sequence, recorded.body) for recorded in history if recorded.commit.kind in ("run", "approval")
    ]
    assert approvals == [{"status": "granted", "n": RUNS // LARGE_EACH}]


async def _dump(stack: Stack) -> dict[str, list[str]]:
    """Rows of every read model, of all tenants, as the superuser sees them."""
    dumped: dict[str, list[str]] = {}
    database = conninfo_to_dict(stack.engines.urls.database_owner)["dbname"]
    async with await psycopg.AsyncConnection.connect(stack.engines.admin_url, dbname=database) as connection:
        for projection in app.PROJECTIONS:
            for table in projection.TABLES:
                statement = sql.SQL("SELECT t::text FROM {} AS t ORDER BY 1").format(sql.Identifier(table))
                dumped[table] = [row for (row,) in await (await connection.execute(statement)).fetchall()]
    return dumped


@asynccontextmanager
async def _positions(url: str) -> AsyncIterator[Positions]:
    async with Database(url) as database:
        positions = Positions(database)
        listening = asyncio.create_task(positions.run())
        try:
            yield positions
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


def _say(line: str) -> None:
    print(line)  # noqa: T201  # pytest shows it when the test fails, and with -s


def _events(history: Sequence[AnyRecorded]) -> Iterable[tuple[AnyRecorded, Any]]:
    return ((recorded, event) for recorded in history for event in recorded.commit.events)
