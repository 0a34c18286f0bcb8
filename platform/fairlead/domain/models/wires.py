"""Every wire: its path, and what reads and writes it."""

from collections.abc import Callable
from typing import Any, Protocol

from fairlead_sdk.models import Wire
from msgspec import Struct

from fairlead.domain.models import (
    anthropic,
    anthropic_answer,
    openai_chat,
    openai_chat_answer,
    openai_responses,
    openai_responses_answer,
    openai_responses_stream,
)
from fairlead.domain.models.answer import Delta, ModelAnswer
from fairlead.domain.models.request import ModelRequest
from fairlead.domain.models.writing import Dialect, Written


class StreamReader(Protocol):
    def read(self, event: Any, /) -> list[Delta]:
        """Raises Unreadable."""


class StreamWriter(Protocol):
    def write(self, delta: Delta, /) -> list[Any]:
        """Raises Untranslatable."""


class WireForm(Struct, frozen=True, kw_only=True):
    """`last_word` is the data of the event that ends a stream and is no JSON; it is read and written as None."""

    path: str
    last_word: str
    read_request: Callable[[Any], ModelRequest]
    write_request: Callable[[ModelRequest, Dialect], Written]
    read_answer: Callable[[Any], ModelAnswer]
    write_answer: Callable[[ModelAnswer], Written]
    reader: Callable[[], StreamReader]
    writer: Callable[[], StreamWriter]


FORMS = {
    Wire.OPENAI_CHAT: WireForm(
        path="/chat/completions",
        last_word="[DONE]",
        read_request=openai_chat.read_request,
        write_request=openai_chat.write_request,
        read_answer=openai_chat_answer.read_answer,
        write_answer=openai_chat_answer.write_answer,
        reader=openai_chat_answer.ChatReader,
        writer=openai_chat_answer.ChatWriter,
    ),
    Wire.OPENAI_RESPONSES: WireForm(
        path="/responses",
        last_word="",
        read_request=openai_responses.read_request,
        write_request=openai_responses.write_request,
        read_answer=openai_responses_answer.read_answer,
        write_answer=openai_responses_answer.write_answer,
        reader=openai_responses_stream.ResponsesReader,
        writer=openai_responses_stream.ResponsesWriter,
    ),
    Wire.ANTHROPIC_MESSAGES: WireForm(
        path="/v1/messages",
        last_word="",
        read_request=anthropic.read_request,
        write_request=anthropic.write_request,
        read_answer=anthropic_answer.read_answer,
        write_answer=anthropic_answer.write_answer,
        reader=anthropic_answer.MessagesReader,
        writer=anthropic_answer.MessagesWriter,
    ),
}
