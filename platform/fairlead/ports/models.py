"""Where models are asked, and where their answers are kept."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from fairlead_sdk.models import ModelService
from msgspec import Struct

from fairlead.domain.models.answer import Delta, ModelAnswer
from fairlead.domain.models.failures import Window
from fairlead.domain.models.request import ModelRequest
from fairlead.ports.outside import WayOut


class ModelOrder(Struct, frozen=True, kw_only=True):
    """One asking of one provider: what, how it is spoken to, and the way there."""

    request: ModelRequest
    service: ModelService
    way: WayOut


class Answering(Protocol):
    """A streamed answer under way."""

    windows: tuple[Window, ...]  # the provider's limits, as it told them

    def __aiter__(self) -> AsyncIterator[Delta]:
        """Ends with `Ended`, or raises ModelFailed: an answer that was cut off never looks like a whole one."""


@runtime_checkable
class Models(Protocol):
    """Where models are asked. Each raises ModelFailed and nothing else that a provider could cause."""

    async def ask(self, order: ModelOrder) -> ModelAnswer: ...

    def stream(self, order: ModelOrder) -> AbstractAsyncContextManager[Answering]:
        """Raises ModelFailed before the first piece as well."""


class Recordings(Protocol):
    """Answers that were given once, by the hash of what was asked."""

    async def find(self, request_hash: str) -> ModelAnswer | None: ...

    async def keep(self, request_hash: str, request: ModelRequest, answer: ModelAnswer) -> None:
        """Replaces an older one."""
