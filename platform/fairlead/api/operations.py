"""For those who run the program, not for tenants: is it alive, can it work, what does it measure, what can it do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST

from fairlead.api.guards import ALSO, for_anybody
from fairlead.api.metrics import Metrics
from fairlead.api.openapi import document
from fairlead.api.parts import ApiParts
from fairlead.domain.errors import Unavailable

CHECK_S = 2.0
OPENAPI_MEDIA_TYPE = "application/vnd.oai.openapi+json;version=3.1"


class Health(Struct, frozen=True):
    status: str


class Readiness(Struct, frozen=True, kw_only=True):
    """`ok` or `unavailable` for each engine. Without the database writes go on and reads are refused."""

    log: str
    database: str


@get("/healthz", opt=for_anybody(), sync_to_thread=False, tags=["Operations"])
def healthz() -> Health:
    """The process answers."""
    return Health("ok")


@get("/readyz", opt=for_anybody() | {ALSO: (503,)}, tags=["Operations"])
async def readyz(parts: NamedDependency[ApiParts]) -> Response[Readiness]:
    """Whether the log and the database answer; 503 when one does not, or when the process is about to stop."""
    log, database = await asyncio.gather(_answers(parts.log.last_sequence), _answers(lambda: _touch(parts)))
    ready = log and database and not parts.closing.is_set()
    return Response(Readiness(log=_word(log), database=_word(database)), status_code=200 if ready else 503)


@get("/metrics", opt=for_anybody(), include_in_schema=False)
async def metrics(parts: NamedDependency[ApiParts], counted: NamedDependency[Metrics]) -> Response[bytes]:
    return Response(await counted.text(parts), media_type=CONTENT_TYPE_LATEST)


@get("/openapi.json", opt=for_anybody(), include_in_schema=False, sync_to_thread=False)
def openapi() -> Response[dict[str, Any]]:
    return Response(document(), media_type=OPENAPI_MEDIA_TYPE)


async def _touch(parts: ApiParts) -> None:
    async with parts.database.platform() as tx:
        await tx.run("SELECT 1")


async def _answers(ask: Callable[[], Awaitable[Any]]) -> bool:
    try:
        async with asyncio.timeout(CHECK_S):
            await ask()
    except (Unavailable, TimeoutError):
        return False
    return True


def _word(answers: bool) -> str:
    return "ok" if answers else "unavailable"
