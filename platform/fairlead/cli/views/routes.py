"""Routes of models, their versions, and where data may be read."""

from typing import Any

from fairlead.cli.output import Column, View


def _named(names: Any) -> str:
    return "any" if names is None else ", ".join(names) or "none"


ROUTE = View(
    identity="name",
    columns=(
        Column("ROUTE", "name"),
        Column("TITLE", "title"),
        Column("NEWEST", "newest_version", right=True),
        Column("RETIRED", "retired_reason"),
        Column("CHANGED", "changed_at"),
        Column("BY", "changed_by.id"),
    ),
    details=(Column("SHARES", "shares"), Column("DOCUMENT", "document")),
)
ROUTE_STATE = View(
    identity="name",
    columns=(
        Column("ROUTE", "name"),
        Column("VERSION", "version", right=True),
        Column("RETIRED", "retired"),
        Column("HASH", "document_hash"),
    ),
)
ROUTE_VERSION = View(
    identity="version",
    columns=(
        Column("VERSION", "version", right=True),
        Column("PUBLISHED", "published_at"),
        Column("BY", "author.id"),
        Column("RESTORES", "restores", right=True),
        Column("REASON", "reason"),
        Column("HASH", "document_hash"),
    ),
    details=(Column("DOCUMENT", "document"),),
)


def _reason(reason: Any) -> str:
    figures = [str(reason[part]) for part in ("word", "value", "unit") if reason.get(part) not in (None, "")]
    bound = [f"of {reason['bound']}"] if reason.get("bound") is not None else []
    return " ".join([reason["code"].replace("_", " "), *figures, *bound])


def _passed(over: Any) -> str:
    return f"{over['candidate']}: {_reason(over['because'])}"


ROUTE_EXPLANATION = View(
    identity="candidate",
    columns=(
        Column("CHOSEN", "candidate"),
        Column("PROVIDER", "provider"),
        Column("MODEL", "model"),
        Column("AT MOST µ$", "costs_at_most_usd_micros", right=True),
        Column("REFUSED", "code"),
    ),
    details=(
        Column("WHY", lambda found: "; ".join(_reason(each) for each in found["why"])),
        Column("PASSED OVER", lambda found: "; ".join(_passed(each) for each in found["passed_over"])),
        Column("STANDING", "standing"),
    ),
)
RESIDENCY = View(
    identity="version",
    columns=(
        Column("VERSION", "version", right=True),
        Column("REGIONS", lambda found: _named(found["regions"])),
        Column("PROVIDERS", lambda found: _named(found["providers"])),
        Column("CHANGED", "changed_at"),
        Column("BY", "changed_by"),
        Column("REASON", "reason"),
    ),
)
