"""A process that takes all it can get of one limit, and keeps it: `python -m tests.support.taker URL KEY NAME=NUMBER`.

It says how many calls it has begun once it is told to wait for longer than a moment, and ends with its standard input.
"""

import asyncio
import sys

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_streams import ensure_limits
from fairlead.adapters.throttle import LeasingThrottle, NatsLedgers
from fairlead.domain.throttling import Limit
from fairlead.ports import Over

TRIES_S = 0.5  # at a limit of places nobody knows when one is free: so long it is tried


async def main() -> None:
    url, key, limited = sys.argv[1], sys.argv[2], sys.argv[3].partition("=")
    limit = Limit(key=key, **{limited[0]: int(limited[2])})  # type: ignore[arg-type]  # one of its two numbers
    connection = await NatsConnection.open(url)
    await ensure_limits(connection)
    throttle, begun = LeasingThrottle(NatsLedgers(connection)), 0
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + TRIES_S
    while not isinstance(entered := await throttle.enter([limit], "tnt_1"), Over) or loop.time() < give_up_s:
        if isinstance(entered, Over):
            await asyncio.sleep(0.01)
        else:
            begun += 1
    sys.stdout.write(f"{begun}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
