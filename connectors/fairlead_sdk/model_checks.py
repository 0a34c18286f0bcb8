"""What a manifest must say of the models that it serves."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fairlead_sdk.auth import AuthKind
from fairlead_sdk.egress import field_of, fields_in, filled, place_of, reach_of
from fairlead_sdk.models import ModelService, Wire

if TYPE_CHECKING:
    from fairlead_sdk.contract import Manifest

Said = Iterator[tuple[str, str]]  # code, message

MAX_MODELS = 500
MAX_TOTAL_S = 3_600.0
_TOKEN_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def model_faults(manifest: "Manifest") -> Said:
    service = manifest.models
    if service is None:
        return
    wire: Any = service.wire
    if not isinstance(wire, Wire):
        yield "models", f"{wire!r} is no wire: use Wire"
    if manifest.auth.handed_over or manifest.auth.kind is AuthKind.BASIC:
        yield "models", "the key of a provider is added on the way out"
    yield from _address(manifest, service)
    yield from _models(service)
    yield from _times(service)


def _address(manifest: "Manifest", service: ModelService) -> Said:
    known = {field.name for field in manifest.config}
    for name in fields_in(service.base_url):
        if name not in known:
            yield "models", f"the address speaks of the field {name}, which is not in config"
    if field_of(service.base_url) is not None:
        if service.base_url not in manifest.egress:
            yield "models", f"{service.base_url} is not among the hosts of egress"
        return
    place = place_of(filled(service.base_url, dict.fromkeys(fields_in(service.base_url), "field")))
    if place is None or not service.base_url.startswith("https://"):
        yield "models", "the address begins with https:// and names a host, or is a field"
        return
    entries = (reach_of(filled(entry, dict.fromkeys(fields_in(entry), "field"))) for entry in manifest.egress)
    if not any(reach is not None and reach.covers(*place) for reach in entries):
        yield "models", "the address is not among the hosts of egress"


def _models(service: ModelService) -> Said:
    if len(service.models) > MAX_MODELS:
        yield "models", f"at most {MAX_MODELS} models"
    for name, times in Counter(model.name for model in service.models).items():
        if times > 1:
            yield "models", f"the model {name!r} is there {times} times"
    for model in service.models:
        if not model.name.strip() or min(model.context_tokens, model.max_output_tokens) < 1:
            yield "models", "a model has a name, and bounds of at least one token"
    if service.max_tokens_field not in _TOKEN_FIELDS or service.default_max_tokens < 1:
        yield "models", f"the bound of an answer is at least 1, and called one of {', '.join(_TOKEN_FIELDS)}"


def _times(service: ModelService) -> Said:
    times = service.times
    each: tuple[Any, ...] = (times.connect_s, times.first_token_s, times.between_s, times.total_s)
    if not all(isinstance(one, int | float) and math.isfinite(one) and 0 < one <= MAX_TOTAL_S for one in each):
        yield "models", f"each time is more than 0 and at most {MAX_TOTAL_S:g} s"
