"""What a model is asked."""

from typing import Any, Literal

from msgspec import Struct

from fairlead.domain.models.content import Extra, Message, Opaque


class ToolOffer(Struct, frozen=True, kw_only=True, tag="tool", omit_defaults=True):
    """A tool as the model sees it; `name` is as on the wire, `parameters` its JSON Schema."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    extra: Extra | None = None


class ToolChoice(Struct, frozen=True, kw_only=True, tag="choice", omit_defaults=True):
    """`named`: that tool and no other."""

    mode: Literal["auto", "none", "required", "named"]
    name: str = ""


class AnswerSchema(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the answer is to look like; without a `schema` any JSON object."""

    document: dict[str, Any] | None = None
    name: str = "answer"
    description: str = ""
    strict: bool | None = None


class Sampling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """None: as the provider has it."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    effort: str | None = None  # of thinking, in the provider's words


class ModelRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolOffer | Opaque, ...] = ()
    tool_choice: ToolChoice | Opaque | None = None
    parallel_tool_calls: bool | None = None
    answer: AnswerSchema | None = None
    sampling: Sampling = Sampling()
    stream: bool = False
    extra: Extra | None = None
