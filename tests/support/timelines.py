"""Histories as rows of run_commits, for timelines and exports that need no database."""

from collections.abc import Iterable
from typing import Any

from fairlead_tenants.ids import PrincipalId

from fairlead.api.timeline_events import CommitRow, TimelineEvent, events_of
from fairlead.domain.envelope import Actor, Commit, StreamRef
from fairlead.domain.ids import CommandId
from tests.support.clock import T0
from tests.support.histories import ANN, CODEC, a_run

A_RUN = a_run("tnt_a", 1)


def row(sequence: int, *events: Any, stream: StreamRef = A_RUN, version: int = 1, actor: Actor = ANN) -> CommitRow:
    commit: Commit[Any] = Commit(
        commit_id=CommandId(f"cmd_{sequence}"),
        tenant_id=stream.tenant_id,
        kind=stream.kind,
        stream_id=stream.id,
        first_version=version,
        at=T0,
        actor=actor,
        events=events,
        correlation_id=A_RUN.id,
    )
    return CommitRow(A_RUN.id, sequence, T0, CODEC.encode(commit).decode())


def rows(commits: Iterable[tuple[Any, ...]]) -> list[CommitRow]:
    found, version = [], 1
    for sequence, events in enumerate(commits, start=1):
        found.append(row(10 * sequence, *events, version=version))
        version += len(events)
    return found


def timeline(found: Iterable[CommitRow]) -> list[TimelineEvent]:
    return [event for each in found for event in events_of(each)]


def somebody(name: str) -> Actor:
    return Actor(kind="person", id=PrincipalId(name))
