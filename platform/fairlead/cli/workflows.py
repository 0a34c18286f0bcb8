"""`fairlead workflow`: check documents, publish them, look at their versions."""

from pathlib import Path
from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.documents import Document, document_in
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.places import WORKFLOWS, workspace_id
from fairlead.cli.runs import reason_option, workspace_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import Params, path
from fairlead.cli.views.workflows import PUBLISHED, VERSION, WORKFLOW, WORKFLOW_STATE


@click.group()
def workflow() -> None:
    """Check workflow documents, publish them, look at their versions."""


@workflow.command("validate")
@click.argument("file")
@client_command
def validate(session: Session, file: str) -> None:
    """Check the document in FILE (JSON or YAML, - for standard input) completely. Changes nothing."""
    document = document_in(file)
    verdict = session.api.send("POST", path("workflows", "validate"), document.body, document.media_type).body
    if not verdict["valid"]:
        problems = tuple(f"{problem['path'] or '/'}: {problem['message']}" for problem in verdict["problems"])
        raise Failure(f"{file} is not valid", Exit.INVALID, details=problems, document=verdict)
    session.out.done(f"{file} is valid", verdict)


@workflow.command("publish")
@click.argument("file")
@reason_option
@workspace_option
@click.option("--follows", type=click.IntRange(min=0), help="Only if this is the newest version; 0 for none yet.")
@client_command
def publish(session: Session, file: str, reason: str, workspace: str | None, follows: int | None) -> None:
    """Publish the document in FILE as a new version. The same document again adds none."""
    document = document_in(file)
    params = {"reason": reason, **_where(session, workspace)}
    published = session.api.send(
        "PUT", path("workflows", _name_in(document)), document.body, document.media_type, params, _follows(follows)
    )
    session.out.one(published.body, PUBLISHED)


@workflow.command("list")
@click.option("--workspace", help="Only those of this workspace: its name or id.")
@click.option("--archived/--not-archived", default=None, help="Only these; else all.")
@limit_option
@client_command
def list_workflows(session: Session, workspace: str | None, archived: bool | None, limit: int) -> None:
    """List workflows."""
    params = {"archived": archived, **_where(session, workspace)}
    session.out.many(session.api.pages(WORKFLOWS, params, limit=limit), WORKFLOW)


@workflow.command("show")
@click.argument("workflow")
@click.option("--version", type=click.IntRange(min=1), help="Show this version with its document.")
@workspace_option
@client_command
def show(session: Session, workflow: str, version: int | None, workspace: str | None) -> None:
    """Show a workflow, which is a name or an id, or one version with its document."""
    parts, view = ((), WORKFLOW) if version is None else (("versions", str(version)), VERSION)
    found = session.api.get(path("workflows", workflow, *parts), _where(session, workspace))
    session.out.one(found.body, view)


@workflow.command("versions")
@click.argument("workflow")
@workspace_option
@limit_option
@client_command
def versions(session: Session, workflow: str, workspace: str | None, limit: int) -> None:
    """List every version ever published, newest first."""
    found = session.api.pages(path("workflows", workflow, "versions"), _where(session, workspace), limit=limit)
    session.out.many(found, VERSION)


@workflow.command("archive")
@click.argument("workflow")
@reason_option
@workspace_option
@client_command
def archive(session: Session, workflow: str, reason: str, workspace: str | None) -> None:
    """Take no new runs and no new versions; runs under way go on."""
    _change(session, workflow, "archive", reason, workspace)


@workflow.command("restore")
@click.argument("workflow")
@reason_option
@workspace_option
@client_command
def restore(session: Session, workflow: str, reason: str, workspace: str | None) -> None:
    """Take runs and versions again."""
    _change(session, workflow, "restore", reason, workspace)


def _change(session: Session, workflow: str, what: str, reason: str, workspace: str | None) -> None:
    resource = path("workflows", workflow, what)
    changed = session.api.post(resource, {"reason": reason}, params=_where(session, workspace))
    session.out.one(changed.body, WORKFLOW_STATE)


def _where(session: Session, workspace: str | None) -> Params:
    """Without a workspace the server looks in the one called default."""
    return {} if workspace is None else {"workspace_id": workspace_id(session.api, workspace)}


def _follows(version: int | None) -> dict[str, str]:
    if version is None:
        return {}
    return {"If-None-Match": "*"} if version == 0 else {"If-Match": f'"{version}"'}


def _name_in(document: Document) -> str:
    value: Any = document.value()
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        raise Failure(f"{Path(document.source).name} has no name", Exit.INVALID, details=("/name: is missing",))
    return name
