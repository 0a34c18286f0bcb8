"""`fairlead policy`: what calls may be made, by rules of the tenant, a workspace or a workflow."""

from typing import Any

import rich_click as click

from fairlead.cli.access import limit_option
from fairlead.cli.documents import document_in, value_of
from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.places import workspace_id
from fairlead.cli.runs import reason_option, workspace_option
from fairlead.cli.session import Session, client_command
from fairlead.cli.transport import Params, path
from fairlead.cli.views.policies import (
    EXPLANATION,
    POLICY,
    POLICY_CHANGE,
    POLICY_EFFECT,
    POLICY_STATE,
    POLICY_VERSION,
    REVIEW_SHARE,
)

POLICIES = "/v1/policies"
_FOR = "POLICY is what it is for: tenant, workspace, or workflow.NAME."


@click.group()
def policy() -> None:
    """Rules for calls, of the tenant, a workspace or a workflow."""


@policy.command("publish", epilog=_FOR)
@click.argument("policy")
@click.argument("file")
@reason_option
@workspace_option
@click.option("--log-only", is_flag=True, help="Only record what it would decide; the version before goes on deciding.")
@click.option("--follows", type=click.IntRange(min=0), help="Only if this is the newest version; 0 for none yet.")
@client_command
def publish(
    session: Session, policy: str, file: str, reason: str, workspace: str | None, log_only: bool, follows: int | None
) -> None:
    """Publish the document in FILE (JSON or YAML, - for standard input) and put it in force."""
    document = document_in(file)
    params = {"reason": reason, "mode": "log_only" if log_only else "enforce", **_where(session, workspace)}
    match = {} if follows is None else {"If-None-Match": "*"} if follows == 0 else {"If-Match": f'"{follows}"'}
    published = session.api.send("PUT", path("policies", policy), document.body, document.media_type, params, match)
    session.out.one(published.body, POLICY_STATE)
    for warning in _warnings(published.body):
        session.out.note(warning)


@policy.command("list")
@limit_option
@client_command
def list_policies(session: Session, limit: int) -> None:
    """List policies and the versions that decide."""
    session.out.many(session.api.pages(POLICIES, {}, limit=limit), POLICY)


@policy.command("show", epilog=_FOR)
@click.argument("policy")
@click.option("--version", type=click.IntRange(min=1), help="Show this version with its document.")
@workspace_option
@client_command
def show(session: Session, policy: str, version: int | None, workspace: str | None) -> None:
    """Show a policy, or one version with its document."""
    parts, view = ((), POLICY) if version is None else (("versions", str(version)), POLICY_VERSION)
    session.out.one(session.api.get(path("policies", policy, *parts), _where(session, workspace)).body, view)


@policy.command("versions", epilog=_FOR)
@click.argument("policy")
@workspace_option
@limit_option
@client_command
def versions(session: Session, policy: str, workspace: str | None, limit: int) -> None:
    """List every version ever published, newest first."""
    found = session.api.pages(path("policies", policy, "versions"), _where(session, workspace), limit=limit)
    session.out.many(found, POLICY_VERSION)


@policy.command("diff", epilog=_FOR)
@click.argument("policy")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--base", type=click.IntRange(min=0), help="Compare with this version; else with the one before.")
@workspace_option
@client_command
def diff(session: Session, policy: str, version: int, base: int | None, workspace: str | None) -> None:
    """Show what a version changed."""
    params: Params = {"base": base, **_where(session, workspace)}
    found: Any = session.api.get(path("policies", policy, "versions", str(version), "difference"), params).body
    session.out.many(iter(found["changes"]), POLICY_CHANGE)


@policy.command("rollback", epilog=_FOR)
@click.argument("policy")
@click.option("--to", "to_version", type=click.IntRange(min=1), help="This version; else the one before.")
@reason_option
@workspace_option
@client_command
def rollback(session: Session, policy: str, to_version: int | None, reason: str, workspace: str | None) -> None:
    """Put an earlier version in force again."""
    body = {"reason": reason, "to_version": to_version}
    done = session.api.post(path("policies", policy, "rollback"), body, params=_where(session, workspace))
    session.out.one(done.body, POLICY_STATE)


@policy.command("lift", epilog=_FOR)
@click.argument("policy")
@reason_option
@workspace_option
@client_command
def lift(session: Session, policy: str, reason: str, workspace: str | None) -> None:
    """Let no version of it decide any more."""
    params: Params = {"reason": reason, **_where(session, workspace)}
    session.out.one(session.api.delete(path("policies", policy), params).body, POLICY_STATE)


