"""The streams on nats-server, as they must be. Asking again changes nothing that is right already."""

from typing import Any

import structlog

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_messages import ApiRefused
from fairlead.domain.results import LONGEST_S
from fairlead.domain.subjects import events_root

BLOBS = "BLOBS"
JOBS = "JOBS"
LIMITS = "LIMITS"
OBJECTS = "OBJECTS"
RESULTS = "RESULTS"
SWITCHES = "SWITCHES"  # a bucket of keys and values
TIMERS = "TIMERS"

JOBS_MAX_BYTES = 128 * 1024 * 1024  # in memory; a full lane refuses orders, which are made again from the facts
EVENTS_DEDUPE_S = 30
RESULTS_MAX_BYTES = 64 * 1024 * 1024  # in memory; the oldest give way
LIMITS_KEPT_S = 600  # longer than anything in a ledger counts
_EXISTS_OTHERWISE = 10058
# The engine looks for room before it looks whether the stream is there already, which then needs none.
_NO_ROOM = 10028
_NO_SUCH_STREAM = 10059
_MISFIT = 10052

_log = structlog.get_logger()

THE_SHARD = 0  # an installation has one


def events_stream(shard: int) -> str:
    return f"EVENTS_{shard}"


async def ensure_streams(connection: NatsConnection, replicas: int = 1) -> None:
    """Create what is missing and correct what may be corrected.

    Raises ApiRefused when a stream exists that cannot become what it must be, Unavailable when nobody answers.
    """
    await ensure_events(connection, THE_SHARD, replicas)
    await _ensure(connection, _blobs(replicas))
    await _ensure(connection, _objects(replicas))
    await _ensure(connection, _timers(replicas))
    await ensure_jobs(connection, replicas)
    await ensure_limits(connection, replicas)
    await ensure_results(connection, replicas)
    await ensure_switches(connection, SWITCHES, replicas)


async def ensure_events(connection: NatsConnection, shard: int, replicas: int = 1) -> None:
    await _ensure(connection, _events(shard, replicas))


async def renew_events(connection: NatsConnection, shard: int, replicas: int) -> None:
    """Delete the stream with all that is in it, and make it anew. Until `ensure_events` it can be purged."""
    name, configuration = events_stream(shard), _events(shard, replicas)
    await connection.api(f"STREAM.DELETE.{name}")
    await connection.api(f"STREAM.CREATE.{name}", {**configuration, "deny_purge": False})


async def ensure_jobs(connection: NatsConnection, replicas: int = 1) -> None:
    """JOBS is in memory and gone after a restart of a single server: whoever uses it makes it again."""
    await _ensure(connection, _jobs(replicas))


async def ensure_limits(connection: NatsConnection, replicas: int = 1) -> None:
    await _ensure(connection, _limits(replicas))


async def ensure_results(connection: NatsConnection, replicas: int = 1) -> None:
    """RESULTS is in memory too."""
    await _ensure(connection, _results(replicas))


async def ensure_switches(connection: NatsConnection, bucket: str, replicas: int = 1) -> None:
    await _ensure(connection, _bucket(bucket, replicas))


async def _ensure(connection: NatsConnection, configuration: dict[str, Any]) -> None:
    name = configuration["name"]
    try:
        await connection.patiently(lambda: connection.api(f"STREAM.CREATE.{name}", configuration))
    except ApiRefused as refusal:
        if refusal.number not in (_EXISTS_OTHERWISE, _NO_ROOM):
            raise
        try:
            await connection.patiently(lambda: connection.api(f"STREAM.UPDATE.{name}", configuration))
        except ApiRefused as refused:
            if refused.number == _NO_SUCH_STREAM:
                raise refusal from None
            if refused.number != _MISFIT or configuration.get("deny_delete") is not False:
                raise refused from None
            # It was made to deny for ever that messages are deleted, by an earlier version: then nothing expires in it.
            _log.warning("log_cannot_forget", stream=name)
            stubborn = {**configuration, "deny_delete": True}
            await connection.patiently(lambda: connection.api(f"STREAM.UPDATE.{name}", stubborn))


def _stream(name: str, subject: str, replicas: int, **rest: Any) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": [subject],
        "storage": "file",
        "num_replicas": replicas,
        "discard": "new",
        "allow_direct": True,
        **rest,
    }


def _kept_for_ever(name: str, subject: str, replicas: int, dedupe_s: int) -> dict[str, Any]:
    # Nobody empties it with a word. What has expired is deleted message by message: see nats_removal.py.
    return _stream(name, subject, replicas, deny_delete=False, deny_purge=True, duplicate_window=dedupe_s * 10**9)


def _events(shard: int, replicas: int) -> dict[str, Any]:
    return _kept_for_ever(events_stream(shard), f"{events_root(shard)}.>", replicas, EVENTS_DEDUPE_S)


def _blobs(replicas: int) -> dict[str, Any]:
    return _kept_for_ever(BLOBS, "fl.bl.>", replicas, dedupe_s=1)


def _objects(replicas: int) -> dict[str, Any]:
    return _stream(OBJECTS, "fl.obj.>", replicas, discard="old", max_msgs_per_subject=1, duplicate_window=10**9)


def _jobs(replicas: int) -> dict[str, Any]:
    # One message for each subject: an order that is still there is refused, one that is not can be given again.
    return _stream(
        JOBS,
        "fl.job.>",
        replicas,
        storage="memory",
        retention="workqueue",
        max_bytes=JOBS_MAX_BYTES,
        max_msgs_per_subject=1,
        discard_new_per_subject=True,
    )


def _limits(replicas: int) -> dict[str, Any]:
    return _stream(LIMITS, "fl.lim.>", replicas, discard="old", max_msgs_per_subject=1, max_age=LIMITS_KEPT_S * 10**9)


def _results(replicas: int) -> dict[str, Any]:
    return _stream(
        RESULTS,
        "fl.rc.>",
        replicas,
        storage="memory",
        discard="old",
        max_bytes=RESULTS_MAX_BYTES,
        max_msgs_per_subject=1,
        max_age=int(LONGEST_S) * 10**9,
    )


def _bucket(name: str, replicas: int) -> dict[str, Any]:
    # What the engine's own tools know as a bucket of keys and values, each with its last value only.
    return _stream(
        f"KV_{name}",
        f"$KV.{name}.>",
        replicas,
        max_msgs_per_subject=1,
        allow_rollup_hdrs=True,
        deny_delete=True,
        duplicate_window=10**9,
    )


def _timers(replicas: int) -> dict[str, Any]:
    # One message for each subject: setting a timer again replaces it, both while it waits and once it is due.
    # As a work queue it forgets a due timer when that is acknowledged.
    return _stream(
        TIMERS,
        "fl.tm.>",
        replicas,
        retention="workqueue",
        discard="old",
        max_msgs_per_subject=1,
        allow_msg_schedules=True,
        duplicate_window=10**9,
    )
