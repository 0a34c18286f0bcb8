"""A process that keeps the ledger and does nothing else: `python -m benchmarks.keeper NATS_URL DATABASE_URL`."""

import sys

import uvloop

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.adapters.postgres import Database
from fairlead.consumers.ledger_runner import LedgerRunner
from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.logs import configure


async def main() -> None:
    configure("warning")
    connection = await NatsConnection.open(sys.argv[1])
    async with Database(sys.argv[2], max_connections=1) as database:
        await LedgerRunner(NatsLog(connection, Codec(EVENTS, UPCASTERS)), database).run()


if __name__ == "__main__":
    uvloop.run(main())
