"""What messages hold. Anything that a wire says and we have no word for stays beside what we know, and goes back over
the same wire as it came."""

from typing import Any, Literal

from fairlead_sdk.models import Wire
from msgspec import Struct

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Extra(Struct, frozen=True):
    """Fields of one wire that we do not know, where they stood. They mean nothing to another wire."""

    wire: Wire
    fields: dict[str, Any]


class Text(Struct, frozen=True, kw_only=True, tag="text", omit_defaults=True):
    text: str
    extra: Extra | None = None


class Image(Struct, frozen=True, kw_only=True, tag="image", omit_defaults=True):
    """A reference: an address, or a `data:` address with the picture in it."""

    url: str
    detail: str = ""
    extra: Extra | None = None


class Thinking(Struct, frozen=True, kw_only=True, tag="thinking", omit_defaults=True):
    """How the model came to its answer. `signature` is how the provider knows its own words again: it goes back over
    `wire` and no other. None: plain text, which nobody signs."""

    text: str
    signature: str = ""
    wire: Wire | None = None
    extra: Extra | None = None


class Refusal(Struct, frozen=True, kw_only=True, tag="refusal", omit_defaults=True):
    """In the model's own words."""

    text: str
    extra: Extra | None = None


class ToolCall(Struct, frozen=True, kw_only=True, tag="tool_call", omit_defaults=True):
    """`arguments` is JSON as the model wrote it, which may be no JSON at all. `name` is as on the wire."""

    call_id: str
    name: str
    arguments: str
    extra: Extra | None = None


class ToolResult(Struct, frozen=True, kw_only=True, tag="tool_result", omit_defaults=True):
    call_id: str
    content: "tuple[Text | Image | Opaque, ...]" = ()
    is_error: bool = False
    extra: Extra | None = None


class Opaque(Struct, frozen=True, tag="opaque"):
    """A thing of a kind that we have no word for. It goes back over its own wire, and over no other."""

    wire: Wire
    body: Any


Part = Text | Image | Thinking | Refusal | ToolCall | ToolResult | Opaque


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message of role `tool` holds one result and nothing else."""

    role: Role
    parts: tuple[Part, ...] = ()
    name: str = ""
    extra: Extra | None = None
