"""Whom a model call may go to, what it was written from, and how much it can use at most."""

import msgspec
from msgspec import Struct

from fairlead.domain.models.content import Image
from fairlead.domain.models.request import ModelRequest

IMAGE_TOKENS = 50_000  # of a picture behind an address, however large: more than any provider counts
TOOLS_TOKENS = 2_000  # what a provider says of its own about tools
DEFAULT_MAX_OUTPUT_TOKENS = 4_096

_encode = msgspec.json.Encoder().encode


class ModelCandidate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`provider` is the name of a connector that serves models; `connection` empty: the only one of it, or none."""

    provider: str
    model: str
    connection: str = ""


class PromptUsed(Struct, frozen=True, kw_only=True):
    """The template that a request was made from."""

    name: str
    version: int


def most_input_tokens(request: ModelRequest) -> int:
    """No token is shorter than a byte, so its size as JSON is enough for all but what only has an address."""
    images = sum(isinstance(part, Image) for message in request.messages for part in message.parts)
    return len(_encode(request)) + images * IMAGE_TOKENS + (TOOLS_TOKENS if request.tools else 0)