@policy.command("test")
@click.argument("file")
@click.option("--policy", default="tenant", show_default=True, help="What it is for, as in `policy publish`.")
@workspace_option
@client_command
def test(session: Session, file: str, policy: str, workspace: str | None) -> None:
    """Check the document in FILE completely, and try it on its cases and the newest calls. Changes nothing."""
    document, params = document_in(file), {"policy": policy, **_where(session, workspace)}
    sent = session.api.send("POST", path("policies", "test"), document.body, document.media_type, params)
    verdict: Any = sent.body
    if not verdict["valid"]:
        problems = [f"{problem['path'] or '/'}: {problem['message']}" for problem in verdict["problems"]]
        problems += [_failed(case) for case in verdict["cases"] if not case["passed"]]
        raise Failure(f"{file} could not be published", Exit.INVALID, details=tuple(problems), document=verdict)
    session.out.done(f"{file} could be published; {len(verdict['cases'])} cases hold", verdict)
    for warning in _warnings(verdict):
        session.out.note(warning)


@policy.command("explain")
@click.argument("call")
@click.option("--workflow", help="CALL is then JSON, or @file, of a call that nobody makes.")
@workspace_option
@client_command
def explain(session: Session, call: str, workflow: str | None, workspace: str | None) -> None:
    """Say which rules were asked about CALL, which apply, and by which values. CALL is the id of a recorded call."""
    body = {"call_id": call} if workflow is None else {"workflow": workflow, "call": value_of(call)}
    if workspace is not None:
        body["workspace_id"] = workspace_id(session.api, workspace)
    session.out.one(session.api.post(path("policies", "explain"), body).body, EXPLANATION)


@policy.command("simulate", epilog=_FOR)
@click.argument("policy")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True, help="Runs of so many days.")
@click.option("--only-changes", is_flag=True, help="Leave out calls that are decided as they were.")
@click.option("--target-share", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="Of runs to review.")
@workspace_option
@client_command
def simulate(
    session: Session,
    policy: str,
    version: int,
    days: int,
    only_changes: bool,
    target_share: float,
    workspace: str | None,
) -> None:
    """Say what VERSION would have decided on the runs of the last days: a line of JSON for each call, then the sums."""
    params: Params = {
        "days": days,
        "only_changes": only_changes,
        "target_share": str(target_share),
        **_where(session, workspace),
    }
    with session.api.stream(path("policies", policy, "versions", str(version), "simulation"), params) as answer:
        for line in answer.iter_lines():
            click.echo(line)


@policy.command("effect", epilog=_FOR)
@click.argument("policy")
@workspace_option
@client_command
def effect(session: Session, policy: str, workspace: str | None) -> None:
    """Say how long it took until every process went by what was last put in force."""
    session.out.one(session.api.get(path("policies", policy, "effect"), _where(session, workspace)).body, POLICY_EFFECT)


@policy.command("review-share")
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True, help="Runs of so many days.")
@click.option("--target-share", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Of runs to review.")
@click.option("--workflow", help="Only runs of the workflow of this name.")
@client_command
def review_share(session: Session, days: int, target_share: float, workflow: str | None) -> None:
    """Say which share of runs people were asked about, by workflow, policy and rule, against a target."""
    params: Params = {"days": days, "target_share": str(target_share), "workflow": workflow}
    found: Any = session.api.get(path("policies", "review-share"), params).body
    session.out.one(found, REVIEW_SHARE)
    session.out.note("people are asked " + ("as seldom as wanted" if found["is_within_target"] else "too often"))


def _warnings(said: Any) -> list[str]:
    recent = said["recent"]
    if recent is None:
        return []
    calls = f"of {recent['calls']} calls of the last {recent['days']} days"
    never = [f"{rule} applies to none {calls}" for rule in recent["never_apply"]]
    return never + [f"{rule} applies to every one {calls}" for rule in recent["always_apply"]]


def _failed(case: Any) -> str:
    said = case["fault"] or f"expected {case['expected']}, {case['rule_id']} says {case['verdict']}: {case['reason']}"
    return f"{case['name']}: {said}"


def _where(session: Session, workspace: str | None) -> Params:
    """Without a workspace the server looks in the one called default."""
    return {} if workspace is None else {"workspace_id": workspace_id(session.api, workspace)}
