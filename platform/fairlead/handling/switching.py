"""Switches between the log, where they are facts, and the bucket, where every process sees them; and what they stop."""

from fairlead_sdk.contract import Effect
from fairlead_tenants.ids import TenantId

from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.envelope import StreamRef
from fairlead.domain.errors import Rejected, Unavailable
from fairlead.domain.switches.board import SwitchCommand, stream_of
from fairlead.domain.switches.verdict import Doing, Stop, Where, stop_of
from fairlead.handling.handler import Cause, Handled, Handler
from fairlead.ports import Clock, Log, Switches


class StartsStopped(Rejected):
    """A switch stops new runs here: ask again when it has been released."""

    code = "starts_stopped"


class SwitchesUnknown(Unavailable):
    """Whether a switch is on cannot be told, so nothing is done."""

    code = "switches_unknown"

    def __init__(self) -> None:
        super().__init__("what is switched off")


class Brake:
    """What is asked directly before anything is done. It costs no question."""

    def __init__(self, switches: Switches, clock: Clock) -> None:
        self._switches = switches
        self._clock = clock

    def stop_of(self, doing: Doing, effect: Effect, where: Where) -> Stop | None:
        """Raises SwitchesUnknown."""
        boards = self._switches.known()
        if boards is None:
            raise SwitchesUnknown
        if not boards:
            return None
        return stop_of(doing, effect, where, boards, self._clock.now())

    def check_start(self, where: Where) -> None:
        """Raises StartsStopped, SwitchesUnknown."""
        if (stop := self.stop_of("start", Effect.READ, where)) is not None:
            raise StartsStopped(f"no new runs are taken: {stop.switch} is switched off ({stop.mode}): {stop.reason}")


class Switching:
    """Changes a board, and shows it everywhere."""

    def __init__(self, log: Log, handler: Handler, switches: Switches) -> None:
        self._log = log
        self._handler = handler
        self._switches = switches

    async def change(self, holder: TenantId, command: SwitchCommand, cause: Cause) -> Handled:
        """Raises what the board says no with, and Unavailable when nobody was told yet: whoever asks again tells them,
        and the mirror does so at any rate."""
        handled = await self._handler.handle(stream_of(holder), command, cause)
        await self._switches.keep(holder, handled.state)
        return handled

    async def mirror(self, stream: StreamRef, _: object = None, __: object = None) -> None:
        """Show the board as it is on the log now. Raises Unavailable."""
        await self._switches.keep(stream.tenant_id, (await self._handler.load(stream)).state)

    async def fill(self) -> None:
        """Show every board there is. Raises Unavailable, UnreadableCommit."""
        for stream in await self._streams():
            await self.mirror(stream)
        await self._switches.complete()

    async def _streams(self) -> set[StreamRef]:
        found: set[StreamRef] = set()
        async with self._log.follow(LogSequence(0), ("switch",)) as batches:
            async for batch in batches:
                if not batch:
                    break
                found |= {each.stream for each in batch}
        return found
