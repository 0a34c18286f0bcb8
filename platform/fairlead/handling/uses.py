"""Puts uses of connections on the log without a call waiting for it.

A use is sent before the credential is handed over and waited for when the call is over, so it costs a call no time as
long as the log answers sooner than the counterpart.
"""

import asyncio

from fairlead_tenants.ids import TenantId

from fairlead.domain.connections.events import ConnectionUsed
from fairlead.handling.side_streams import MAX_EVENTS, SideStreams
from fairlead.ports import Clock, Ids, Log

MAX_USES = MAX_EVENTS  # of one commit


class UseWriter:
    """Uses of one connection by this process are one stream."""

    def __init__(self, log: Log, clock: Clock, ids: Ids) -> None:
        self._streams = SideStreams(log, clock, ids, "connection_use")

    def write(self, tenant_id: TenantId, use: ConnectionUsed) -> "asyncio.Future[None]":
        """Done when the use is on the log. It goes on trying while the process lives, whoever waits or not."""
        return self._streams.write(tenant_id, use.connection_id, use)
