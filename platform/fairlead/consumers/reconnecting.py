"""Tells the runs that wait for an account when somebody has given access to it."""

from fairlead.domain.connections import events as e
from fairlead.domain.envelope import Kind, StreamRef
from fairlead.handling.reconnecting import AccessGiven
from fairlead.ports import AnyRecorded

NAME = "reconnecting"  # durable consumer; never renamed, or history is replayed
KINDS: tuple[Kind, ...] = ("connection",)


def react(recorded: AnyRecorded) -> list[tuple[StreamRef, AccessGiven]]:
    """Pure; the handler that goes with it looks for the runs."""
    commit = recorded.commit
    news: list[tuple[StreamRef, AccessGiven]] = []
    for event in commit.events:
        match event:
            case e.ConnectionAuthorized(granted=granted) | e.ConnectionScopesChanged(granted=granted):
                news.append((commit.stream, AccessGiven(sequence=recorded.sequence, granted=granted, at=commit.at)))
            case e.ConnectionRefreshed():
                news.append((commit.stream, AccessGiven(sequence=recorded.sequence, granted=None, at=commit.at)))
            case _:
                pass
    return news
