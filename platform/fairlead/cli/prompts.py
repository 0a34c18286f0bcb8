"""`fairlead prompt`: what models are told, version by version."""

from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.documents import document_in
from fairlead.cli.places import workspace_id
from fairlead.cli.runs import reason_option, workspace_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import Params, path
from fairlead.cli.views.policies import POLICY_CHANGE
from fairlead.cli.views.prompts import PROMPT, PROMPT_STATE, PROMPT_VERSION

PROMPTS = "/v1/prompts"


@click.group()
def prompt() -> None:
    """What models are told: publish it, compare versions, take one back."""


@prompt.command("publish")
@click.argument("prompt")
@click.argument("file")
@reason_option
@workspace_option
@click.option("--follows", type=click.IntRange(min=0), help="Only if this is the newest version; 0 for none yet.")
@client_command
def publish(session: Session, prompt: str, file: str, reason: str, workspace: str | None, follows: int | None) -> None:
    """Publish the document in FILE (JSON or YAML, - for standard input)."""
    document = document_in(file)
    match = {} if follows is None else {"If-None-Match": "*"} if follows == 0 else {"If-Match": f'"{follows}"'}
    params = {"reason": reason, **_where(session, workspace)}
    sent = session.api.send("PUT", path("prompts", prompt), document.body, document.media_type, params, match)
    session.out.one(sent.body, PROMPT_STATE)


@prompt.command("list")
@limit_option
@client_command
def list_prompts(session: Session, limit: int) -> None:
    """List prompts."""
    session.out.many(session.api.pages(PROMPTS, {}, limit=limit), PROMPT)


@prompt.command("show")
@click.argument("prompt")
@workspace_option
@click.option("--version", type=click.IntRange(min=1), help="Show this version with its document.")
@client_command
def show(session: Session, prompt: str, workspace: str | None, version: int | None) -> None:
    """Show a prompt, or one version with its document."""
    parts, view = ((), PROMPT) if version is None else (("versions", str(version)), PROMPT_VERSION)
    session.out.one(session.api.get(path("prompts", prompt, *parts), _where(session, workspace)).body, view)


@prompt.command("versions")
@click.argument("prompt")
@workspace_option
@limit_option
@client_command
def versions(session: Session, prompt: str, workspace: str | None, limit: int) -> None:
    """List every version ever published, newest first."""
    where = _where(session, workspace)
    session.out.many(session.api.pages(path("prompts", prompt, "versions"), where, limit=limit), PROMPT_VERSION)


@prompt.command("diff")
@click.argument("prompt")
@click.argument("version", type=click.IntRange(min=1))
@workspace_option
@click.option("--base", type=click.IntRange(min=0), help="Compare with this version; else with the one before.")
@client_command
def diff(session: Session, prompt: str, version: int, workspace: str | None, base: int | None) -> None:
    """Show what a version changed."""
    params = {"base": base, **_where(session, workspace)}
    found: Any = session.api.get(path("prompts", prompt, "versions", str(version), "difference"), params).body
    session.out.many(iter(found["changes"]), POLICY_CHANGE)


@prompt.command("rollback")
@click.argument("prompt")
@click.option("--to", "to_version", type=click.IntRange(min=1), help="This version; else the one before.")
@reason_option
@workspace_option
@client_command
def rollback(session: Session, prompt: str, to_version: int | None, reason: str, workspace: str | None) -> None:
    """Publish an earlier version's document again."""
    body = {"reason": reason, "to_version": to_version}
    where = _where(session, workspace)
    session.out.one(session.api.post(path("prompts", prompt, "rollback"), body, params=where).body, PROMPT_STATE)


def _where(session: Session, workspace: str | None) -> Params:
    return {"workspace_id": workspace_id(session.api, workspace)} if workspace else {}
