"""Why a call was not answered, with a status that tells a client whether to ask again, to ask for something else, or to
ask somebody."""

from collections.abc import Mapping

from fairlead.api.mcp.messages import RpcError
from fairlead.api.problems import status_of
from fairlead.api.wire_errors import Refusal
from fairlead.domain.errors import FairleadError
from fairlead.domain.models.failures import FailureClass, ModelFailed
from fairlead.domain.runs.events import ModelRefusedBy
from fairlead.handling.model_door import ModelRefused

BY: Mapping[ModelRefusedBy, int] = {
    "budget": 429,
    "limit": 429,
    "price": 422,
    "route": 404,
    "policy": 403,
    "guardrail": 403,
    "residency": 403,
    "switch": 503,
}
OF_FAILURE: Mapping[FailureClass, int] = {
    "transient": 502,
    "rate_limited": 429,
    "timeout": 504,
    "permission": 502,  # the provider's account is not the client's
    "permanent": 502,
    "validation": 400,
    "content_refused": 400,
    "context_too_long": 400,
}
_CODES: Mapping[str, str] = {"context_too_long": "context_length_exceeded", "content_refused": "content_filter"}


def refusal_of(error: Exception, trace_id: str) -> Refusal | None:
    """None for what nobody expected."""
    match error:
        case ModelRefused():
            status, code, wait_s = BY[error.by], error.code, error.retry_after_s
        case ModelFailed():
            status, code = OF_FAILURE[error.error_class], _CODES.get(error.error_class, error.code)
            wait_s = error.retry_after_s
        case FairleadError():
            status, code, wait_s = status_of(type(error)), error.code, getattr(error, "retry_after_s", None)
        case RpcError(http_status=int(status)):
            code, wait_s = "run_needed", None
        case _:
            return None
    problems = getattr(error, "problems", None)
    return Refusal(
        status=400 if status == 422 else status,  # what these wires say of a body that cannot be taken
        code=code,
        message=str(error),
        missing=getattr(error, "missing", None),
        param=problems[0].path.strip("/").replace("/", ".") if problems else "",
        trace_id=trace_id,
        retry_after_s=wait_s,
    )
