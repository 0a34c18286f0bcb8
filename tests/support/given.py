"""Given these events, when this is asked, then: `assert given(RUNS, STARTED).when(command) == [...]`.

    RUNS = Spec(decide, evolve, initial)

A refusal is `with pytest.raises(RunNotActive): given(RUNS, STARTED).when(command)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Generic, TypeVar

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True)
class Spec(Generic[C, S, E]):
    """The three functions of a decider."""

    decide: Callable[[C, S], list[E]]
    evolve: Callable[[S, E], S]
    initial: Callable[[], S]


@dataclass(frozen=True)
class Given(Generic[C, S, E]):
    spec: Spec[C, S, E]
    state: S

    def when(self, command: C) -> list[E]:
        return self.spec.decide(command, self.state)

    def after(self, *commands: C) -> "Given[C, S, E]":
        """The same history with what these commands add to it."""
        state = self.state
        for command in commands:
            state = reduce(self.spec.evolve, self.spec.decide(command, state), state)
        return Given(self.spec, state)


def given(spec: Spec[C, S, E], *events: E) -> Given[C, S, E]:
    return Given(spec, reduce(spec.evolve, events, spec.initial()))
