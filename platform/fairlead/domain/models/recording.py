"""What makes two requests the same: all that is asked, and not whether the answer is streamed."""

from typing import Any

import msgspec
import re2
from msgspec.structs import replace

from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.models.request import ModelRequest

# What fences text of others is made anew for each run (domain/agents/fencing.py), and means the same in all of them.
_MARK = re2.compile(r"data-[0-9a-f]{32}")


def request_hash(request: ModelRequest) -> str:
    """The same wherever it is asked: fields that say nothing do not count, nor does the order of fields."""
    return canonical_sha256(_plain(request))


def recording_hash(request: ModelRequest) -> str:
    """As `request_hash`, and the same in every run: marks that are made for a run go by their order."""
    encoded = msgspec.json.encode(_plain(request)).decode()
    marks = {mark: f"data-{number}" for number, mark in enumerate(dict.fromkeys(_MARK.findall(encoded)))}
    return canonical_sha256(msgspec.json.decode(_MARK.sub(lambda match: marks[match.group()], encoded)))


def _plain(request: ModelRequest) -> Any:
    return msgspec.to_builtins(replace(request, stream=False))
