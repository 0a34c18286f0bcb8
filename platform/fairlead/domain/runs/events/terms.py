"""Words that several facts of a run share."""

from typing import Literal

ErrorClass = Literal[
    "transient",
    "rate_limited",
    "timeout",
    "permanent",
    "validation",
    "policy",
    "permission",
    "unknown_outcome",
    "outage",
]
Verdict = Literal["allow", "deny", "require_approval"]
