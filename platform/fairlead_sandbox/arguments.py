"""Plain JSON becomes what a connector's functions are written for."""

from typing import Any

import msgspec
from fairlead_sdk.contract import JsonSchema
from fairlead_sdk.errors import BadArguments


def typed(plain: msgspec.Raw, shape: Any) -> Any:
    """Raises BadArguments: the platform has checked the schema, but a type may check itself."""
    try:
        return msgspec.json.decode(plain, type=Any if isinstance(shape, JsonSchema) else shape)
    except Exception as misfit:
        raise BadArguments(f"the tool's type refuses them: {type(misfit).__name__}", "bad_arguments") from misfit
