"""Identifiers of the platform's own aggregates. Text, prefixed, time-ordered."""

from typing import NewType

RunId = NewType("RunId", str)  # run_…
CallId = NewType("CallId", str)  # tcl_<run>-<n>: derived, so that a decision needs no randomness
ModelCallId = NewType("ModelCallId", str)  # mcl_<run>-<n>, or mcl_… for one that came through a door
ApprovalId = NewType("ApprovalId", str)  # apr_<run>-<n>
QuestionId = NewType("QuestionId", str)  # qst_<run>-<n>
TimerId = NewType("TimerId", str)  # tmr_<run>-<n>
WorkflowId = NewType("WorkflowId", str)  # wfl_<hash of workspace and name>: one stream per name
ConnectionId = NewType("ConnectionId", str)  # con_<hash of workspace, environment and name>
PromptId = NewType("PromptId", str)  # pmt_…
PolicyId = NewType("PolicyId", str)  # pol_<hash of scope>: one stream per tenant, workspace or workflow name
RouteId = NewType("RouteId", str)  # rte_<hash of name>: one stream per name of a route
OAuthClientId = NewType("OAuthClientId", str)  # oac_<hash of workspace, environment and connector>
DelegationId = NewType("DelegationId", str)  # dlg_…
WebhookId = NewType("WebhookId", str)  # whk_…
CommandId = NewType("CommandId", str)  # cmd_…: one decision; also the identity of the commit it made

PREFIX_OF_KIND = {
    "run": "run_",
    "approval": "apr_",
    "workflow": "wfl_",
    "tenant": "tnt_",
    "breaker": "brk_",
    "connection": "con_",
    "connection_use": "use_",
    "oauth_client": "oac_",
    "connector": "cnr_",
    "webhook": "whk_",
    "switch": "swi_",
    "policy": "pol_",
    "prompt": "pmt_",
    "tally": "tal_",
    "access": "acs_",
    "case": "cas_",
    "erasure": "ers_",
    "retention": "ret_",
    "budget": "bdg_",
    "expiry": "exp_",
    "route": "rte_",
    "residency": "rsd_",
    "prices": "prc_",
}


def child_id(prefix: str, parent_id: str, number: int) -> str:
    """`child_id("tcl", "run_x", 3)` is `tcl_x-3`: unique, ordered, and known without asking."""
    return f"{prefix}_{parent_id.partition('_')[2]}-{number}"


def parent_id(prefix: str, child: str) -> str:
    """`parent_id("run", "tcl_x-3")` is `run_x`: whose child it is is part of its name."""
    return f"{prefix}_{child.partition('_')[2].rpartition('-')[0]}"
