"""What reads gave a moment ago, and models answered: under what it is kept, and how much of it.

A result is kept under everything that could make another call give something else, the tenant first: what one tenant's
read gave is never given to another, nor in another environment, nor for another account or version of the tool.
"""

from hashlib import sha256
from typing import Any

import msgspec
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.instant import Instant

SLOTS = 256  # of each tenant; two keys of one slot displace each other
ANSWER_SLOTS = 1_024  # besides, for answers of models
MAX_ENTRY_BYTES = 64 * 1024
LONGEST_S = 604_800.0
IN_AN_OUTAGE_S = 86_400.0  # what a workflow takes instead of an answer is no older
_encode = msgspec.json.Encoder().encode


class ResultKey(Struct, frozen=True, kw_only=True, array_like=True):
    """`account` is another text after whatever could change what the connection shows; `disablings` counts how often
    the tenant has switched the connector off."""

    tenant_id: TenantId
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    connector: str
    disablings: int
    connection_id: str
    account: str
    tool: str
    tool_version: str
    arguments_sha256: str

    @property
    def digest(self) -> str:
        return sha256(_encode(self)).hexdigest()

    @property
    def slot(self) -> int:
        return int(self.digest[:8], 16) % SLOTS


class AnswerKey(Struct, frozen=True, kw_only=True):
    """Of a model's answer. `connector` is the route's id; `digest` is of everything that the answer hangs on."""

    tenant_id: TenantId
    connector: str
    digest: str

    @property
    def slot(self) -> int:
        return SLOTS + int(self.digest[:8], 16) % ANSWER_SLOTS


AnyKey = ResultKey | AnswerKey


class KeptResult(Struct, frozen=True, kw_only=True):
    """`output` is redacted. `at` is when it was given, after `took_us`."""

    output: Any
    at: Instant
    took_us: int


class Found(Struct, frozen=True, kw_only=True):
    """`epoch` is another one after each write through the connector; empty where nothing can be kept now."""

    epoch: str = ""
    kept: KeptResult | None = None


class Entry(Struct, frozen=True, kw_only=True):
    """A result as it is stored."""

    digest: str
    epoch: str
    kept: KeptResult


def entry(key: AnyKey, epoch: str, kept: KeptResult) -> bytes | None:
    """None for what is too large."""
    body = _encode(Entry(digest=key.digest, epoch=epoch, kept=kept))
    return body if len(body) <= MAX_ENTRY_BYTES else None
