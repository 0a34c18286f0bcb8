"""A counterpart within the test: every effect is counted, whatever the platform believes about it."""

import asyncio
from collections import Counter
from typing import Any

from fairlead_sdk.contract import Call, Effect, Idempotency, Tool

from tests.support.connectors import Bill, tool


class Books:
    """`honours_keys` makes a second request under one key the same effect. `during` is run in each call, before or
    after its effect as `effect_first` says; what it raises, the tool raises."""

    def __init__(self, honours_keys: bool = True) -> None:
        self.honours_keys = honours_keys
        self.requests: list[Call] = []
        self.effects: Counter[str] = Counter()
        self.balance = 100
        self.called = asyncio.Event()
        self.during: Any = None
        self.effect_first = True
        self.answer: Any = None
        self.undone: list[tuple[Bill, Any, Call]] = []
        self.while_undoing: Any = None

    async def pay(self, arguments: Bill, call: Call) -> Any:
        self.requests.append(call)
        if self.effect_first:
            self._take_effect(call)
        self.called.set()
        if self.during is not None:
            await self.during(call)
        if not self.effect_first:
            self._take_effect(call)
        return arguments if self.answer is None else self.answer

    async def paid(self, arguments: Bill, call: Call) -> Bill | None:
        return arguments if self.effects[call.idempotency_key] else None

    async def refund(self, arguments: Bill, output: Any, call: Call) -> None:
        """Honours keys: a second request under one key is the same refund. What `while_undoing` raises, it raises."""
        if all(before.idempotency_key != call.idempotency_key for _, _, before in self.undone):
            self.undone.append((arguments, output, call))
        if self.while_undoing is not None:
            await self.while_undoing(call)

    async def shown(self, arguments: Bill, _: Call) -> dict[str, Any]:
        return {"balance": self.balance, "after": self.balance - arguments.amount}

    def _take_effect(self, call: Call) -> None:
        if not (self.honours_keys and self.effects[call.idempotency_key]):
            self.effects[call.idempotency_key] += 1

    @property
    def total(self) -> int:
        return sum(self.effects.values())

    def keyed(self, **more: Any) -> Tool[Any, Any]:
        fields: dict[str, Any] = {"run": self.pay, "idempotency": Idempotency.KEY}
        return tool(**(fields | more))

    def unkeyed(self, **more: Any) -> Tool[Any, Any]:
        """Each request is an effect."""
        self.honours_keys = False
        return tool(run=self.pay, idempotency=Idempotency.NONE, **({"timeout_s": 0.05} | more))

    def reading(self, **more: Any) -> Tool[Any, Any]:
        return tool(run=self.pay, effect=Effect.READ, idempotency=Idempotency.NATURAL, writes=(), **more)
