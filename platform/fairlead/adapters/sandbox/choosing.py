"""Which containment holds on this machine: one counts only if every attempt to get out of it, from inside, fails."""

import os
import socket
import tempfile
from collections.abc import Sequence
from typing import Literal

from fairlead_sandbox.wire import Try
from msgspec import Struct

from fairlead.adapters.sandbox.child import Child
from fairlead.adapters.sandbox.containment import CONTAINMENTS, Containment, Name
from fairlead.adapters.sandbox.faults import CannotStart
from fairlead.adapters.sandbox.limits import Limits

Wanted = Literal["auto", "bubblewrap", "landlock", "off"]


class Tested(Struct, frozen=True, kw_only=True):
    """`flaw` is why it may not be used; None where it held."""

    name: Name
    flaw: str | None


async def tested(containment: Containment, limits: Limits) -> Tested:
    with (
        tempfile.NamedTemporaryFile(prefix="fairlead-forbidden-") as secret,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        attempt = Try(
            ticket="",
            forbidden_file=secret.name,
            forbidden_port=server.getsockname()[1],
            forbidden_pid=os.getpid(),
        )
        try:
            child = await Child.start(containment, None, limits)
        except CannotStart as why:
            return Tested(name=containment.name, flaw=why.why)
        try:
            possible = await child.try_walls(attempt)
        except CannotStart as why:
            return Tested(name=containment.name, flaw=why.why)
        finally:
            await child.end()
    flaw = f"inside it one could {', '.join(possible)}" if possible else None
    return Tested(name=containment.name, flaw=flaw)


async def choose(wanted: Wanted, limits: Limits) -> tuple[Containment | None, Sequence[Tested]]:
    """The first that holds of those that may be used, and what was found of each that was tried."""
    found: list[Tested] = []
    for containment in CONTAINMENTS:
        if wanted in ("auto", containment.name):
            found.append(await tested(containment, limits))
            if found[-1].flaw is None:
                return containment, found
    return None, found
