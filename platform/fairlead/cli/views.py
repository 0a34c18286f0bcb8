"""How each kind of thing looks in a table."""

from typing import Any

from fairlead.cli.output import Column, View


def about(event: Any) -> str:
    """The most telling field of an event, for a line in a list."""
    data = event.get("data") or {}
    named = [data[name] for name in ("tool", "step", "name", "purpose") if isinstance(data.get(name), str)]
    said = next((data[name] for name in ("message", "reason", "verdict", "question", "code") if data.get(name)), None)
    return " · ".join([*named[:2], *([str(said)] if said else [])])


def installed(connector: Any) -> str:
    return ", ".join(each["version"] for each in connector["versions"] if each["installed"])


def _reason(run: Any) -> str:
    code = run.get("reason_code")
    if code in (None, run.get("status")):
        return str(run.get("reason") or "")
    return f"{code}: {run['reason']}" if run.get("reason") else str(code)


def _undoing(run: Any) -> str | None:
    compensation = run.get("compensation")
    return None if compensation in (None, "none") else str(compensation)


def _parent(run: Any) -> str | None:
    parent = run.get("parent")
    return f"{parent['run_id']} at version {parent['version']}" if parent else None


def roles(principal: Any) -> str:
    """Each with where it holds, where that is not everywhere."""
    return ", ".join(
        " in ".join(filter(None, (grant["role"], grant.get("workspace_id"), grant.get("environment_id"))))
        for grant in principal["grants"]
    )


def _answers(approval: Any) -> str:
    """One after the other, with on whose behalf they were given."""
    return "; ".join(
        f"{each['principal_id']}{' for ' + each['on_behalf_of'] if each.get('on_behalf_of') else ''}:"
        f" {'yes' if each['approves'] else 'no'}{', ' + each['comment'] if each['comment'] else ''}"
        for each in approval["answers"]
    )


def _signed(approval: Any) -> int:
    return sum(1 for answer in approval["answers"] if answer["approves"])


