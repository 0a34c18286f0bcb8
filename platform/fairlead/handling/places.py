"""Answers what a judgement needs to know of other runs: takes places in tallies, or looks who has one."""

import secrets
from typing import Any, Protocol, TypeVar

from fairlead_tenants.ids import TenantId

from fairlead.domain.envelope import SYSTEM, StreamRef
from fairlead.domain.ids import CallId, CommandId
from fairlead.domain.policy.explaining import Explanation
from fairlead.domain.runs.events import ToolCallUncounted
from fairlead.domain.runs.past import PastCall
from fairlead.domain.runs.rules import WorkflowRules
from fairlead.domain.tallies import (
    Place,
    Places,
    PlacesWanted,
    ReturnPlace,
    TakePlace,
    Want,
    place_as_of,
    place_of,
    tally_stream,
)
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


async def explained(log: Log, tenant_id: TenantId, rules: WorkflowRules, past: PastCall) -> Explanation:
    """Why the call is judged as it is by these rules, with what tallies held when it was judged. Raises Unavailable."""
    while True:
        try:
            return rules.explain(past.call, past.run, past.at)
        except PlacesWanted as wanted:
            rules = rules.with_places(
                {
                    want.tally: place_as_of(await log.read(tally_stream(tenant_id, want.tally)), want, past.sequence)
                    for want in wanted.wants
                }
            )


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
        return place_of((await handler.load(tally)).state, want)
    take = TakePlace(call_id=want.call_id, rule_id=want.rule_id, limit=want.limit)
    return place_of((await handler.handle(tally, take, _cause(stream))).state, want)


def _cause(stream: StreamRef) -> Cause:
    """That a call has one place at most follows from the tally and not from the command's id: it may take one again
    after it gave it back."""
    return Cause(actor=SYSTEM, command_id=CommandId(f"cmd_{secrets.token_hex(16)}"), correlation_id=stream.id)
