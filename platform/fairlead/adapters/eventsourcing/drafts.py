"""From events to the messages that store them, given what is known of the log. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from eventsourcing.persistence import IntegrityError, NotSupportedError, StoredEvent, Tracking
from msgspec.structs import replace

from fairlead.adapters.eventsourcing.encoding import (
    TRACKING_SUBJECT,
    CommitBody,
    Stored,
    encode_commit,
    event_body,
    originator_token,
)
from fairlead.adapters.eventsourcing.engine import MAX_BATCH_MESSAGES, Outgoing

MAX_TRACKED_APPLICATIONS = 256


class Head(NamedTuple):
    """The newest commit of a log and the totals it carries."""

    sequence: int
    last_id: int
    tracking: Mapping[str, int]

    @classmethod
    def of(cls, newest: Stored | None) -> "Head":
        return EMPTY if newest is None else cls(newest.sequence, newest.body.last_id, newest.body.tracking)


class AggregateHead(NamedTuple):
    """The newest commit of one aggregate. Every version from `dense_from` to `highest_version` is used."""

    sequence: int
    highest_version: int | None
    dense_from: int | None

    @classmethod
    def of(cls, newest: Stored) -> "AggregateHead":
        return cls(newest.sequence, newest.body.highest_version, newest.body.dense_from)

    def is_free(self, version: int) -> bool | None:
        """None: only the whole history can tell."""
        if self.highest_version is None or self.dense_from is None or version > self.highest_version:
            return True
        return False if version >= self.dense_from else None

    def extended(self, sequence: int, versions: Iterable[int]) -> "AggregateHead":
        highest, dense_from = self.highest_version, self.dense_from
        for version in sorted(versions):
            if highest is None or version > highest + 1:
                dense_from = version
            highest = version if highest is None else max(highest, version)
        return AggregateHead(sequence, highest, dense_from)


EMPTY = Head(0, 0, {})
UNWRITTEN = AggregateHead(0, None, None)


class Draft(NamedTuple):
    """What to send, and what will be known once it is stored."""

    messages: Sequence[Outgoing]
    ids: Sequence[int]
    head: Head
    heads: Mapping[str, AggregateHead]


def subject_of(prefix: str, event: StoredEvent) -> str:
    return f"{prefix}.{originator_token(event.originator_id)}"


def tracked(head: Head, tracking: Tracking | None) -> Mapping[str, int]:
    """Positions tracked once `tracking` is recorded. Raises IntegrityError when it is not further than before."""
    if tracking is None:
        return head.tracking
    so_far = head.tracking.get(tracking.application_name)
    if so_far is not None and so_far >= tracking.notification_id:
        msg = f"{tracking.application_name} has been processed up to {so_far}, not before {tracking.notification_id}"
        raise IntegrityError(msg)
    after = {**head.tracking, tracking.application_name: tracking.notification_id}
    if len(after) > MAX_TRACKED_APPLICATIONS:
        raise NotSupportedError(f"one log tracks at most {MAX_TRACKED_APPLICATIONS} applications")
    return after


def require_unique(events: Sequence[StoredEvent]) -> None:
    if len({(event.originator_id, event.originator_version) for event in events}) < len(events):
        raise IntegrityError("two of the events have the same originator and version")


def draft(
    commit_id: str,
    prefix: str,
    events: Sequence[StoredEvent],
    tracking: Tracking | None,
    head: Head,
    heads: Mapping[str, AggregateHead],
) -> Draft:
    """One message for each run of events of one aggregate; one message alone when there is only tracking.

    The engine stores them right behind `head` or not at all, so that their sequences are known beforehand.
    """
    blank = CommitBody(commit_id=commit_id, last_id=head.last_id, tracking=dict(tracked(head, tracking)))
    if not events:
        alone = Outgoing(f"{prefix}.{TRACKING_SUBJECT}", encode_commit(blank), None)
        return Draft([alone], [], Head(head.sequence + 1, head.last_id, blank.tracking), {})
    messages: list[Outgoing] = []
    written: dict[str, AggregateHead] = {}
    for sequence, (subject, run) in enumerate(_runs(prefix, events), start=head.sequence + 1):
        before = written.get(subject, heads[subject])
        after = before.extended(sequence, (event.originator_version for event in run))
        blank = replace(blank, last_id=blank.last_id + len(run))
        data = encode_commit(_filled(blank, run, after))
        messages.append(Outgoing(subject, data, None if subject in written else before.sequence))
        written[subject] = after
    if len(messages) > MAX_BATCH_MESSAGES:
        raise NotSupportedError(f"one commit may hold at most {MAX_BATCH_MESSAGES} runs of events of one aggregate")
    ids = range(head.last_id + 1, blank.last_id + 1)
    return Draft(messages, ids, Head(head.sequence + len(messages), blank.last_id, blank.tracking), written)


def _runs(prefix: str, events: Sequence[StoredEvent]) -> Iterator[tuple[str, list[StoredEvent]]]:
    for subject, run in groupby(events, key=lambda event: subject_of(prefix, event)):
        yield subject, list(run)


def _filled(blank: CommitBody, run: Sequence[StoredEvent], after: AggregateHead) -> CommitBody:
    return replace(
        blank,
        events=tuple(map(event_body, run)),
        highest_version=after.highest_version,
        dense_from=after.dense_from,
    )