RUN = View(
    identity="run_id",
    columns=(
        Column("RUN", "run_id"),
        Column("STATUS", "status"),
        Column("WORKFLOW", lambda run: f"{run['workflow_name']} v{run['workflow_version']}"),
        Column("STARTED", "started_at"),
        Column("ENDED", "ended_at"),
        Column("CALLS", "tool_calls", right=True),
        Column("REASON", _reason),
    ),
    details=(
        Column("UNDOING", _undoing),
        Column("PAUSED BECAUSE", "paused_reason"),
        Column("DEADLINE", "deadline_at"),
        Column("STARTED BY", "started_by.id"),
        Column("ENVIRONMENT", "environment_id"),
        Column("LABELS", "labels"),
        Column("FORK OF", _parent),
        Column("VERSION", "version"),
        Column("QUESTIONS", "awaited.questions"),
        Column("APPROVALS", "awaited.approvals"),
        Column("CONNECTIONS", "awaited.connections"),
        Column("WAITS", "awaited.waits"),
        Column("INPUT", "input"),
        Column("OUTPUT", "output"),
    ),
)
ANSWER = View(identity="run_id", columns=(Column("RUN", "run_id"), Column("STATUS", "status")))
SIGNALLED = View(identity="run_id", columns=(Column("RUN", "run_id"), Column("EFFECT", "effect")))
EVENT = View(
    identity="position",
    columns=(
        Column("POSITION", "position"),
        Column("AT", "at"),
        Column("#", "version", right=True),
        Column("EVENT", "type"),
        Column("BY", "actor.id"),
        Column("ABOUT", about),
    ),
)
CALL = View(
    identity="call_id",
    columns=(
        Column("CALL", "call_id"),
        Column("STEP", "step"),
        Column("TOOL", "tool"),
        Column("STATUS", "status"),
        Column("VERDICT", "verdict"),
        Column("RULE", "rule_id"),
        Column("TRY", "attempt", right=True),
        Column("READ BACK", "read_back"),
        Column("UNDONE", "compensation"),
        Column("ERROR", "error_code"),
    ),
)
ANSWERED = View(
    identity="approval_id",
    columns=(
        Column("APPROVAL", "approval_id"),
        Column("STATUS", "status"),
        Column("SIGNATURES MISSING", "missing", right=True),
    ),
)
CLAIMED = View(identity="approval_id", columns=(Column("APPROVAL", "approval_id"), Column("YOURS UNTIL", "until")))
APPROVAL = View(
    identity="approval_id",
    columns=(
        Column("APPROVAL", "approval_id"),
        Column("STATUS", "status"),
        Column("TOOL", "tool"),
        Column("WORKFLOW", "workflow_name"),
        Column("SIGNED", lambda approval: f"{_signed(approval)} of {approval['count']}", right=True),
        Column("DEADLINE", "deadline_at"),
        Column("REASON", "reason"),
    ),
    details=(
        Column("RUN", "run_id"),
        Column("RULE", "rule_id"),
        Column("ROLES", "roles"),
        Column("REQUESTED BY", "requested_by"),
        Column("ANSWERS", _answers),
        Column("SETTLED", "settled_reason"),
        Column("DIGEST", "digest"),
        Column("ARGUMENTS", "arguments"),
        Column("EVIDENCE", "evidence"),
    ),
)
DELEGATION = View(
    identity="delegation_id",
    columns=(
        Column("DELEGATION", "delegation_id"),
        Column("FROM", "delegator"),
        Column("TO", "delegate"),
        Column("STATUS", "status"),
        Column("UNTIL", "until"),
        Column("WORKFLOWS", lambda each: ", ".join(each["workflows"]) or "all"),
        Column("ROLES", lambda each: ", ".join(each["roles"]) or "all"),
        Column("REASON", "reason"),
    ),
)
BREAKER = View(
    identity="breaker_id",
    columns=(
        Column("CONNECTOR", "connector"),
        Column("CONNECTION", "connection_id"),
        Column("STATE", "state"),
        Column("SINCE", "changed_at"),
        Column("PROBE", "probe_at"),
        Column("IN A ROW", "in_a_row", right=True),
        Column("CODE", "error_code"),
    ),
    details=(
        Column("ENVIRONMENT", "environment_id"),
        Column("OPENINGS", "openings", right=True),
        Column("FAILURES", "failures", right=True),
        Column("OF CALLS", "calls", right=True),
        Column("CLASS", "error_class"),
        Column("CLOSED BY", "closed_by"),
        Column("REASON", "reason"),
    ),
)
BREAKER_RESET = View(identity="breaker_id", columns=(Column("BREAKER", "breaker_id"),))
LETTER = View(
    identity="letter_id",
    columns=(
        Column("LETTER", "letter_id"),
        Column("KIND", "kind"),
        Column("STATUS", "status"),
        Column("TOOL", "tool"),
        Column("CODE", "code"),
        Column("FAILED", "failed_at"),
        Column("MESSAGE", "message"),
    ),
    details=(
        Column("RUN", "run_id"),
        Column("RUN IS", "run_status"),
        Column("WORKFLOW", "workflow_name"),
        Column("STEP", "step"),
        Column("TRIES", "attempt"),
        Column("ARGUMENTS", "arguments"),
        Column("EDITED", "edited"),
        Column("REPLAYED UNDER", "replay_key"),
        Column("REPLAYED AS", "as_run_id"),
        Column("REASON", "reason"),
    ),
)
LETTER_ANSWER = View(
    identity="letter_id",
    columns=(
        Column("LETTER", "letter_id"),
        Column("STATUS", "status"),
        Column("RUN", "run_id"),
        Column("REPLAYED AS", "as_run_id"),
    ),
)
ME = View(
    identity="principal_id",
    columns=(
        Column("NAME", "name"),
        Column("PRINCIPAL", "principal_id"),
        Column("KIND", "kind"),
        Column("TENANT", "tenant_id"),
        Column("ENVIRONMENT", "environment_id"),
        Column("KEY", "key_id"),
        Column("ROLES", roles),
        Column("PERMISSIONS", "permissions"),
        Column("SERVER", "server"),
        Column("KNOWN FROM", "source"),
    ),
)
PRINCIPAL = View(
    identity="principal_id",
    columns=(
        Column("PRINCIPAL", "principal_id"),
        Column("KIND", "kind"),
        Column("NAME", "name"),
        Column("E-MAIL", "email"),
        Column("ROLES", roles),
        Column("DISABLED", "disabled"),
    ),
    details=(Column("WORKFLOW", "workflow_id"),),
)
WORKSPACE = View(identity="workspace_id", columns=(Column("WORKSPACE", "workspace_id"), Column("NAME", "name")))
ENVIRONMENT = View(
    identity="environment_id",
    columns=(Column("ENVIRONMENT", "environment_id"), Column("NAME", "name"), Column("KIND", "kind")),
)
_KEY = (
    Column("KEY", "key_id"),
    Column("NAME", "name"),
    Column("ENDS IN", "last_four"),
    Column("PRINCIPAL", "principal_id"),
    Column("ENVIRONMENT", "environment_id"),
    Column("SCOPES", "scopes"),
    Column("EXPIRES", "expires_at"),
    Column("REVOKED", "revoked_at"),
    Column("REPLACED BY", "replaced_by"),
)
KEY = View(identity="key_id", columns=_KEY)
ISSUED = View(identity="secret", columns=_KEY, details=(Column("THE KEY", "secret"),))
SWITCH = View(
    identity="target",
    columns=(
        Column("TARGET", "target"),
        Column("STOPS", lambda switch: ", ".join(switch["modes"])),
        Column("HELD BY", "held_by"),
        Column("SINCE", "set_at"),
        Column("UNTIL", "expires_at"),
        Column("REASON", "reason"),
    ),
)
DRILL = View(
    identity="set_at",
    columns=(
        Column("TARGET", "target"),
        Column("STOPPED", lambda drill: ", ".join(drill["modes"])),
        Column("HELD BY", "held_by"),
        Column("SET", "set_at"),
        Column("LAST EFFECT AFTER MS", "last_effect_ms", right=True),
        Column("CALLS BEFORE", "calls_before", right=True),
    ),
)
CONNECTION = View(
    identity="connection_id",
    columns=(
        Column("CONNECTION", "connection_id"),
        Column("NAME", "name"),
        Column("CONNECTOR", "connector"),
        Column("STANDING", "standing"),
        Column("GRANTED", lambda connection: " ".join(connection["granted_scopes"])),
        Column("ENVIRONMENT", "environment_id"),
        Column("REASON", "reason"),
    ),
    details=(
        Column("REQUESTED", lambda connection: " ".join(connection["requested_scopes"])),
        Column("WORKSPACE", "workspace_id"),
        Column("AUTH", "auth"),
        Column(
            "FIELDS", lambda connection: " ".join(f"{name}={value}" for name, value in connection["config"].items())
        ),
        Column("RENEWED BY", "expires_at"),
        Column("GIVEN", "authorized_at"),
        Column("GIVEN BY", "authorized_by"),
        Column("SECRET ERASED", "secret_erased"),
        Column("PROVIDER TOLD", "provider_told"),
    ),
)
USE = View(
    identity="call_id",
    columns=(
        Column("WHEN", "lent_at"),
        Column("CALL", "call_id"),
        Column("ATTEMPT", "attempt", right=True),
        Column("TOOL", "tool"),
        Column("FOR", "purpose"),
        Column("RUN", "run_id"),
        Column("WORKER", "worker"),
        Column("SECRET", "secret_version", right=True),
    ),
)
OAUTH_CLIENT = View(
    identity="oauth_client_id",
    columns=(
        Column("CLIENT", "oauth_client_id"),
        Column("CONNECTOR", "connector"),
        Column("CLIENT ID THERE", "client_id"),
        Column("SECRET", "has_secret"),
        Column("ENVIRONMENT", "environment_id"),
        Column("REGISTERED", "registered_at"),
    ),
)
REGISTERED = View(
    identity="oauth_client_id",
    columns=(
        Column("CLIENT", "oauth_client_id"),
        Column("CONNECTOR", "connector"),
        Column("CLIENT ID THERE", "client_id"),
        Column("OUR ADDRESS", "redirect_uri"),
    ),
)
WORKFLOW = View(
    identity="workflow_id",
    columns=(
        Column("WORKFLOW", "workflow_id"),
        Column("NAME", "name"),
        Column("VERSION", "newest_version", right=True),
        Column("UPDATED", "updated_at"),
        Column("ARCHIVED", "archived_at"),
        Column("WORKSPACE", "workspace_id"),
    ),
)
WORKFLOW_STATE = View(
    identity="workflow_id",
    columns=(
        Column("WORKFLOW", "workflow_id"),
        Column("VERSION", "newest_version", right=True),
        Column("ARCHIVED", "archived"),
    ),
)
PUBLISHED = View(
    identity="workflow_id",
    columns=(
        Column("WORKFLOW", "workflow_id"),
        Column("NAME", "name"),
        Column("VERSION", "version", right=True),
        Column("HASH", "document_hash"),
        Column("AGENT", "agent_principal_id"),
    ),
)
VERSION = View(
    identity="version",
    columns=(
        Column("VERSION", "version", right=True),
        Column("PUBLISHED", "published_at"),
        Column("BY", "author.id"),
        Column("REASON", "reason"),
        Column("HASH", "document_hash"),
    ),
    details=(Column("TOOLS", "tool_versions"), Column("DOCUMENT", "document")),
)
TOOL = View(
    identity="name",
    columns=(
        Column("TOOL", "name"),
        Column("EFFECT", "effect"),
        Column("CONNECTOR", "connector"),
        Column("VERSION", "version"),
        Column("DESCRIPTION", "description"),
    ),
    details=(
        Column("SCOPES", "scopes"),
        Column("WRITES", "writes"),
        Column("TIMEOUT S", "timeout_s"),
        Column("IDEMPOTENCY", "idempotency"),
        Column("INPUT", "input_schema"),
        Column("OUTPUT", "output_schema"),
    ),
)
CONNECTOR = View(
    identity="name",
    columns=(
        Column("CONNECTOR", "name"),
        Column("IN USE", "version"),
        Column("USABLE", "usable"),
        Column("INSTALLED", installed),
        Column("REASON", "reason"),
    ),
    details=(Column("CHOICE", "choice"), Column("VERSIONS", "versions")),
)


