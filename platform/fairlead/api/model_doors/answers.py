"""Answers over a vendor's wire: whole, or piece by piece. What we have to say of them goes beside them."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import msgspec
from fairlead_sdk.models import Wire

from fairlead.api.wire_errors import Refusal, data, event, in_stream
from fairlead.domain.models.wires import FORMS
from fairlead.handling.model_door import Answered, DoorCall, DoorStream, ModelDoor, Told

_encode = msgspec.json.Encoder().encode
Explain = Callable[[Exception], Refusal | None]


def whole(wire: Wire, answered: Answered) -> bytes:
    """Raises Untranslatable."""
    return _encode(FORMS[wire].write_answer(answered.answer).body)


def headers_of(call: DoorCall, provider: str, model: str, told: Told | None = None) -> dict[str, str]:
    """What it has cost is known once it is whole, and of a stream told in a comment before its end."""
    headers = {
        "Fairlead-Run": call.run.id,
        "Fairlead-Model-Call": call.call_id,
        "Fairlead-Provider": provider,
        "Fairlead-Model": model,
    }
    if told is not None:
        headers["Fairlead-Cost-Usd-Micros"] = str(told.cost_usd_micros)
        if told.cached:
            headers["Fairlead-Cached"] = told.cached
    return {name: value for name, value in headers.items() if value.isascii() and value.isprintable()}


class Pieces:
    """A streamed answer on its way. `begin` it before its headers are sent: what refuses it is then still a status."""

    def __init__(self, wire: Wire, models: ModelDoor, call: DoorCall, explain: Explain) -> None:
        self._wire = wire
        self._models = models
        self._call = call
        self._explain = explain
        self._chunks = self._all()
        self.headers: Mapping[str, str] = {}

    async def begin(self) -> "Pieces":
        """Itself, begun. Raises what ModelDoor.stream raises. From then on it ends what it holds, read or not."""
        await anext(self._chunks)
        return self

    @property
    def chunks(self) -> AsyncGenerator[bytes]:
        return self._chunks

    async def _all(self) -> AsyncGenerator[bytes]:
        async with self._models.stream(self._call) as answering:
            self.headers = headers_of(self._call, answering.provider, answering.model)
            yield b""
            try:
                async for chunk in self._written(answering):
                    yield chunk
            except Exception as error:  # the status has gone: only the stream itself can still tell
                if (refusal := self._explain(error)) is None:
                    raise
                yield in_stream(self._wire, refusal)

    async def _written(self, answering: DoorStream) -> AsyncGenerator[bytes]:
        form = FORMS[self._wire]
        writer, shaped = form.writer(), data if self._wire is Wire.OPENAI_CHAT else event
        async for delta in answering:
            if answering.told is not None:
                yield f": cost_usd_micros={answering.told.cost_usd_micros}\n\n".encode()
            for each in writer.write(delta):
                yield f"data: {form.last_word}\n\n".encode() if each is None else shaped(each)


def models_listed(routes: tuple[str, ...]) -> dict[str, Any]:
    """In the form of OpenAI's list of models."""
    return {
        "object": "list",
        "data": [{"id": route, "object": "model", "created": 0, "owned_by": "fairlead"} for route in routes],
    }
