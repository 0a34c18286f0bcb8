"""What makes two requests the same: all that is asked, and not whether the answer is streamed."""

import msgspec
from msgspec.structs import replace

from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.models.request import ModelRequest


def request_hash(request: ModelRequest) -> str:
    """The same wherever it is asked: fields that say nothing do not count, nor does the order of fields."""
    return canonical_sha256(msgspec.to_builtins(replace(request, stream=False)))
