"""The demonstration: real engines, real documents, people who sign, and a worker that is killed in the middle."""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.live import Live

from demo.cast import Reviewers
from demo.client import Client
from demo.erp import EXAMPLE, Erp, erp
from demo.people import Company, Staffing
from demo.proving import prove
from demo.refunding import desk, refund
from demo.screen import Screen
from demo.stopping import stop_for_a_moment
from demo.story import STORY, Chapter
from fairlead import app
from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.dev_file import read_dev_file
from fairlead.adapters.pepper import pepper
from fairlead.logs import configure
from fairlead.operating import with_engines
from fairlead.running import Ready, develop
from fairlead.settings import Settings, from_environment

DATA = Path(".fairlead") / "demo"
ENDED = {"completed", "failed", "impossible", "cancelled", "capped", "expired"}
KILL_WHEN_ENDED = 3
STOP_WHEN_ENDED = 5
WITHIN_S = 180.0
LOOK_EVERY_S = 0.3
WIDTH = 130


async def main(screen: Screen, stay: bool) -> int:
    """0 when every document ended as it should."""
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(mode=0o700, parents=True)
    async with erp(DATA / "erp") as customer:
        own = {"FAIRLEAD_DATA_DIR": str(DATA), "FAIRLEAD_PORT": "0"}
        environment = {**os.environ, **customer.settings(), **desk(DATA / "desk"), **own}
        settings = from_environment(environment)
        async with _platform(settings, environment) as ready:
            screen.say(f"Fairlead answers at {ready.url}; PostgreSQL and nats-server run beside it.\n")
            failures = await _tell(screen, settings, environment, customer, ready)
            if stay:
                screen.say("It stays up until you press Ctrl-C.", "bold")
                await asyncio.Event().wait()
    return 1 if failures else 0


@asynccontextmanager
async def _platform(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Ready]:
    """What `fairlead dev` runs, for as long as the block lasts."""
    answers: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(develop(settings, environment, 2, answers.set_result, settings.data_dir / "logs"))
    try:
        running.add_done_callback(lambda _: answers.cancel())  # what went wrong is raised below
        try:
            ready = await answers
        except asyncio.CancelledError:
            await running
            raise
        yield ready
    finally:
        running.cancel()
        await asyncio.wait([running])


async def _tell(
    screen: Screen, settings: Settings, environment: Mapping[str, str], customer: Erp, ready: Ready
) -> list[str]:
    company = await _founded(settings, environment)
    documents = await customer.furnish(company.tenant_id)
    async with AsyncExitStack() as clients:
        people = {
            name: await _entered(clients, Client(ready.url, person.key))
            for name, person in (("olga", company.olga), ("rana", company.rana), ("ruben", company.ruben))
        }
        workflow = await _published(people["olga"])
        screen.say(
            f"Workflow {workflow['name']} version {workflow['version']} is published; its agent acts for itself.\n"
        )
        runs = await _started(people["olga"], workflow["workflow_id"], documents)
        async with asyncio.TaskGroup() as together:
            reviewing = together.create_task(Reviewers(people, runs, screen.show_difference).work())
            stop = partial(
                stop_for_a_moment, screen, people["olga"], workflow["workflow_id"], documents[STORY[0].document]
            )
            seen = await _watched(screen, people["olga"], runs, stop)
            reviewing.cancel()
        exports = await _exported(people["olga"], runs)
        failures = _judged(runs, seen) + await prove(screen, people["olga"], exports)
        failures += await refund(screen, people["olga"])
    screen.console.print(screen.ending(company.key_file.resolve(), exports, DATA))
    for failure in failures:
        screen.say(failure, "bold red")
    return failures


async def _founded(settings: Settings, environment: Mapping[str, str]) -> Company:
    instance = read_dev_file(settings.data_dir)
    assert instance is not None, "the platform has just said that it is ready"
    keys = ApiKeys(pepper(settings.pepper_file, settings.data_dir))
    async with app.core(with_engines(settings, instance.engines), environment, "demo") as core:
        return await Staffing(core, keys).found(DATA / "owner-key")


async def _entered(clients: AsyncExitStack, client: Client) -> Client:
    clients.push_async_callback(client.close)
    return client


async def _published(owner: Client) -> dict[str, Any]:
    text = (EXAMPLE / "workflow.yaml").read_text()
    published: dict[str, Any] = await owner.put(
        "/v1/workflows/invoice-match", text, "application/yaml", reason="first version"
    )
    return published


async def _started(owner: Client, workflow_id: str, documents: Mapping[str, str]) -> dict[str, Chapter]:
    runs: dict[str, Chapter] = {}
    for chapter in STORY:
        body = {"workflow_id": workflow_id, "input": {"document": documents[chapter.document]}}
        run = await owner.post("/v1/runs", body)
        runs[run["run_id"]] = chapter
    return runs


async def _watched(
    screen: Screen, owner: Client, runs: Mapping[str, Chapter], stop: Callable[[], Awaitable[None]]
) -> dict[str, dict[str, Any]]:
    """Until every run has ended. A worker is killed once the first few have, and soon afterwards everything stops."""
    seen: dict[str, dict[str, Any]] = {}
    killed = stopped = False
    async with asyncio.timeout(WITHIN_S):
        with Live(screen.table(runs, seen), console=screen.console, refresh_per_second=8) as live:
            while (ended := sum(run["status"] in ENDED for run in seen.values())) < len(runs):
                for run_id in runs:
                    if seen.get(run_id, {}).get("status") not in ENDED:
                        seen[run_id] = await owner.get(f"/v1/runs/{run_id}")
                live.update(screen.table(runs, seen))
                if not killed and ended >= KILL_WHEN_ENDED:
                    killed = True
                    screen.say(f"  worker {_kill_a_worker()} is killed (SIGKILL); its work goes on elsewhere", "red")
                elif not stopped and ended >= STOP_WHEN_ENDED:
                    stopped = True
                    await stop()
                await asyncio.sleep(LOOK_EVERY_S)
    return seen


def _kill_a_worker() -> int:
    for child in psutil.Process().children(recursive=True):
        if "worker" in child.cmdline():
            child.kill()
            return child.pid
    raise AssertionError("the platform runs two workers")


async def _exported(owner: Client, runs: Mapping[str, Chapter]) -> Path:
    exports = DATA / "timelines"
    exports.mkdir()
    for run_id, chapter in runs.items():
        for form in ("json", "csv"):
            file = exports / f"{Path(chapter.document).stem}.{form}"
            await owner.download(f"/v1/runs/{run_id}/export", file, format=form)
    return exports


def _judged(runs: Mapping[str, Chapter], seen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    failures = []
    for run_id, chapter in runs.items():
        run = seen[run_id]
        outcome = (run.get("output") or {}).get("outcome")
        if (run["status"], outcome) != (chapter.ends, chapter.outcome):
            failures.append(f"{chapter.document}: {run['status']} {outcome}, not {chapter.ends} {chapter.outcome}")
    return failures


def console() -> Console:
    """As wide as the table where nobody looks at a terminal."""
    return Console() if sys.stdout.isatty() else Console(width=WIDTH)


def command_line() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="stay up at the end, until Ctrl-C")
    arguments = parser.parse_args()
    configure("error")
    try:
        return asyncio.run(main(Screen(console()), arguments.stay))
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(command_line())
