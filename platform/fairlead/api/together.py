"""Questions to an engine that come while one is on its way go together with the next."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from fairlead.domain.errors import Unavailable

MOST_AT_ONCE = 64

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """`ask` answers each question, in order. One of its calls is under way at a time; nothing waits for company.

    What an engine refuses because of one question must not cost the others: then each is asked alone.
    """

    def __init__(self, ask: Callable[[list[Question]], Awaitable[list[Answer]]]) -> None:
        self._ask = ask
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def __call__(self, question: Question) -> Answer:
        """Raises what `ask` raises."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        return await answer

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._ask_these(asked)
        finally:
            self._asking = None

    async def _ask_these(self, asked: list[tuple[Question, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._ask([question for question, _ in asked])
        except Exception as error:  # noqa: BLE001  # it is raised again, where it was asked
            if len(asked) > 1 and not isinstance(error, Unavailable):
                for each in asked:
                    await self._ask_these([each])
                return
            for _, waiting in asked:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(asked, answers, strict=True):
            if not waiting.done():  # whoever asked may have gone away
                waiting.set_result(answer)
