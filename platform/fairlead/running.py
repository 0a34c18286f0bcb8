"""The program as processes: roles against engines that are there, or everything at once on engines of our own."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import structlog
from msgspec import Struct
from msgspec.structs import replace

from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.capability_keys import capability_keys
from fairlead.adapters.children import Child, keep_running, log_file
from fairlead.adapters.dev_file import DevInstance, remove_dev_file, write_dev_file
from fairlead.adapters.engines import EngineUrls, embedded
from fairlead.adapters.garbage import spare_what_stays
from fairlead.adapters.migrations import migrate
from fairlead.adapters.pepper import pepper
from fairlead.adapters.vault.keys import vault_keys
from fairlead.domain.errors import Rejected
from fairlead.first_access import ensure_first_access
from fairlead.ledgers import keys_of
from fairlead.operating import urls_of, with_engines
from fairlead.registry import registry
from fairlead.settings import Settings

READY_WITHIN_S = 30.0
_ASK_EVERY_S = 0.05
_ANSWER_WITHIN_S = 2.0

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
    from fairlead import app

    carry_out = {"api": app.api, "engine": app.engine, "worker": app.worker}
    async with AsyncExitStack() as parts, asyncio.TaskGroup() as tasks:
        core = await parts.enter_async_context(app.core(settings, environment, "-".join(roles)))
        spare_what_stays()
        for role in roles:
            tasks.create_task(carry_out[role](core))
        _log.info("serving", roles=list(roles))


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
        keys_of(settings)
        vault_keys(settings.vault_keys_file, settings.vault_keys, settings.data_dir)  # made once, before many look
        capability_keys(settings.capability_keys_file, settings.data_dir)
        await asyncio.to_thread(migrate, urls.database_owner)
        inherited = {**environment, **child_variables(served)}
        async with asyncio.TaskGroup() as tasks:
            for child in _children(workers):
                tasks.create_task(keep_running(child, inherited, logs))
            async with registry(served, "dev") as found:
                key_file = await ensure_first_access(found.founder, keys, settings.data_dir)
            host = _reachable(served.host)
            await _answers(host, served.port, logs)
            url = f"http://[{host}]:{served.port}" if ":" in host else f"http://{host}:{served.port}"
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


def _reachable(host: str) -> str:
    """Where everybody is listened to, this machine asks itself."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound


async def _answers(host: str, port: int, logs: Path | None) -> None:
    """Returns when the API does. It is started again until it is, so what is amiss is said meanwhile."""
    loop = asyncio.get_running_loop()
    late_at = loop.time() + READY_WITHIN_S
    while not await _is_ready(host, port):
        if loop.time() > late_at:
            late_at = loop.time() + READY_WITHIN_S
            _log.warning("api_does_not_answer_yet", see=str(log_file(logs, "api")) if logs else "above")
        await asyncio.sleep(_ASK_EVERY_S)


async def _is_ready(host: str, port: int) -> bool:
    """Without an HTTP client, whose import would be the longest part of a start."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    with suppress(OSError):
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            status = await reader.readline()
        writer.close()
        return status.split()[1:2] == [b"200"]
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
