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
from fairlead.domain.approvals import ApprovalGranted, ApprovalRequested
from fairlead.domain.envelope import StreamRef
from fairlead.domain.runs.events import QuestionAsked, RunCompleted, ToolCallCompleted, ToolCallRequested
from fairlead.ports import AnyRecorded
from tests.support.database import columns
from tests.support.firm import Firm, answered, found
from tests.support.stack import PLUGINS, Stack, connector_variables, running_stack
from tests.support.witness import Witness, whole

RUNS = 300
WITHIN_S = 240.0  # half a minute is usual
KILLS_OF_EACH = 2
COMMITS_BETWEEN = (50, 700)
LONGEST_CALM_S = 4.0  # then somebody is killed although little has happened since
LONGEST_OUTAGE_S = 1.5
SLOW_MS = 60
READ_WITHIN_S = 30.0
SHOWN = 4  # runs that are stuck, and commits of each

ROLES = {"api": ["api"], "engine": ["engine"], "worker-1": ["worker"], "worker-2": ["worker"]}
VICTIMS = ("api", "engine", "worker", "nats", "postgres")
TABLES = ("run_board", "run_commits", "tool_calls", "run_waits", "approvals", "open_work")


def _pay(step: str, minor: str) -> dict[str, Any]:
    arguments = {"reference": f"${{ input.number + '-{step}' }}", "amount_minor": minor}
    return {"id": step, "call": "counterpart.pay", "with": arguments}


def _letter(step: str) -> dict[str, Any]:
    arguments = {"reference": f"${{ input.number + '-{step}' }}", "amount_minor": 1}
    return {"id": step, "call": "counterpart.send_letter", "with": arguments, "timeout_s": 1}


def _echo(step: str, text: str) -> dict[str, Any]:
    return {"id": step, "call": "basics.echo", "with": {"text": text}}


LARGE_MINOR = 10_000
DOCUMENT: dict[str, Any] = {
    "fairlead": 1,
    "name": "settle",
    "goal": "Settle an order while everything dies.",
    "owner": "tests",
    "trigger": {"kind": "api"},
    "input": {"type": "object"},
    "output": {"type": "object"},
    "done_when": ["it is settled"],
    "fail_when": ["it is not"],
    "out_of_scope": ["everything else"],
    "tools": ["basics.echo", "counterpart.pay", "counterpart.send_letter", "counterpart.look"],
    "writes": ["payment", "letter"],
    "policy": {
        "rules": [
            {
                "id": "large",
                "tools": ["counterpart.pay"],
                "when": f"args.amount_minor >= {LARGE_MINOR}",
                "verdict": "require_approval",
                "reason": "large payments need two people",
                "approvals": {"count": 2, "roles": ["reviewer"]},
            },
            {"id": "writes", "effects": ["write"], "verdict": "allow", "reason": "small ones do not"},
        ]
    },
    "steps": [
        _echo("read", "${ input.number }"),
        {
            "id": "fan",
            "parallel": {
                "branches": {
                    "money": [_pay("deposit", "${ 5 }")],
                    "post": [_letter("notice")],
                    "words": [
                        _echo("say", "${ steps.read.output.text }"),
                        _echo("repeat", "${ steps.say.output.text }"),
                    ],
                }
            },
        },
        {"id": "nap", "wait": {"seconds": 1}},
        {"id": "gate", "wait": {"signal": "go"}},
        _pay("rest", "${ input.amount_minor }"),
        {
            "id": "doubt",
            "if": "${ input.ask }",
            "then": [
                {"id": "question", "ask": {"question": "Shall the letter go out?", "schema": {"type": "boolean"}}}
            ],
        },
        _letter("receipt"),
        _echo("close", "${ string(steps.receipt.output.number) }"),
    ],
    "result": {"number": "${ steps.receipt.output.number }"},
}
PAYMENTS, LETTERS = ("deposit", "rest"), ("notice", "receipt")


class Kill(Struct, frozen=True):
    what: str
    after_s: float
    in_flight: int
    outage_s: float


