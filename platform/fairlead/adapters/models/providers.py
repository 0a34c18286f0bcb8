"""Speaks every wire over HTTP. What a provider sends is bounded, read strictly, and never quoted in an error."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import msgspec
from fairlead_sdk.egress import field_of, filled
from fairlead_sdk.errors import AnswerTooLarge, NeedsReconnect, Refused, ToolError, TryLater

from fairlead.adapters.models.streams import StreamedAnswer
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.outbound.client import MOST_ANSWER_BYTES
from fairlead.adapters.outbound.exchange import Arriving
from fairlead.domain.models.answer import ModelAnswer
from fairlead.domain.models.errors import Unreadable, Untranslatable
from fairlead.domain.models.failures import MAX_ERROR_BYTES, FailureClass, ModelFailed, failure_of
from fairlead.domain.models.request import ModelRequest
from fairlead.domain.models.wires import FORMS
from fairlead.domain.models.writing import Dialect
from fairlead.ports import Clock, ModelOrder

_OK = range(200, 300)


class WireModels:
    """Implements `ports.Models`."""

    def __init__(self, outbound: GuardedOutbound, clock: Clock) -> None:
        self._outbound = outbound
        self._clock = clock

    async def ask(self, order: ModelOrder) -> ModelAnswer:
        with failing():
            request = msgspec.structs.replace(order.request, stream=False)
            async with self._sent(order, request, order.service.times.total_s) as arriving:
                body = await _whole(arriving, MOST_ANSWER_BYTES, order.service.times.total_s)
            return FORMS[order.service.wire].read_answer(msgspec.json.decode(body))

    @asynccontextmanager
    async def stream(self, order: ModelOrder) -> AsyncIterator[StreamedAnswer]:
        ends_at = asyncio.get_running_loop().time() + order.service.times.first_token_s
        request = msgspec.structs.replace(order.request, stream=True)
        async with AsyncExitStack() as held:
            with failing():
                arriving = await held.enter_async_context(self._sent(order, request, order.service.times.first_token_s))
            yield StreamedAnswer(arriving, order.service, ends_at, self._clock.now(), failing)

    @asynccontextmanager
    async def _sent(self, order: ModelOrder, request: ModelRequest, first_s: float) -> AsyncIterator[Arriving]:
        """An answer with a status that is one. Raises ModelFailed for any other."""
        service = order.service
        dialect = Dialect(max_tokens_field=service.max_tokens_field, default_max_tokens=service.default_max_tokens)
        body = msgspec.json.encode(FORMS[service.wire].write_request(request, dialect).body)
        accepted = "text/event-stream" if request.stream else "application/json"
        headers = {"content-type": "application/json", "accept": accepted, **dict(service.headers)}
        times = service.times
        way = msgspec.structs.replace(order.way, timeout_s=min(order.way.timeout_s, times.total_s))
        async with self._outbound.http(way).open(
            _address(order),
            headers=headers,
            body=body,
            connect_s=times.connect_s,
            first_s=first_s,
            between_s=times.between_s,
        ) as arriving:
            if arriving.status not in _OK:
                said = await _beginning(arriving, MAX_ERROR_BYTES, times.between_s)
                raise failure_of(arriving.status, arriving.headers, said, self._clock.now())
            yield arriving


def _address(order: ModelOrder) -> str:
    config, base_url = order.way.config, order.service.base_url
    field = field_of(base_url)
    base = filled(base_url, config) if field is None else config.get(field, "")
    return base.rstrip("/") + FORMS[order.service.wire].path


async def _whole(arriving: Arriving, max_bytes: int, total_s: float) -> bytes:
    body = bytearray()
    while (piece := await arriving.piece(total_s)) is not None:
        body += piece
        if len(body) > max_bytes:
            raise AnswerTooLarge("the provider answered with too many bytes")
    return bytes(body)


async def _beginning(arriving: Arriving, max_bytes: int, timeout_s: float) -> bytes:
    """As much of an error as is looked at; one that does not come is none."""
    body = bytearray()
    try:
        while len(body) < max_bytes and (piece := await arriving.piece(timeout_s)) is not None:
            body += piece
    except ToolError:
        return bytes(body)
    return bytes(body)


@contextmanager
def failing() -> Iterator[None]:
    """Whatever goes wrong with a provider becomes one kind of error, that says what can be done."""
    try:
        yield
    except TimeoutError:
        raise ModelFailed(
            "timeout", "timeout", "the provider gave no whole answer in time", may_be_charged=True
        ) from None
    except Untranslatable as error:
        raise ModelFailed("validation", error.code, str(error)) from None
    except (Unreadable, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = "the provider's answer is not what its wire says"
        raise ModelFailed("transient", "bad_answer", message, may_be_charged=True) from None
    except AnswerTooLarge:
        message = "the provider answered with too many bytes"
        raise ModelFailed("permanent", "answer_too_large", message, may_be_charged=True) from None
    except ToolError as error:
        raise _of_the_way(error) from None


def _of_the_way(error: ToolError) -> ModelFailed:
    """The texts of the way out name the host and nothing else."""
    match error:
        case Refused():
            return ModelFailed("permanent", error.code, str(error))
        case NeedsReconnect():
            return ModelFailed("permission", error.code, str(error))
    error_class: FailureClass = "timeout" if error.code == "timeout" else "transient"
    return ModelFailed(error_class, error.code, str(error), may_be_charged=not isinstance(error, TryLater))
