"""What a connector says that serves models. It declares, and runs no code: the platform speaks the wire itself."""

from enum import StrEnum

from msgspec import Struct


class Wire(StrEnum):
    """How a provider is spoken to."""

    OPENAI_CHAT = "openai_chat"
    OPENAI_RESPONSES = "openai_responses"
    ANTHROPIC_MESSAGES = "anthropic_messages"


class Ability(StrEnum):
    TOOLS = "tools"
    PARALLEL_TOOLS = "parallel_tools"
    STRUCTURED = "structured"  # answers to a JSON Schema
    IMAGES = "images"
    REASONING = "reasoning"


class Model(Struct, frozen=True, kw_only=True):
    """`name` is the provider's own, as it goes over the wire."""

    name: str
    context_tokens: int
    max_output_tokens: int
    abilities: tuple[Ability, ...] = ()


class ModelTimes(Struct, frozen=True, kw_only=True):
    """Each a bound of its own: to connect, until the first piece of an answer, between two pieces, and for all."""

    connect_s: float = 5.0
    first_token_s: float = 60.0
    between_s: float = 60.0
    total_s: float = 600.0


class ModelService(Struct, frozen=True, kw_only=True):
    """`base_url` is what the wire's paths are put behind; `{field}` in it stands for that field of the connection.

    `models` empty: whatever the tenant names is asked for, as with servers that people run themselves. `regions` are
    where what is sent may be read; empty where nobody can say. `headers` go with every request.
    """

    wire: Wire
    base_url: str
    models: tuple[Model, ...] = ()
    regions: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    times: ModelTimes = ModelTimes()
    max_tokens_field: str = "max_completion_tokens"  # what the chat wire calls the bound of an answer
    default_max_tokens: int = 4_096  # for wires that want a bound where nobody gave one
