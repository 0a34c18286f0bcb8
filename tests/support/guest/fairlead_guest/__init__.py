"""An honest connector of somebody else's, which does a little of everything that a tool may do."""

import asyncio
import os
import tempfile
import zoneinfo
from typing import Any

import typing_extensions
from fairlead_sdk import (
    Access,
    Auth,
    AuthKind,
    Call,
    ConfigField,
    Effect,
    Idempotency,
    Manifest,
    NeedsReconnect,
    Refused,
    Scope,
    TryLater,
    hookimpl,
    tool,
)
from fairlead_sdk.hookspecs import Register
from msgspec import Struct

from fairlead_guest.brought import GREETING


class Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    what: str
    where: str = ""

    def __post_init__(self) -> None:
        if self.what == "impossible":
            raise ValueError("it checks itself")


class Granted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    said: list[str]


class TooBusy(TryLater):
    """Its own kind of a known error."""


async def _tell(_: str, call: Call) -> list[str]:
    account = call.connection
    of_account = [account.connection_id, *account.config.values()] if account else []
    return [call.call_id, str(call.attempt), call.idempotency_key, *call.settings.values(), *of_account]


async def _greet(_: str, __: Call) -> list[str]:
    return [GREETING, typing_extensions.__name__, str(zoneinfo.ZoneInfo("Europe/Berlin"))]


async def _fetch(where: str, call: Call) -> list[str]:
    answer = await call.http.send("GET", where, headers={"x-guest": "1"})
    return [str(answer.status), answer.body.decode(), answer.headers.get("content-type", "")]


async def _fetch_many(where: str, call: Call) -> list[str]:
    return [answer[1] for answer in await asyncio.gather(*(_fetch(f"{where}/{number}", call) for number in range(20)))]


async def _post(where: str, call: Call) -> list[str]:
    answer = await call.http.send("POST", where, body=bytes(range(256)), authorized=False, timeout_s=1.5, max_bytes=10)
    return [str(answer.status)]


async def _write(_: str, __: Call) -> list[str]:
    """Leaves its file lying about."""
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(b"x")
    return sorted(name[:3] for name in os.listdir(tempfile.gettempdir()))  # noqa: PTH208


async def _think(_: str, __: Call) -> list[str]:
    return [str(await asyncio.to_thread(sum, range(100)))]


async def _linger(_: str, __: Call) -> list[str]:
    """Leaves something running."""
    asyncio.get_running_loop().lingering = asyncio.create_task(asyncio.sleep(3600))  # type: ignore[attr-defined]
    return []


async def _count(_: str, __: Call) -> list[str]:
    return [str(len(asyncio.all_tasks()))]


async def _wait(where: str, call: Call) -> list[str]:
    """Says when it began, and then waits as an honest tool does: it ends when it is told to."""
    await call.http.send("GET", where)
    await asyncio.sleep(3600)
    return []


async def _stay(where: str, _: Call) -> list[str]:
    """What the call before said; the same process remembers it."""
    before = os.environ.get("GUEST", "")
    os.environ["GUEST"] = where
    return [before]


async def _repeat(where: str, _: Call) -> list[str]:
    return ["x" * int(where)]


async def _fail(where: str, _: Call) -> list[str]:
    raise {
        "busy": TooBusy("come back", "busy", retry_after_s=7),
        "no": Refused("no", "closed"),
        "gone": NeedsReconnect("sign in again", "gone"),
    }[where]


async def _read(arguments: Wish, call: Call) -> Granted:
    return Granted(said=await globals()[f"_{arguments.what}"](arguments.where, call))


async def _found(arguments: Wish, call: Call) -> Granted | None:
    return await _read(arguments, call) if arguments.where else None


async def _shown(arguments: Wish, call: Call) -> dict[str, Any]:
    return {"after": await _tell(arguments.where, call)}


async def _undone(arguments: Wish, output: Granted, _: Call) -> None:
    if output.said != [arguments.where]:
        raise Refused("that is not what was done", "other")


async def _read_many(wishes: list[Wish], calls: list[Call]) -> list[Any]:
    """One after the other, as a service that takes lists would; some wishes are for the batch as a whole."""
    if any(wish.what == "all fail" for wish in wishes):
        raise Refused("none of them", "closed")
    answers: list[Any] = []
    for wish, call in zip(wishes, calls, strict=True):
        try:
            answers.append(await _read(wish, call))
        except Exception as error:  # noqa: BLE001  # whatever it was, it is that wish's alone
            answers.append(error)
    return answers[1:] if any(wish.what == "lose one" for wish in wishes) else answers


@tool(
    "guest.get_wish",
    title="Get a wish",
    effect=Effect.READ,
    idempotency=Idempotency.NATURAL,
    scopes=("read",),
    cache_s=5,
    max_batch=10,
    run_many=_read_many,
)
async def get_wish(arguments: Wish, call: Call) -> Granted:
    """Have a wish granted."""
    return await _read(arguments, call)


@tool(
    "guest.set_wish",
    title="Set a wish",
    effect=Effect.WRITE,
    idempotency=Idempotency.KEY,
    writes=("wish",),
    scopes=("write",),
    verify=_found,
    preview=_shown,
    compensate=_undone,
)
async def set_wish(arguments: Wish, call: Call) -> Granted:
    """Have a wish granted that leaves something behind."""
    return await _read(arguments, call)


class GuestConnector:
    manifest = Manifest(
        name="guest",
        title="Guest",
        version="1.2.3",
        tools=(get_wish, set_wish),
        settings=("folder",),
        auth=Auth(kind=AuthKind.API_KEY, header="X-Key", prefix=""),
        scopes=(
            Scope(name="read", access=Access.READ, title="Read"),
            Scope(name="write", access=Access.WRITE, title="Write"),
        ),
        egress=("api.example.com", "{base_url}"),
        config=(ConfigField(name="base_url", title="Where it is"),),
        calls_per_minute=60,
        max_concurrent=4,
    )


@hookimpl
def register_connectors(register: Register) -> None:
    register(GuestConnector())
