"""Results of reads: given again to the same question only, to nobody else, and to nobody after a write."""

import asyncio
from typing import Any

import pytest
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec.structs import replace

from fairlead.domain.results import ANSWER_SLOTS, MAX_ENTRY_BYTES, SLOTS, AnswerKey, AnyKey, KeptResult, ResultKey
from fairlead.ports import Results
from tests.contract.conftest import Caches
from tests.support.clock import T0

KEY = ResultKey(
    tenant_id=TenantId("tnt_ann"),
    workspace_id=WorkspaceId("wsp_1"),
    environment_id=EnvironmentId("env_live"),
    connector="ledger",
    disablings=0,
    connection_id="con_1",
    account="a",
    tool="ledger.look",
    tool_version="1.0.0",
    arguments_sha256="0" * 64,
)
OTHERS: dict[str, Any] = {
    "tenant_id": "tnt_bob",
    "workspace_id": "wsp_2",
    "environment_id": "env_test",
    "connector": "ledgers",
    "disablings": 1,
    "connection_id": "con_2",
    "account": "b",
    "tool": "ledger.look_again",
    "tool_version": "1.0.1",
    "arguments_sha256": "1" * 64,
}


def kept(output: Any = "seen") -> KeptResult:
    return KeptResult(output=output, at=T0, took_us=7)


async def remember(results: Results, key: AnyKey, given: Any = "seen") -> None:
    """Returns when it can be found, for nobody waits for that otherwise."""
    while await output(results, key) != given:
        results.keep(key, (await results.find(key)).epoch, kept(given))


async def output(results: Results, key: AnyKey = KEY) -> Any:
    """None where nothing is known."""
    known = (await results.find(key)).kept
    return known and known.output


async def test_what_was_kept_is_found_by_every_process(caches: Caches) -> None:
    here, there = await caches.another(), await caches.another()
    key = caches.key(KEY)
    assert (await here.find(key)).kept is None
    await remember(here, key, {"n": [1, "ü"]})
    assert (await there.find(key)).kept == kept({"n": [1, "ü"]})


@pytest.mark.parametrize("field", OTHERS)
async def test_nobody_else_and_nothing_else_is_given_it(caches: Caches, field: str) -> None:
    assert set(OTHERS) == set(ResultKey.__struct_fields__)
    results, key = await caches.another(), caches.key(KEY)
    await remember(results, key)
    other = replace(key, **{field: f"{OTHERS[field]}{caches.number}" if field == "tenant_id" else OTHERS[field]})
    assert await output(results, other) is None
    await remember(results, other, "of another")
    assert await output(results, key) in ("seen", None), "at most displaced"


@pytest.mark.parametrize("surely", [True, False])
async def test_after_a_write_nothing_from_before_is_given_to_anybody(caches: Caches, surely: bool) -> None:
    here, there = await caches.another(), await caches.another()
    key, other_connector = caches.key(KEY), caches.key(replace(KEY, connector="other", tool="other.look"))
    for each in (key, other_connector):
        await remember(here, each)
    begun = await there.find(key)
    await here.forget(key.tenant_id, key.connector, surely)
    async with asyncio.timeout(None if surely else 5):
        while await output(here, key) is not None:
            assert not surely
    assert await output(there, key) is None
    there.keep(key, begun.epoch, kept("read before the write"))
    assert await output(there, key) is None
    assert await output(here, other_connector) in ("seen", None)
    await remember(there, key, "after")


async def test_what_is_too_large_is_not_kept(caches: Caches) -> None:
    results, key = await caches.another(), caches.key(KEY)
    results.keep(key, (await results.find(key)).epoch, kept("x" * MAX_ENTRY_BYTES))
    await remember(results, key, "small")
    results.keep(key, (await results.find(key)).epoch, kept("x" * MAX_ENTRY_BYTES))
    await remember(results, caches.key(replace(KEY, tool="ledger.list")), "after it")
    assert await output(results, key) in ("small", None), "at most displaced"
    await remember(results, key, "x" * (MAX_ENTRY_BYTES - 1_000))


async def test_a_tenant_has_a_bounded_number_of_results_and_the_newest_displace_older_ones(caches: Caches) -> None:
    results = await caches.another()
    keys = [caches.key(replace(KEY, arguments_sha256=f"{number:064}")) for number in range(SLOTS + 44)]
    for key in keys:
        await remember(results, key)
    found = [await output(results, key) for key in keys]
    assert found.count("seen") <= SLOTS
    assert found.count("seen") > SLOTS / 3


async def test_answers_of_models_lie_beside_results_and_go_with_their_route_and_their_tenant(caches: Caches) -> None:
    here, there = await caches.another(), await caches.another()
    result = caches.key(KEY)
    answers = [
        AnswerKey(tenant_id=result.tenant_id, connector=route, digest=f"{slot:08x}" + "0" * 56)
        for slot, route in enumerate(("rte_one", "rte_two"))
    ]
    assert all(SLOTS <= key.slot < SLOTS + ANSWER_SLOTS for key in answers)
    keys: list[AnyKey] = [*answers, result]
    for key in keys:
        await remember(here, key, "seen")
        assert await output(there, key) == "seen"
    await here.forget(result.tenant_id, "rte_one", True)
    assert [await output(there, key) for key in keys] == [None, "seen", "seen"]
    await here.drop(result.tenant_id)
    assert [await output(there, key) for key in keys] == [None, None, None]
