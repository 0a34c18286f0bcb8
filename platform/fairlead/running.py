"""The program as processes: roles against engines that are there, or everything at once on engines of our own."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

import structlog
from msgspec.structs import replace

from fairlead import app
from fairlead.adapters.children import Child, keep_running
from fairlead.adapters.engines import EngineUrls, embedded
from fairlead.adapters.migrations import migrate
from fairlead.domain.errors import Rejected
from fairlead.settings import Settings

_log = structlog.get_logger()


class NoEngines(Rejected):
    """`serve` runs against engines that somebody else runs."""

    code = "no_engines"


async def serve_roles(settings: Settings, environment: Mapping[str, str], roles: Sequence[str]) -> None:
    """Until cancelled. Raises NoEngines, Unavailable when an engine does not answer at the start."""
    if settings.embedded:
        raise NoEngines("name the engines (FAIRLEAD_NATS_URL and the database URLs), or run `fairlead dev`")
    async with AsyncExitStack() as parts, asyncio.TaskGroup() as tasks:
        core = await parts.enter_async_context(app.core(settings, environment, "-".join(roles)))
        for role in roles:
            tasks.create_task(_ROLES[role](core))
        _log.info("serving", roles=list(roles))


_ROLES = {"engine": app.engine, "worker": app.worker}


async def develop(settings: Settings, environment: Mapping[str, str], workers: int) -> None:
    """Engines of our own, and a process for each role, kept running. Until cancelled."""
    async with embedded(settings.data_dir) as urls:
        await asyncio.to_thread(migrate, urls.database_owner)
        inherited = {**environment, **engine_variables(urls, settings)}
        async with asyncio.TaskGroup() as tasks:
            for child in _children(workers):
                tasks.create_task(keep_running(child, inherited))


def _children(workers: int) -> list[Child]:
    stays = "--until-input-ends"
    roles = [Child(name=role, arguments=("serve", role, stays)) for role in ("api", "engine")]
    return roles + [Child(name=f"worker-{number}", arguments=("serve", "worker", stays)) for number in range(workers)]


def engine_variables(urls: EngineUrls, settings: Settings) -> dict[str, str]:
    """What children need to find the engines: environment variables, seen by our own user only."""
    return {
        "FAIRLEAD_DATABASE_URL": urls.database_app,
        "FAIRLEAD_DATABASE_ENGINE_URL": urls.database_engine,
        "FAIRLEAD_DATABASE_OWNER_URL": urls.database_owner,
        "FAIRLEAD_NATS_URL": urls.nats,
        "FAIRLEAD_DATA_DIR": str(settings.data_dir.resolve()),
    }


def with_engines(settings: Settings, urls: EngineUrls) -> Settings:
    """The same settings, with these engines named."""
    return replace(
        settings,
        database_url=urls.database_app,
        database_engine_url=urls.database_engine,
        database_owner_url=urls.database_owner,
        nats_url=urls.nats,
    )
