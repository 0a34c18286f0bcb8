"""Calls of one run that a tool takes together: each asks alone, and those that come at the same time go out as one.

Nothing waits that has nobody to wait for. Each call has passed its own checks, the last of them once more when the
batch goes out, and keeps its own key, its own time limit and its own outcome: what becomes of one says nothing of the
others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, NamedTuple

from fairlead_sdk.contract import Call

GATHER_S = 0.02  # for calls that are known to be on their way

Look = Callable[[], None]
RunMany = Callable[[list[Any], list[Call]], Awaitable[list[Any]]]


class WrongNumber(Exception):
    """`run_many` did not answer every call, so nobody knows which answer is whose."""


class Batch:
    def __init__(self, run_many: RunMany, most: int) -> None:
        self.full = asyncio.Event()
        self._run_many = run_many
        self._most = most
        self._calls: list[_Joined] = []

    def join(self, look: Look, arguments: Any, call: Call) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls.append(_Joined(look, arguments, call, answer))
        if len(self._calls) >= self._most:
            self.full.set()
        return answer

    def cancel_when_nobody_waits(self, task: "asyncio.Task[Any]") -> None:
        def count(_: object) -> None:
            if all(each.answer.done() for each in self._calls):
                task.cancel()

        for each in self._calls:
            each.answer.add_done_callback(count)

    async def carry_out(self) -> None:
        """Every call gets an answer, whatever becomes of it here."""
        waiting = [each for each in self._calls if each.still_goes()]
        if not waiting:
            return
        try:
            answers: list[Any] = await self._run_many(
                [each.arguments for each in waiting], [each.call for each in waiting]
            )
            if len(answers) != len(waiting):
                raise WrongNumber
        except asyncio.CancelledError:  # ours, or the connector's own: see `_answer` of the caller
            for each in waiting:
                each.answer.cancel()
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever connector code raises, each call is told
            answers = [error] * len(waiting)
        for each, said in zip(waiting, answers, strict=True):
            if not each.answer.done():
                _tell(each.answer, said)


class Batches:
    """`gather_s` is how long the first of a batch waits for those that are on their way."""

    def __init__(self, gather_s: float = GATHER_S) -> None:
        self._gather_s = gather_s
        self._open: dict[Hashable, Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: Hashable, run_many: RunMany, most: int, look: Look, arguments: Any, call: Call) -> Any:
        """The answer to this call, which goes out with at most `most` of the same `key`. Raises what the tool says, or
        what `look` says directly before: then the call does not go out."""
        batch = self._open.get(key)
        if batch is None:
            batch = self._open[key] = Batch(run_many, most)
            task = asyncio.create_task(self._gather(key, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        answer = batch.join(look, arguments, call)
        if batch.full.is_set():
            del self._open[key]
        try:
            return await answer
        finally:
            answer.cancel()

    async def _gather(self, key: Hashable, batch: Batch) -> None:
        try:
            async with asyncio.timeout(self._gather_s):
                await batch.full.wait()
        except TimeoutError:
            if self._open.get(key) is batch:
                del self._open[key]
        task = asyncio.current_task()
        assert task is not None, "it is one"
        batch.cancel_when_nobody_waits(task)
        await batch.carry_out()


class _Joined(NamedTuple):
    look: Look
    arguments: Any
    call: Call
    answer: "asyncio.Future[Any]"

    def still_goes(self) -> bool:
        if self.answer.done():  # who gave up meanwhile asks for nothing
            return False
        try:
            self.look()
        except Exception as stopped:  # noqa: BLE001  # whatever it is, it is told to whoever waits
            self.answer.set_exception(stopped)
            return False
        return True


def _tell(answer: "asyncio.Future[Any]", said: Any) -> None:
    if isinstance(said, asyncio.CancelledError):
        answer.cancel()
    elif isinstance(said, Exception) and not isinstance(said, StopIteration):
        answer.set_exception(said)
    elif isinstance(said, BaseException):  # which no future should hold
        answer.set_exception(RuntimeError(type(said).__name__))
    else:
        answer.set_result(said)
