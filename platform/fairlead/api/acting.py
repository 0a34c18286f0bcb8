"""A request's way to change something: who asks, under which command id, in which trace.

Ids follow from the command id. It is kept with the idempotency key, so a request that is carried out again after a
crash makes the same commits and the same objects, which is none.
"""

from collections.abc import MutableMapping
from typing import Any

from fairlead_tenants.access import Principal
from fairlead_tenants.ids import TenantId

from fairlead.api.authentication import SignedIn
from fairlead.domain.envelope import StreamRef
from fairlead.domain.ids import CommandId
from fairlead.domain.tenants.identity import actor_of
from fairlead.domain.tenants.states import Tenant
from fairlead.handling.handler import Cause, Handled, Handler

COMMAND_ID = "command_id"
POSITION = "position"  # in the scope's state: the newest sequence that this request has made or met


class Act:
    def __init__(
        self, signed_in: SignedIn, handler: Handler, command_id: CommandId, state: MutableMapping[str, Any]
    ) -> None:
        self.principal: Principal = signed_in.principal
        self.tenant: Tenant = signed_in.tenant
        self.command_id = command_id
        self._handler = handler
        self._state = state

    @property
    def tenant_id(self) -> TenantId:
        return self.principal.tenant_id

    @property
    def tenant_stream(self) -> StreamRef:
        return StreamRef(self.tenant_id, "tenant", self.tenant_id)

    def new_id(self, prefix: str) -> str:
        """The same one each time this request is carried out; one for each prefix."""
        return f"{prefix}_{self.command_id.partition('_')[2]}"

    def cause(self, part: str = "") -> Cause:
        """`part` tells the commands of one request apart, where there are several."""
        command_id = CommandId(f"{self.command_id}-{part}") if part else self.command_id
        return Cause(actor=actor_of(self.principal), command_id=command_id, trace_parent=self._state["trace"].parent)

    async def handle(self, stream: StreamRef, command: Any, part: str = "") -> Handled:
        """Raises what the decision raises. The answer will carry the position."""
        handled = await self._handler.handle(stream, command, self.cause(part))
        self.seen(handled)
        return handled

    def seen(self, handled: Handled) -> None:
        """The answer will carry this position, or a later one."""
        self._state[POSITION] = max(handled.sequence, self._state.get(POSITION, 0))
