"""What is known of candidates at the moment of a choice."""

from collections.abc import Mapping
from typing import Literal

from fairlead_sdk.models import Ability, Model, ModelService
from msgspec import Struct

from fairlead.domain.prices import Priced
from fairlead.domain.routing.document import Candidate


class Residency(Struct, frozen=True, kw_only=True):
    """Which regions and providers may see what the tenant sends. None: any."""

    regions: frozenset[str] | None = None
    providers: frozenset[str] | None = None


class Figures(Struct, frozen=True, kw_only=True):
    """Of the last minutes. `checked` answers led to outcomes that were verified, `right` of them as they should."""

    calls: int = 0
    failures: int = 0
    p50_ms: int | None = None
    p95_ms: int | None = None
    checked: int = 0
    right: int = 0

    @property
    def failure_percent(self) -> int:
        return round(100 * self.failures / self.calls) if self.calls else 0

    @property
    def quality_percent(self) -> int:
        return round(100 * self.right / self.checked) if self.checked else 100


class Standing(Struct, frozen=True, kw_only=True):
    """`service` None: the tenant has no such provider. `room_in_s`: when its limits have room again, as it told.

    `breaker` is `cooled` when it is open and one call may find out whether somebody answers.
    """

    service: ModelService | None = None
    priced: Priced | None = None
    breaker: Literal["closed", "cooled", "open"] = "closed"
    cools_in_s: float = 0.0
    room_in_s: float = 0.0
    figures: Figures = Figures()


UNKNOWN = Standing()


class Situation(Struct, frozen=True, kw_only=True):
    """`standing` by the candidate's id."""

    standing: Mapping[str, Standing]
    residency: Residency = Residency()

    def of(self, candidate: Candidate) -> Standing:
        return self.standing.get(candidate.id, UNKNOWN)


def declared(candidate: Candidate, standing: Standing) -> Model | None:
    """What the provider's connector says of the model."""
    if standing.service is None or not standing.service.models:
        return None
    models = standing.service.models
    return next((model for model in models if model.name == candidate.model), None)


def abilities_of(candidate: Candidate, standing: Standing) -> frozenset[Ability]:
    found = declared(candidate, standing)
    return frozenset(found.abilities if found else candidate.abilities)


def regions_of(candidate: Candidate, standing: Standing) -> frozenset[str]:
    """Where it may be read; empty: nobody says."""
    said = standing.service.regions if standing.service else ()
    return frozenset(candidate.regions or said)


def context_of(candidate: Candidate, standing: Standing) -> int | None:
    found = declared(candidate, standing)
    return found.context_tokens if found else candidate.context_tokens


def longest_answer(candidate: Candidate, standing: Standing) -> int | None:
    found = declared(candidate, standing)
    return found.max_output_tokens if found else candidate.max_output_tokens
