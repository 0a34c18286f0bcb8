"""Answers what a judgement needs to know of other runs: takes places in tallies, or looks who has one."""

import secrets
from typing import Any, Protocol, TypeVar

from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CallId, CommandId
from fairlead.domain.runs.events import ToolCallUncounted
from fairlead.domain.tallies import Place, Places, PlacesWanted, ReturnPlace, TakePlace, Want, place_of, tally_stream
from fairlead.handling.handler import Cause, Handler
from fairlead.ports import Log

R = TypeVar("R", bound="Knowing")


class Knowing(Protocol):
    def with_places(self, places: Places) -> Any: ...


async def supplied(handler: Handler, stream: StreamRef, rules: R, wanted: PlacesWanted) -> R:
    """The rules, knowing what they asked for. Raises Unavailable, StreamMoved."""
    found = {want.tally: await _asked(handler, stream, want) for want in wanted.wants}
    knowing: R = rules.with_places(found)
    return knowing


async def returned(log: Log, handler: Handler, stream: StreamRef, call_id: CallId) -> None:
    """Only what the run's own history says was given back: an order could be anybody's. Raises Unavailable,
    StreamMoved."""
    for recorded in await log.read(stream):
        for event in recorded.commit.events:
            if isinstance(event, ToolCallUncounted) and event.call_id == call_id:
                for tally in event.tallies:
                    command = ReturnPlace(call_id=call_id)
                    await handler.handle(tally_stream(stream.tenant_id, tally), command, _cause(stream))


async def _asked(handler: Handler, stream: StreamRef, want: Want) -> Place:
    """As of now: who takes is told after it is on the log, and who looks reads to its end."""
    tally = tally_stream(stream.tenant_id, want.tally)
    if not want.takes:
        return place_of((await handler.load(tally)).state, want.call_id)
    take = TakePlace(call_id=want.call_id, rule_id=want.rule_id, limit=want.limit)
    return place_of((await handler.handle(tally, take, _cause(stream))).state, want.call_id)


def _cause(stream: StreamRef) -> Cause:
    """That a call has one place at most follows from the tally and not from the command's id: it may take one again
    after it gave it back."""
    return Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{secrets.token_hex(16)}"), correlation_id=stream.id)
