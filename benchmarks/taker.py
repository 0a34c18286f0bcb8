"""A process that makes as many calls as a limit lets it: `python -m benchmarks.taker URL A_MINUTE SECONDS`.

It asks again when it is told to, and says when each call began, by the clock of the machine.
"""

import asyncio
import sys
import time

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.throttle import LeasingThrottle, NatsLedgers
from fairlead.domain.throttling import Limit
from fairlead.ports import Over

ORDERS = 16  # that want a call at any time, as orders of a worker do


async def main() -> None:
    url, a_minute, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    connection = await NatsConnection.open(url)
    throttle, limit = LeasingThrottle(NatsLedgers(connection)), Limit(key="exact", calls_per_minute=a_minute)
    until_s, began = time.monotonic() + seconds, list[float]()

    async def order() -> None:
        while (left_s := until_s - time.monotonic()) > 0:
            entered = await throttle.enter([limit], "tnt_bench")
            if isinstance(entered, Over):
                await asyncio.sleep(min(entered.wait_s, left_s))
            else:
                began.append(time.monotonic())
                await asyncio.sleep(0.02)

    await asyncio.gather(*(order() for _ in range(ORDERS)))
    sys.stdout.write("".join(f"{each}\n" for each in began))
    await throttle.close()
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
