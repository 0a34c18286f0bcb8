"""Commits for tests of the log itself, whose events say nothing but which one they are."""

from collections.abc import Iterable
from typing import Any

from fairlead_tenants.ids import TenantId

from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM, Commit, Event, Kind, Recorded, StreamRef
from fairlead.domain.ids import CommandId
from fairlead.ports import AnyRecorded, Followed
from tests.support.clock import T0

TENANT = TenantId("tnt_a")


class Noted(Event, frozen=True, kw_only=True, tag="test.noted.v1"):
    number: int
    text: str = ""


class Sung(Event, frozen=True, kw_only=True, tag="test.sung.v1"):
    """Written by a newer program than the one that reads it here."""


class Torn(Event, frozen=True, kw_only=True, tag="test.noted.v1"):
    """What damage leaves: the tag is known, and not what comes with it."""

    number: str = "x"


NOTES = Codec({"tenant": Noted, "workflow": Noted, "run": Noted, "approval": Noted})


def run(name: str, tenant_id: TenantId = TENANT) -> StreamRef:
    return StreamRef(tenant_id, "run", f"run_{name}")


def approval(name: str) -> StreamRef:
    return StreamRef(TENANT, "approval", f"apr_{name}")


def note(stream: StreamRef, number: int = 1, *, text: str = "", command: str = "") -> Commit[Any]:
    """The commit that is number `number` of its stream. Two notes are the same command when `command` says so."""
    return of(Noted(number=number, text=text), stream, number, command)


def of(event: Event, stream: StreamRef, number: int = 1, command: str = "") -> Commit[Any]:
    """A commit of any event, also of one that nothing here can read."""
    kind: Kind = stream.kind
    return Commit(
        commit_id=CommandId(command or f"cmd_{stream.id}-{number}"),
        tenant_id=stream.tenant_id,
        kind=kind,
        stream_id=stream.id,
        first_version=number,
        at=T0,
        actor=SYSTEM,
        events=(event,),
    )


def with_body_of(size_bytes: int, stream: StreamRef) -> Commit[Any]:
    """A commit whose JSON has exactly this many bytes."""
    frame = len(NOTES.encode(note(stream)))
    return note(stream, text="x" * (size_bytes - frame))


def readable(followed: Iterable[Followed]) -> list[AnyRecorded]:
    """All of them. Fails when one cannot be read."""
    found: list[AnyRecorded] = []
    for each in followed:
        assert isinstance(each, Recorded), each
        found.append(each)
    return found
