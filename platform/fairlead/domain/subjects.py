"""Names on the engine. Every name that comes from outside is one token: it can hold no separator and no wildcard."""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from fairlead_tenants.ids import TenantId

from fairlead.domain.envelope import Kind, StreamRef
from fairlead.domain.errors import NotFound

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")


def token(text: str) -> str:
    """The text itself. Raises NotFound when it cannot be an id: nothing has such a name."""
    if _TOKEN.fullmatch(text) is None:
        raise NotFound("no such id")
    return text


def header_value(text: str) -> str:
    """The text itself, which must be one printable line."""
    assert text.isascii(), "headers are ASCII"
    assert text.isprintable(), "headers are one line"
    return text


def events_root(shard: int) -> str:
    """Shards are streams of their own, so their subjects may not overlap."""
    return f"fl.ev{shard}" if shard else "fl.ev"


@lru_cache(maxsize=4096)
def events_of(stream: StreamRef, shard: int = 0) -> str:
    return f"{events_root(shard)}.{stream.partition}.{token(stream.tenant_id)}.{stream.kind}.{token(stream.id)}"


def events_of_kinds(
    kinds: Sequence[Kind], partition: int | None = None, shard: int = 0, tenants: Sequence[TenantId] = ()
) -> list[str]:
    """Filters for commits of these kinds, of all kinds when none is named; likewise of tenants."""
    place = f"{events_root(shard)}.{'*' if partition is None else partition}"
    if not tenants:
        return [f"{place}.*.{kind}.*" for kind in kinds] or [f"{place}.>"]
    return [f"{place}.{token(tenant)}.{kind}.*" for tenant in tenants for kind in kinds or ("*",)]


@lru_cache(maxsize=4096)
def stream_of(subject: str) -> StreamRef:
    """Whose commits are under a subject of events."""
    _, _, _, tenant_id, kind, stream_id = subject.split(".")
    return StreamRef(TenantId(tenant_id), cast(Kind, kind), stream_id)


def blob_part(tenant_id: TenantId, digest: str, part: int) -> str:
    return f"fl.bl.{token(tenant_id)}.{token(digest)}.{part}"


def blob_parts(tenant_id: TenantId, digest: str) -> str:
    return f"fl.bl.{token(tenant_id)}.{token(digest)}.*"


def objects_root(tenant_id: str, workspace_id: str, environment_id: str) -> str:
    """Of all objects of a place."""
    return f"fl.obj.{token(tenant_id)}.{token(workspace_id)}.{token(environment_id)}"


def objects_of_tenant(tenant_id: str) -> str:
    """The names of all its objects, in every place."""
    return f"fl.obj.{token(tenant_id)}.*.*.at.*"


def object_key(root: str, key: str) -> str:
    """A key may hold anything, also what a subject may not."""
    return f"{root}.at.{urlsafe_b64encode(key.encode()).decode().rstrip('=')}"


def object_keys(root: str) -> str:
    return f"{root}.at.*"


def key_of_object(subject: str) -> str:
    packed = subject.rpartition(".")[2]
    return urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()


def object_part(root: str, version: str, part: int) -> str:
    return f"{root}.of.{token(version)}.{part}"


def object_parts(root: str, version: str) -> str:
    return f"{root}.of.{token(version)}.*"


def job(lane: str, tenant_id: str, order_id: str) -> str:
    """An order's id may have several parts, with dots between them."""
    return f"fl.job.{token(lane)}.{token(tenant_id)}.{'.'.join(map(token, order_id.split('.')))}"


def jobs_root(lane: str) -> str:
    """Of all orders of a lane; the tenant comes next."""
    return f"fl.job.{token(lane)}"


def timer(tenant_id: str, timer_id: str) -> str:
    return f"fl.tm.set.{token(tenant_id)}.{token(timer_id)}"


def timer_due(tenant_id: str, timer_id: str) -> str:
    return f"fl.tm.due.{token(tenant_id)}.{token(timer_id)}"


def timer_in_any_state(tenant_id: str, timer_id: str) -> str:
    return f"fl.tm.*.{token(tenant_id)}.{token(timer_id)}"


@lru_cache(maxsize=4096)
def ledger(key: str) -> str:
    """Of a limit, whose name may hold what a subject may not."""
    return f"fl.lim.{hashlib.sha256(key.encode()).hexdigest()[:40]}"


def result(tenant_id: str, slot: int) -> str:
    return f"fl.rc.{token(tenant_id)}.kept.{slot}"


def results_of(tenant_id: str) -> str:
    """All that is kept of a tenant; not the epochs, without which what is being read now would be kept."""
    return f"fl.rc.{token(tenant_id)}.kept.*"


def results_epoch(tenant_id: str, connector: str) -> str:
    return f"fl.rc.{token(tenant_id)}.epoch.{token(connector)}"


def switches_of(bucket: str, key: str) -> str:
    return f"$KV.{token(bucket)}.{token(key)}"


TIMERS_DUE = "fl.tm.due.>"
