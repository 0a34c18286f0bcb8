"""The program as processes: roles against engines that are there, or everything at once on engines of our own."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import structlog
from msgspec import Struct
from msgspec.structs import replace

from fairlead import app
from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.children import Child, keep_running, log_file
from fairlead.adapters.dev_file import DevInstance, remove_dev_file, write_dev_file
from fairlead.adapters.engines import EngineUrls, embedded
from fairlead.adapters.migrations import migrate
from fairlead.adapters.pepper import pepper
from fairlead.domain.errors import Rejected
from fairlead.first_access import ensure_first_access
from fairlead.operating import urls_of, with_engines
from fairlead.settings import Settings

READY_WITHIN_S = 30.0
_ASK_EVERY_S = 0.05

_log = structlog.get_logger()


class NoEngines(Rejected):
    """`serve` runs against engines that somebody else runs."""

    code = "no_engines"


class PortTaken(Rejected):
    """Something else listens where the API would."""

    code = "port_taken"


class Ready(Struct, frozen=True, kw_only=True):
    """Where the API answers, the file with a key for it, and where the processes write."""

    url: str
    key_file: Path
    logs: Path | None


async def serve_roles(settings: Settings, environment: Mapping[str, str], roles: Sequence[str]) -> None:
    """Until cancelled. Raises NoEngines, Unavailable when an engine does not answer at the start."""
    if settings.embedded:
        raise NoEngines("name the engines (FAIRLEAD_NATS_URL and the database URLs), or run `fairlead dev`")
    async with AsyncExitStack() as parts, asyncio.TaskGroup() as tasks:
        core = await parts.enter_async_context(app.core(settings, environment, "-".join(roles)))
        for role in roles:
            tasks.create_task(_ROLES[role](core))
        _log.info("serving", roles=list(roles))


_ROLES = {"api": app.api, "engine": app.engine, "worker": app.worker}


async def develop(
    settings: Settings,
    environment: Mapping[str, str],
    workers: int,
    on_ready: Callable[[Ready], None],
    logs: Path | None,
) -> None:
    """Engines of our own, and a process for each role, kept running. Until cancelled. Raises PortTaken."""
    async with embedded(settings.data_dir) as urls, _described(settings.data_dir, urls) as instance:
        served = with_engines(replace(settings, port=_free_port(settings)), urls)
        keys = ApiKeys(pepper(settings.pepper_file, settings.data_dir))
        await asyncio.to_thread(migrate, urls.database_owner)
        inherited = {**environment, **child_variables(served)}
        async with asyncio.TaskGroup() as tasks:
            for child in _children(workers):
                tasks.create_task(keep_running(child, inherited, logs))
            async with app.core(served, environment, "dev") as core:
                key_file = await ensure_first_access(core, keys, settings.data_dir)
            url = f"http://{_host_in_url(served.host)}:{served.port}"
            await _answers(url, logs)
            write_dev_file(settings.data_dir, replace(instance, url=url))
            on_ready(Ready(url=url, key_file=key_file, logs=logs))


@asynccontextmanager
async def _described(data_dir: Path, urls: EngineUrls) -> AsyncIterator[DevInstance]:
    """Operator's commands find the engines while they run, also when the API does not."""
    instance = DevInstance(pid=os.getpid(), engines=urls)
    write_dev_file(data_dir, instance)
    try:
        yield instance
    finally:
        remove_dev_file(data_dir)


def _free_port(settings: Settings) -> int:
    """The one that is set, or any free one for 0: fixed for as long as we run, whoever starts the API again."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            message = (
                f"{settings.host} port {settings.port} cannot be listened on ({error.strerror}): set FAIRLEAD_PORT"
            )
            raise PortTaken(f"{message} to another one, or to 0 for any") from error
        port: int = probe.getsockname()[1]
        return port


def _host_in_url(host: str) -> str:
    """Where everybody is listened to, this machine asks itself."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    return f"[{host}]" if ":" in host else host


async def _answers(url: str, logs: Path | None) -> None:
    """Returns when the API does. It is started again until it is, so what is amiss is said meanwhile."""
    loop = asyncio.get_running_loop()
    late_at = loop.time() + READY_WITHIN_S
    async with httpx2.AsyncClient(trust_env=False, timeout=1.0) as client:
        while not await _is_ready(client, url):
            if loop.time() > late_at:
                late_at = loop.time() + READY_WITHIN_S
                where = str(log_file(logs, "api")) if logs else "above"
                _log.warning("api_does_not_answer_yet", url=url, see=where)
            await asyncio.sleep(_ASK_EVERY_S)


async def _is_ready(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/readyz")).is_success
    except httpx2.TransportError:
        return False


def _children(workers: int) -> list[Child]:
    stays = "--until-input-ends"
    roles = [Child(name=role, arguments=("serve", role, stays)) for role in ("api", "engine")]
    return roles + [Child(name=f"worker-{number}", arguments=("serve", "worker", stays)) for number in range(workers)]


def child_variables(settings: Settings) -> dict[str, str]:
    """What children need to find the engines and each other: environment variables, seen by our own user only."""
    urls = urls_of(settings)
    return {
        "FAIRLEAD_DATABASE_URL": urls.database_app,
        "FAIRLEAD_DATABASE_ENGINE_URL": urls.database_engine,
        "FAIRLEAD_DATABASE_OWNER_URL": urls.database_owner,
        "FAIRLEAD_NATS_URL": urls.nats,
        "FAIRLEAD_DATA_DIR": str(settings.data_dir.resolve()),
        "FAIRLEAD_PORT": str(settings.port),
    }
