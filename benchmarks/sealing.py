"""What sealing adds to a commit of a usual step: µs of processor time to write it, and to read it.

`python -m benchmarks.sealing`; no engine is needed.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fairlead_sdk.contract import Effect, Idempotency
from fairlead_tenants.ids import TenantId

from fairlead.domain.catalogue import EVENTS, UPCASTERS
from fairlead.domain.codec import Codec
from fairlead.domain.envelope import SYSTEM, Commit
from fairlead.domain.ids import CallId, CommandId
from fairlead.domain.runs.events import ToolCallCompleted, ToolCallDispatched, ToolCallRequested
from fairlead.domain.sealing import ContentKey, fields_in, opened, sealed, veiled

ROUNDS, CALLS = 40, 250
KEY = ContentKey("ck1", b"k" * 32)
OUTPUT = {"customer": {"id": 4711, "name": "Ada Lovelace", "lines": [{"sku": "a", "n": n} for n in range(8)]}}
FIRST, SECOND = CallId("tcl_x-1"), CallId("tcl_x-2")


def a_step() -> Commit[Any]:
    """A call has ended, and the next is requested: two fields of content."""
    completed = ToolCallCompleted(
        call_id=FIRST, attempt=1, output=OUTPUT, output_sha256="0" * 64, latency_us=3, worker="w"
    )
    requested = ToolCallRequested(
        call_id=SECOND,
        step="pay",
        tool="books.pay",
        tool_version="1.0.0",
        schema_hash="a" * 64,
        effect=Effect.WRITE,
        idempotency=Idempotency.KEY,
        arguments={"customer": 4711},
        timeout_s=3.0,
    )
    return Commit(
        commit_id=CommandId("cmd_1"),
        tenant_id=TenantId("tnt_1"),
        kind="run",
        stream_id="run_x",
        first_version=4,
        at=datetime(2026, 3, 2, tzinfo=UTC),
        actor=SYSTEM,
        events=(completed, requested, ToolCallDispatched(call_id=SECOND, attempt=1)),
    )


def least_us(work: Callable[[], object]) -> float:
    """Of many rounds the quickest: what is left is the work, not its neighbours."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            work()
        found.append((time.process_time() - began) / CALLS * 1e6)
    return min(found)


def main() -> None:
    codec, commit = Codec(EVENTS, UPCASTERS), a_step()
    plain, stored = codec.encode(commit), codec.encode(sealed(commit, KEY))

    def with_keys() -> bytes:
        return opened(commit.tenant_id, stored, fields_in(commit.stream, stored), {"ck1": KEY})

    def without_keys() -> bytes:
        return veiled(stored, fields_in(commit.stream, stored))

    writes = least_us(lambda: codec.encode(sealed(commit, KEY))) - least_us(lambda: codec.encode(commit))
    lines = (
        f"bytes of the commit: {len(plain)} plain, {len(stored)} sealed",
        f"writing: {writes:.0f} us more",
        f"reading with keys: {least_us(with_keys):.0f} us more",
        f"reading without keys: {least_us(without_keys):.0f} us more",
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