class Scene:
    """The stack, two tenants, and what happens to them."""

    def __init__(self, stack: Stack, core: app.Core, firm: Firm, stranger: Firm, seed: int) -> None:
        self.stack = stack
        self.core = core
        self.firm = firm
        self.stranger = stranger
        self.witness = Witness(core.log)
        self.kills: list[Kill] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.began = time.monotonic()
        self._seed = seed
        self._died = {victim: asyncio.Event() for victim in VICTIMS}
        self._people: asyncio.TaskGroup

    async def play(self) -> None:
        """Returns when every run has ended and every kill has been made."""
        self.began = time.monotonic()
        async with asyncio.TaskGroup() as background:
            watching = background.create_task(self._watch())
            trying = background.create_task(self._stranger_tries())
            async with asyncio.TaskGroup() as group:
                self._people = group
                killing = group.create_task(self._kill_everything())
                await asyncio.gather(*(self._start(number) for number in range(RUNS)))
                await asyncio.gather(*(died.wait() for died in self._died.values()))
                assert len(self.witness.under_way) == RUNS, "nothing can end before the gate"
                for run_id in self.runs:
                    group.create_task(self.firm.signal(run_id, "go"))
                await killing
                await self.witness.until(lambda: len(self.witness.ended) == RUNS)
            trying.cancel()
            watching.cancel()

    async def _watch(self) -> None:
        await self.witness.run(self._react)

    async def _react(self, recorded: AnyRecorded, event: Any) -> None:
        commit = recorded.commit
        match event:
            case ApprovalRequested():
                for signer in range(2):
                    self._people.create_task(self.firm.sign(commit.stream_id, event, signer))
            case QuestionAsked(purpose="step"):
                self._people.create_task(self.firm.answer(commit.stream_id, event, said=True))

    async def _start(self, number: int) -> None:
        given = {
            "number": f"order-{number:03}",
            "amount_minor": LARGE_MINOR if number % 5 == 0 else 700,
            "ask": number % 7 == 0,
        }
        self.runs[await self.firm.start(given)] = given

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self.began

    async def _kill_everything(self) -> None:
        await asyncio.gather(*(self._kill_now_and_then(victim) for victim in VICTIMS))

    async def _kill_now_and_then(self, victim: str) -> None:
        chance = random.Random(f"{self._seed}/{victim}")
        first_at = chance.randint(RUNS // 3, RUNS)
        await self.witness.until(lambda: len(self.witness.under_way) >= first_at)
        for _ in range(KILLS_OF_EACH):
            await self._some_commits(chance.randint(*COMMITS_BETWEEN))
            name = chance.choice(["worker-1", "worker-2"]) if victim == "worker" else victim
            outage_s = chance.uniform(0, LONGEST_OUTAGE_S)
            self.kills.append(Kill(name, self.passed_s, len(self.witness.under_way), outage_s))
            await self.stack.kill(name)
            await asyncio.sleep(outage_s)  # how long it stays dead is part of the draw
            await self.stack.start(name)
            self._died[victim].set()

    async def _some_commits(self, count: int) -> None:
        goal = self.witness.seen + count
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_CALM_S):
                await self.witness.until(lambda: self.witness.seen >= goal)

    async def _stranger_tries(self) -> None:
        """Another tenant reaches for the first one's runs, as long as there is anything to reach for."""
        while True:
            await self.witness.until(lambda: bool(self.witness.under_way))
            await strangers_see_nothing(self.stranger, self.firm, sorted(self.witness.under_way)[:2])
            await asyncio.sleep(0.5)

    async def stuck(self) -> str:
        """What the log says last of runs that did not end."""
        lines = [f"{len(self.witness.under_way)} runs did not end; kills: {self.kills}"]
        for run_id in sorted(self.witness.under_way)[:SHOWN]:
            for recorded in (await self.core.log.read(self.firm.run(run_id)))[-SHOWN:]:
                events = ", ".join(_short(event) for event in recorded.commit.events)
                lines.append(f"{run_id} {recorded.commit.at:%H:%M:%S.%f} {recorded.commit.commit_id}: {events}")
        return "\n".join(lines)


