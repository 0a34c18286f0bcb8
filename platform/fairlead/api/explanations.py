"""Why a call was made and why a run ended so, and a run as it can be carried elsewhere: all of it from the log."""

from fairlead_tenants.access import Permission, Principal
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from fairlead.api.guards import requires
from fairlead.api.looking import Looking
from fairlead.api.parts import ApiParts, Sight
from fairlead.api.run_access import load_run, place_of_run
from fairlead.api.tool_calls import NoSuchCall
from fairlead.domain.bundles import Bundle
from fairlead.domain.errors import Rejected
from fairlead.domain.explaining import Why, why_call, why_ending, why_model_call
from fairlead.domain.ids import parent_id
from fairlead.domain.runs.errors import NoSuchRun
from fairlead.domain.subjects import token
from fairlead.handling.evidence import Gathering
from fairlead.handling.governance import Governance


class RunNotEnded(Rejected):
    """The run is still under way: there is no ending to explain."""

    code = "run_not_ended"


@get("/v1/tool-calls/{call_id:str}/why", opt=requires(Permission.RUN_READ), tags=["Tool calls"])
async def explain_tool_call(
    call_id: FromPath[str],
    principal: NamedDependency[Principal],
    parts: NamedDependency[ApiParts],
    looking: NamedDependency[Looking],
) -> Why:
    """Why a call was made: the plan, what it read, the rule with what it looked at, who signed, and what came of it.

    Each node is an event with its position. Contents that tools gave are named by their hash.
    """
    run_id = parent_id("run", call_id)
    try:
        looking.check(place_of_run((await load_run(parts, principal, run_id, Permission.RUN_READ)).run))
        found = why_call(await gathering(parts, looking.sight).of_run(principal.tenant_id, run_id), call_id)
    except NoSuchRun:
        found = None
    if found is None:
        raise NoSuchCall("no such call")
    return found


@get("/v1/runs/{run_id:str}/model-calls/{call_id:str}/why", opt=requires(Permission.RUN_READ), tags=["Runs"])
async def explain_model_call(
    run_id: FromPath[str],
    call_id: FromPath[str],
    principal: NamedDependency[Principal],
    parts: NamedDependency[ApiParts],
    looking: NamedDependency[Looking],
) -> Why:
    """Why a model was asked: the plan, what it read, which model was chosen with the figures, and what came of it.

    What was asked and answered is named by its hash.
    """
    looking.check(place_of_run((await load_run(parts, principal, run_id, Permission.RUN_READ)).run))
    found = why_model_call(await gathering(parts, looking.sight).of_run(principal.tenant_id, run_id), call_id)
    if found is None:
        raise NoSuchCall("no such call")
    return found


@get("/v1/runs/{run_id:str}/why", opt=requires(Permission.RUN_READ), tags=["Runs"])
async def explain_ending(
    run_id: FromPath[str],
    principal: NamedDependency[Principal],
    parts: NamedDependency[ApiParts],
    looking: NamedDependency[Looking],
) -> Why:
    """Why a run ended as it did, as a tree of events."""
    looking.check(place_of_run((await load_run(parts, principal, run_id, Permission.RUN_READ)).run))
    found = why_ending(await gathering(parts, looking.sight).of_run(principal.tenant_id, run_id))
    if found is None:
        raise RunNotEnded(f"run {run_id} has not ended")
    return found


@get("/v1/runs/{run_id:str}/bundle", opt=requires(Permission.EXPORT_READ), tags=["Exports"])
async def export_bundle(
    run_id: FromPath[str],
    principal: NamedDependency[Principal],
    parts: NamedDependency[ApiParts],
    looking: NamedDependency[Looking],
) -> Response[Bundle]:
    """A run with all that decided about it, to be decided again elsewhere. It fits `bundle.schema.json`.

    One that is masked says so: what is decided on sensitive values comes out otherwise there.
    """
    looking.check(place_of_run((await load_run(parts, principal, run_id, Permission.EXPORT_READ)).run))
    return as_file(await gathering(parts, looking.sight).bundle(principal.tenant_id, run_id))


def as_file(bundle: Bundle) -> Response[Bundle]:
    disposition = f'attachment; filename="{token(bundle.run_id)}.bundle.json"'
    return Response(bundle, headers={"Content-Disposition": disposition})


def gathering(parts: ApiParts, shown: Sight | None = None) -> Gathering:
    """What is not to be shown is gathered with all there is."""
    governance = Governance(
        log=parts.log, rulebook=parts.rulebook, policies=parts.tools.policies, expressions=parts.expressions
    )
    shown = shown or parts.unmasked
    return Gathering(
        log=parts.log,
        shown=shown.log,
        masked=shown.contents.masked,
        rulebook=parts.rulebook,
        governance=governance,
        clock=parts.clock,
    )