def _tools(toolset: Any) -> int:
    """A list of sets has numbers by effect, one set its tools."""
    return len(toolset["tools"]) if "tools" in toolset else sum(toolset["tools_by_effect"].values())


def _left_out(report: Any) -> str:
    return "; ".join(f"{each['operation']}: {each['message']}" for each in report["left_out"])


TOOLSET = View(
    identity="name",
    columns=(
        Column("TOOLSET", "name"),
        Column("VERSION", "version", right=True),
        Column("TITLE", "title"),
        Column("TOOLS", _tools, right=True),
        Column("LEFT OUT", "left_out", right=True),
        Column("IMPORTED", "imported_at"),
    ),
    details=(
        Column("IMPORTER", "importer"),
        Column("AUTHOR", "author.id"),
        Column("REASON", "reason"),
        Column("SIGN IN", "sign_in.auth"),
        Column("HOSTS", "sign_in.egress"),
        Column("NAMES", lambda toolset: [tool["name"] for tool in toolset.get("tools", ())]),
    ),
)
IMPORTED = View(
    identity="name",
    columns=(
        Column("TOOLSET", "name"),
        Column("VERSION", "version", right=True),
        Column("TITLE", "title"),
        Column("TOOLS", _tools, right=True),
        Column("LEFT OUT", "left_out_count", right=True),
    ),
    details=(
        Column("SIGN IN", "sign_in.auth"),
        Column("HOSTS", "sign_in.egress"),
        Column("NOT IMPORTED", _left_out),
    ),
)
POLICY = View(
    identity="policy_id",
    columns=(
        Column("POLICY", lambda policy: ".".join(filter(None, (policy["scope"], policy["workflow"])))),
        Column("WORKSPACE", "workspace_id"),
        Column("DECIDES", "enforced_version", right=True),
        Column("TRIED", "tried_version", right=True),
        Column("NEWEST", "newest_version", right=True),
        Column("SINCE", "in_force_since"),
    ),
    details=(Column("BY", "chosen_by.id"), Column("REASON", "chosen_reason"), Column("ID", "policy_id")),
)
POLICY_STATE = View(
    identity="policy_id",
    columns=(
        Column("POLICY", "policy_id"),
        Column("DECIDES", "enforced_version", right=True),
        Column("TRIED", "tried_version", right=True),
        Column("SINCE", "since"),
    ),
)
POLICY_VERSION = View(
    identity="version",
    columns=(
        Column("VERSION", "version", right=True),
        Column("PUBLISHED", "published_at"),
        Column("BY", "author.id"),
        Column("REASON", "reason"),
        Column("HASH", "document_hash"),
    ),
    details=(Column("DOCUMENT", "document"),),
)
POLICY_CHANGE = View(
    identity="path",
    columns=(
        Column("CHANGE", "op"),
        Column("WHERE", "path"),
        Column("BEFORE", "before"),
        Column("NOW", "value"),
    ),
)


def _rules(explanation: Any) -> str:
    return "; ".join(f"{rule['rule_id']}: {rule['standing'].replace('_', ' ')}" for rule in explanation["now"]["rules"])


def _values(explanation: Any) -> dict[str, Any]:
    return {rule["rule_id"]: rule["values"] for rule in explanation["now"]["rules"] if rule["values"]}


EXPLANATION = View(
    identity="now.decided_by",
    columns=(
        Column("VERDICT", "now.verdict"),
        Column("DECIDED BY", "now.decided_by"),
        Column("REASON", "now.reason"),
        Column("RISK", "now.risk", right=True),
    ),
    details=(
        Column("LEVEL", "now.autonomy"),
        Column("RULES", _rules),
        Column("VALUES", _values),
        Column("THEN", "recorded.verdict"),
        Column("THEN DECIDED BY", "recorded.rule_id"),
    ),
)
