"""Nothing is shown whose reading is not recorded, but for a stated while."""

import asyncio
from typing import Any

import pytest
from fairlead_tenants.ids import PrincipalId

from fairlead.adapters.ids import UuidIds
from fairlead.adapters.memory_log import MemoryLog
from fairlead.domain.accesses import Access, Accessed
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Unavailable
from fairlead.handling import access_audit, side_streams
from fairlead.handling.access_audit import AccessAudit, AccessNotRecorded
from tests.support.clock import T0, ManualClock
from tests.support.histories import CODEC
from tests.support.tenancy import TENANT


class Away(MemoryLog):
    """Answers nothing until it is back."""

    def __init__(self) -> None:
        super().__init__(CODEC)
        self.back = asyncio.Event()

    async def append(self, commit: Any, expected: LogSequence, subject: str = "", marks: Any = None) -> LogSequence:
        if not self.back.is_set():
            await asyncio.sleep(0)
            raise Unavailable("the log")
        return await super().append(commit, expected, subject, marks)


def accessed(number: int = 1, access: Access = Access.READ) -> Accessed:
    return Accessed(
        at=T0,
        access=access,
        principal_id=PrincipalId("prn_ann"),
        principal_kind="person",
        route="/v1/runs/{run_id}",
        object=f"/v1/runs/run_{number}",
    )


def audit(log: MemoryLog) -> AccessAudit:
    return AccessAudit(log, ManualClock(), UuidIds())


async def recorded(log: MemoryLog) -> list[str]:
    async with log.follow(LogSequence(0), ("access",)) as batches:
        batch = await anext(aiter(batches))
    return [event.object for each in batch for event in each.commit.events]  # type: ignore[union-attr]  # all readable


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_audit, "PATIENCE_S", 0.02)
    monkeypatch.setattr(access_audit, "STRICT_S", 0.02)
    monkeypatch.setattr(side_streams, "AGAIN_S", 0.01)


async def test_what_is_shown_is_on_the_log_first_and_those_who_read_together_share_commits() -> None:
    log = MemoryLog(CODEC)
    looking = audit(log)
    await asyncio.gather(*(looking.record(TENANT, accessed(number)) for number in range(20)))
    assert await recorded(log) == [f"/v1/runs/run_{number}" for number in range(20)]
    assert await log.last_sequence() <= 2
    assert looking.waiting == 0


async def test_while_the_log_is_away_reads_go_on_for_a_while_and_are_recorded_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Away()
    looking = audit(log)
    await looking.record(TENANT, accessed(1))
    assert looking.waiting == 1
    monkeypatch.setattr(access_audit, "BOUND_S", 0.0)
    with pytest.raises(AccessNotRecorded):
        await looking.record(TENANT, accessed(2))
    log.back.set()
    await looking.close()
    assert await recorded(log) == ["/v1/runs/run_1"]
    await looking.record(TENANT, accessed(3))


@pytest.mark.parametrize("access", [Access.EXPORT, Access.APPROVAL])
async def test_exports_and_approvals_are_not_shown_unrecorded(access: Access) -> None:
    log = Away()
    looking = audit(log)
    with pytest.raises(AccessNotRecorded):
        await looking.record(TENANT, accessed(access=access))
    log.back.set()
    await looking.close()
    assert len(await recorded(log)) == 1  # that it was asked for stays


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_audit, "MAX_WAITING", 2)
    log = Away()
    looking = audit(log)
    for number in range(2):
        await looking.record(TENANT, accessed(number))
    with pytest.raises(AccessNotRecorded):
        await looking.record(TENANT, accessed(2))
    log.back.set()
    await looking.close()
    assert len(await recorded(log)) == 2


async def test_the_end_of_a_process_waits_for_what_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_audit, "LAST_S", 0.02)
    log = Away()
    looking = audit(log)
    await looking.record(TENANT, accessed())
    await looking.close()
    assert looking.waiting == 1  # and the log of the program says how many are lost
    log.back.set()
    await looking.close()
