"""How webhooks, accesses, cases and what is kept are shown."""

from fairlead.cli.output import Column, View

WEBHOOK = View(
    identity="webhook_id",
    columns=(
        Column("WEBHOOK", "webhook_id"),
        Column("STATUS", "status"),
        Column("URL", "url"),
        Column("EVENTS", lambda webhook: " ".join(webhook["events"])),
        Column("WAITING", "waiting", right=True),
        Column("FAILING SINCE", "failing_since"),
        Column("LAST ERROR", "last_error"),
    ),
    details=(
        Column("DESCRIPTION", "description"),
        Column("WORKSPACE", "workspace_id"),
        Column("ENVIRONMENT", "environment_id"),
        Column("WORKFLOW", "workflow_id"),
        Column("DISABLED BY", "disabled_by"),
        Column("REASON", "reason"),
        Column("LAST TAKEN", "answered_at"),
        Column("BOTH SECRETS UNTIL", "overlap_until"),
        Column("CREATED", "created_at"),
        Column("CREATED BY", "created_by"),
    ),
)
WEBHOOK_SECRET = View(
    identity="webhook_id",
    columns=(
        Column("WEBHOOK", "webhook_id"),
        Column("URL", "url"),
        Column("EVENTS", lambda webhook: " ".join(webhook["events"])),
        Column("SECRET", "secret"),
        Column("BOTH SECRETS UNTIL", "overlap_until"),
    ),
)
WEBHOOK_ASKED = View(identity="position", columns=(Column("WEBHOOK", "webhook_id"), Column("POSITION", "position")))
DELIVERY = View(
    identity="position",
    columns=(
        Column("NUMBER", "number", right=True),
        Column("EVENT", "position"),
        Column("TYPE", "event_type"),
        Column("RUN", "run_id"),
        Column("STATUS", "status"),
        Column("ATTEMPTS", "attempts", right=True),
        Column("ANSWER", "answer_status", right=True),
        Column("ERROR", "error"),
        Column("MS", "took_ms", right=True),
        Column("NEXT", "next_attempt_at"),
    ),
)
ACCESS = View(
    identity="position",
    columns=(
        Column("WHEN", "at"),
        Column("WHO", "principal_id"),
        Column("ACCESS", "access"),
        Column("OBJECT", "object"),
        Column("QUERY", "query"),
        Column("KEY", "key_id"),
        Column("POSITION", "position"),
    ),
)
CASE = View(
    identity="case_id",
    columns=(
        Column("CASE", "case_id"),
        Column("RUN", "run_id"),
        Column("LABEL", "label"),
        Column("COMMENT", "comment"),
        Column("IMPORTED", "imported"),
        Column("WHEN", "kept_at"),
        Column("BY", "kept_by"),
    ),
    details=(
        Column("CALL", "call_id"),
        Column("WORKFLOW", "workflow_id"),
        Column("VERSION", "workflow_version"),
        Column("BUNDLE SHA-256", "bundle_sha256"),
    ),
)
RETENTION = View(
    identity="version",
    columns=(
        Column("VERSION", "version", right=True),
        Column("RUNS DAYS", lambda found: found["settings"]["runs_days"], right=True),
        Column("ACCESS DAYS", lambda found: found["settings"]["access_days"], right=True),
        Column("OBJECTS DAYS", lambda found: found["settings"]["objects_days"], right=True),
        Column("LEDGER YEARS", lambda found: found["settings"]["ledger_years"], right=True),
        Column("COUNTS FROM", "counts_from"),
        Column("RUNS TO REMOVE", "runs_to_remove", right=True),
    ),
    details=(
        Column("RUNS DAYS NOW", lambda found: found["counting"]["runs_days"]),
        Column("CHANGED BY", "changed_by"),
        Column("CHANGED AT", "changed_at"),
        Column("REASON", "reason"),
    ),
)
ERASURE = View(
    identity="erasure_id",
    columns=(
        Column("ERASURE", "erasure_id"),
        Column("SCOPE", "scope"),
        Column("KEYS", "keys"),
        Column("STREAMS", "streams"),
        Column("REASON", "reason"),
        Column("ERASED BY", "erased_by"),
        Column("ERASED AT", "erased_at"),
    ),
)
HOLD = View(
    identity="hold_id",
    columns=(
        Column("HOLD", "hold_id"),
        Column("RUN", "run_id"),
        Column("LABELS", lambda hold: " ".join(f"{key}={value}" for key, value in hold["labels"].items())),
        Column("REASON", "reason"),
        Column("PLACED BY", "placed_by"),
        Column("PLACED AT", "placed_at"),
    ),
)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


OVERSIGHT = View(
    identity="workflow_id",
    columns=(
        Column("WORKFLOW", lambda row: f"{row['workflow_name']} v{row['workflow_version']}"),
        Column("RUNS", "runs", right=True),
        Column("REVIEWED", lambda row: _percent(row["review_share"]), right=True),
        Column("OVERRIDDEN", lambda row: _percent(row["override_rate"]), right=True),
        Column("ROLLED BACK", lambda row: _percent(row["rollback_rate"]), right=True),
        Column("DECIDED IN (S)", "decision_p50_s", right=True),
        Column("9 OF 10 IN (S)", "decision_p90_s", right=True),
    ),
)
