"""Policies, and what they say of a call."""

from typing import Any

from fairlead.cli.output import Column, View

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


POLICY_EFFECT = View(
    identity="policy_id",
    columns=(
        Column("POLICY", "policy_id"),
        Column("DECIDES", "enforced_version", right=True),
        Column("SINCE", "since"),
        Column("FIRST UNDER IT AFTER MS", "first_after_ms", right=True),
        Column("LAST OTHERWISE AFTER MS", "last_otherwise_after_ms", right=True),
        Column("JUDGED UNDER IT", "judged_under_it", right=True),
        Column("OTHERWISE", "judged_otherwise", right=True),
    ),
)
REVIEW_SHARE = View(
    identity="since",
    columns=(
        Column("SINCE", "since"),
        Column("TARGET", "target_share", right=True),
        Column("SHARE OF RUNS", "all.reviewed_runs_share", right=True),
        Column("SHARE OF CALLS", "all.reviewed_calls_share", right=True),
        Column("RUNS", "all.runs", right=True),
        Column("BY WORKFLOW", lambda found: _shares(found["by_workflow"], "workflow")),
        Column("BY POLICY", lambda found: _shares(found["by_policy"], "policy")),
        Column("BY RULE", lambda found: _shares(found["by_rule"], "rule_id")),
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


def _shares(groups: Any, name: str) -> str:
    return ", ".join(f"{each[name]} {each['reviewed_runs_share']:.1%}" for each in groups)
