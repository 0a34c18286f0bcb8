"""`fairlead route` and `fairlead residency`: which models are asked, and where data may be read."""

from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.documents import document_in
from fairlead.cli.runs import reason_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import path
from fairlead.cli.views.policies import POLICY_CHANGE
from fairlead.cli.views.routes import RESIDENCY, ROUTE, ROUTE_EXPLANATION, ROUTE_STATE, ROUTE_VERSION

ROUTES = "/v1/routes"
RESIDENCY_PATH = "/v1/residency"


@click.group()
def route() -> None:
    """Which models are asked, in which order, and within which bounds."""


@route.command("publish")
@click.argument("route")
@click.argument("file")
@reason_option
@click.option("--follows", type=click.IntRange(min=0), help="Only if this is the newest version; 0 for none yet.")
@client_command
def publish(session: Session, route: str, file: str, reason: str, follows: int | None) -> None:
    """Publish the document in FILE (JSON or YAML, - for standard input)."""
    document = document_in(file)
    match = {} if follows is None else {"If-None-Match": "*"} if follows == 0 else {"If-Match": f'"{follows}"'}
    params = {"reason": reason}
    sent = session.api.send("PUT", path("routes", route), document.body, document.media_type, params, match)
    session.out.one(sent.body, ROUTE_STATE)


@route.command("list")
@limit_option
@client_command
def list_routes(session: Session, limit: int) -> None:
    """List routes, retired ones too."""
    session.out.many(session.api.pages(ROUTES, {}, limit=limit), ROUTE)


@route.command("show")
@click.argument("route")
@click.option("--version", type=click.IntRange(min=1), help="Show this version with its document.")
@client_command
def show(session: Session, route: str, version: int | None) -> None:
    """Show a route with its newest document, or one version."""
    parts, view = ((), ROUTE) if version is None else (("versions", str(version)), ROUTE_VERSION)
    session.out.one(session.api.get(path("routes", route, *parts)).body, view)


@route.command("versions")
@click.argument("route")
@limit_option
@client_command
def versions(session: Session, route: str, limit: int) -> None:
    """List every version ever published, newest first."""
    session.out.many(session.api.pages(path("routes", route, "versions"), {}, limit=limit), ROUTE_VERSION)


@route.command("diff")
@click.argument("route")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--base", type=click.IntRange(min=0), help="Compare with this version; else with the one before.")
@client_command
def diff(session: Session, route: str, version: int, base: int | None) -> None:
    """Show what a version changed."""
    found: Any = session.api.get(path("routes", route, "versions", str(version), "difference"), {"base": base}).body
    session.out.many(iter(found["changes"]), POLICY_CHANGE)


@route.command("rollback")
@click.argument("route")
@click.option("--to", "to_version", type=click.IntRange(min=1), help="This version; else the one before.")
@reason_option
@client_command
def rollback(session: Session, route: str, to_version: int | None, reason: str) -> None:
    """Publish an earlier version's document again."""
    body = {"reason": reason, "to_version": to_version}
    session.out.one(session.api.post(path("routes", route, "rollback"), body).body, ROUTE_STATE)


@route.command("retire")
@click.argument("route")
@reason_option
@client_command
def retire(session: Session, route: str, reason: str) -> None:
    """Let nothing be asked by it any more."""
    session.out.one(session.api.delete(path("routes", route), {"reason": reason}).body, ROUTE_STATE)


@route.command("explain")
@click.argument("route")
@click.option("--task-class", help="What it is for.")
@click.option("--ability", "abilities", multiple=True, help="What the model has to be able to do; repeatable.")
@click.option("--input-bytes", type=click.IntRange(min=0), default=4_000, show_default=True, help="Size of the input.")
@click.option("--output-tokens", type=click.IntRange(min=1), help="Longest answer.")
@click.option("--session", "stuck_to", default="", help="The session that it belongs to.")
@client_command
def explain(
    session: Session,
    route: str,
    task_class: str | None,
    abilities: tuple[str, ...],
    input_bytes: int,
    output_tokens: int | None,
    stuck_to: str,
) -> None:
    """Say whom the route would choose now, and why. Nothing is asked."""
    body = {
        "task_class": task_class,
        "abilities": list(abilities),
        "input_size_bytes": input_bytes,
        "max_output_tokens": output_tokens,
        "session": stuck_to,
    }
    session.out.one(session.api.post(path("routes", route, "explain"), body).body, ROUTE_EXPLANATION)


@route.command("forget")
@click.argument("route")
@reason_option
@client_command
def forget(session: Session, route: str, reason: str) -> None:
    """Give no answer again that was kept until now."""
    session.api.delete(f"{path('routes', route)}/answers", {"reason": reason})
    session.out.done(f"answers of {route} are forgotten", {"name": route})


@click.group()
def residency() -> None:
    """In which regions, and by whose models, the tenant's data may be read."""


@residency.command("show")
@client_command
def show_residency(session: Session) -> None:
    """Show which regions and providers may see it."""
    session.out.one(session.api.get(RESIDENCY_PATH).body, RESIDENCY)


@residency.command("set")
@click.option("--region", "regions", multiple=True, help="Only these; repeatable.")
@click.option("--any-region", is_flag=True, help="Whatever the region.")
@click.option("--provider", "providers", multiple=True, help="Only these; repeatable.")
@click.option("--any-provider", is_flag=True, help="Whoever serves the model.")
@reason_option
@client_command
def set_residency(
    session: Session,
    regions: tuple[str, ...],
    any_region: bool,
    providers: tuple[str, ...],
    any_provider: bool,
    reason: str,
) -> None:
    """Say which may see it; what is not named stays."""
    found = session.api.get(RESIDENCY_PATH).body
    body = {"regions": found["regions"], "providers": found["providers"], "reason": reason}
    for name, named, is_any in (("regions", regions, any_region), ("providers", providers, any_provider)):
        if named or is_any:
            body[name] = None if is_any else list(named)
    headers = {"If-Match": f'"{found["version"]}"'}
    session.out.one(session.api.put(RESIDENCY_PATH, body, headers).body, RESIDENCY)
