"""What is waited for with a time limit, by us and by libraries, can be cancelled at any moment."""

import asyncio

import pytest


async def test_a_cancellation_that_comes_with_the_answer_is_not_lost() -> None:
    answer = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(asyncio.wait_for(answer, 60))
    await asyncio.sleep(0)
    answer.set_result("in the same moment")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("timeout_s", [0, -1, 0.001])
async def test_what_takes_too_long_is_cancelled(timeout_s: float) -> None:
    slow = asyncio.create_task(asyncio.Event().wait())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slow, timeout_s)
    assert slow.cancelled()


@pytest.mark.parametrize("timeout_s", [None, 0, 60])
async def test_what_is_there_is_returned_at_once(timeout_s: float | None) -> None:
    there = asyncio.get_running_loop().create_future()
    there.set_result("there")
    assert await asyncio.wait_for(there, timeout_s) == "there"


async def test_a_failure_is_raised_as_it_is() -> None:
    failed = asyncio.get_running_loop().create_future()
    failed.set_exception(ValueError("as it is"))
    with pytest.raises(ValueError, match="as it is"):
        await asyncio.wait_for(failed, 60)