def _short(event: Any) -> str:
    where: str = getattr(event, "call_id", None) or getattr(event, "step", "")
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
    async with (
        running_stack(tmp_path, ROLES, SLOW_MS) as stack,
        app.core(stack.settings, connector_variables(stack.counterpart.url), "test") as core,
    ):
        keys, chance = ApiKeys(pepper(None, stack.settings.data_dir)), random.Random(seed)
        async with (
            found(core, stack.url, keys, "harbour", chance) as firm,
            found(core, stack.url, keys, "stranger", chance) as stranger,
        ):
            await firm.publish(DOCUMENT)
            yield Scene(stack, core, firm, stranger, seed)


async def test_everything_dies_and_nothing_is_lost_or_done_twice(scene: Scene) -> None:
    await _to_the_end(scene)
    _say(f"{RUNS} runs ended {scene.passed_s:.1f} s after the first was asked for")
    for kill in scene.kills:
        _say(f"  {kill.after_s:4.1f} s: killed {kill.what} with {kill.in_flight} in flight, for {kill.outage_s:.1f} s")
    assert all(kill.in_flight for kill in scene.kills), "each death is one in the middle of work"
    await strangers_see_nothing(scene.stranger, scene.firm, sorted(scene.runs)[::30])
    history = await whole(scene.core.log)
    _every_run_completed(scene, history)
    await _every_effect_happened_once(scene, history)
    _the_log_is_whole(history)
    _all_that_was_acknowledged_is_there(scene.firm, history)
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
    assert set(scene.witness.ended) == set(scene.runs)
    endings = Counter(type(ending).__name__ for ending in scene.witness.ended.values())
    assert endings == {RunCompleted.__name__: RUNS}
    granted = [event for _, event in _events(history) if isinstance(event, ApprovalGranted)]
    assert len(granted) == sum(given["amount_minor"] >= LARGE_MINOR for given in scene.runs.values())
    assert all(set(event.approved_by) == set(scene.firm.reviewer_ids) for event in granted)


async def _every_effect_happened_once(scene: Scene, history: Sequence[AnyRecorded]) -> None:
    calls = {event.call_id: event for _, event in _events(history) if isinstance(event, ToolCallRequested)}
    done = Counter(event.call_id for _, event in _events(history) if isinstance(event, ToolCallCompleted))
    assert set(done) == set(calls)
    assert set(done.values()) == {1}
    wanted = {f"{given['number']}-{step}" for given in scene.runs.values() for step in PAYMENTS + LETTERS}
    payments, letters = await scene.stack.counterpart.payments(), await scene.stack.counterpart.letters()
    paid = Counter(payment["reference"] for payment in payments.values())
    sent = Counter({reference: len(numbers) for reference, numbers in letters.items()})
    assert set(payments) == {call_id for call_id, call in calls.items() if call.tool == "counterpart.pay"}
    assert {what: count for what, count in (paid + sent).items() if count != 1} == {}
    assert set(paid + sent) == wanted


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
                await rebuild(scene.core.log, owner, projection)
        assert await _dump(scene.stack) == live


async def _rows_agree(scene: Scene, engine: Database, history: Sequence[AnyRecorded]) -> None:
    async with engine.read(scene.stranger.tenant_id) as tx:
        assert await tx.rows("SELECT run_id FROM run_board UNION SELECT run_id FROM run_commits", None, columns) == []
        assert await tx.rows("SELECT approval_id FROM approvals", None, columns) == []
    async with engine.read(scene.firm.tenant_id) as tx:
        board = await tx.rows("SELECT run_id, status FROM run_board", None, columns)
        timeline = await tx.rows("SELECT sequence, body FROM run_commits ORDER BY sequence", None, columns)
        approvals = await tx.rows("SELECT status, count(*) AS n FROM approvals GROUP BY status", None, columns)
        assert await tx.rows("SELECT run_id FROM open_work", None, columns) == []
        assert await tx.rows("SELECT name, sequence FROM parked_commits", None, columns) == []
    assert {(row["run_id"], row["status"]) for row in board} == {(run_id, "completed") for run_id in scene.runs}
    assert [(row["sequence"], row["body"].encode()) for row in timeline] == [
        (recorded.sequence, recorded.body) for recorded in history if recorded.commit.kind in ("run", "approval")
    ]
    assert approvals == [{"status": "granted", "n": RUNS // 5}]


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
