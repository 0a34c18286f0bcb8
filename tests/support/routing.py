"""Routes of models, and what is known of their candidates, for tests."""

from typing import Any

import msgspec
from fairlead_sdk.models import ModelService, Wire
from fairlead_tenants.ids import EnvironmentId, WorkspaceId

from fairlead.domain.prices import Priced, Rates
from fairlead.domain.routing.asking import Route, Wanted
from fairlead.domain.routing.document import RouteDocument
from fairlead.domain.routing.standing import Residency, Situation, Standing
from tests.support.clock import T0


def candidate(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "provider": "acme", "model": f"{name}-1", **fields}


def document(*candidates: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"fairlead_route": 1, "candidates": list(candidates), **fields}


def route(*candidates: dict[str, Any], shares: dict[str, int] | None = None, **fields: Any) -> Route:
    found = msgspec.convert(document(*candidates, **fields), RouteDocument)
    return Route(name="cheap", version=3, document=found, shares=shares or {})


def wanted(call_id: str = "mcl_1", **fields: Any) -> Wanted:
    said: dict[str, Any] = {"max_output_tokens": 100} | fields
    return Wanted(call_id=call_id, workspace_id=WorkspaceId("wsp_a"), environment_id=EnvironmentId("env_main"), **said)


def priced(output: int = 1_000_000) -> Priced:
    rates = Rates(provider="acme", model="*", valid_from=T0, input=0, output=output)
    return Priced(version="2026-03", rates=rates)


def service(**fields: Any) -> ModelService:
    return ModelService(wire=Wire.OPENAI_CHAT, base_url="https://models.example/v1", **fields)


def standing(**fields: Any) -> Standing:
    return Standing(**{"service": service(), "priced": priced()} | fields)


def situation(limits: Residency | None = None, /, **of: Standing) -> Situation:
    return Situation(standing=of, residency=limits or Residency())
