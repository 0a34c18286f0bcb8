"""Stated maxima of a tenant, and the shape of the texts in it."""

import re
from datetime import timedelta

from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.redaction import redact_text
from fairlead.domain.tenants.events import OidcSubject

MAX_WORKSPACES = 100
MAX_ENVIRONMENTS = 20
MAX_PRINCIPALS = 5_000  # people, service accounts and agents together
MAX_GRANTS = 50  # per principal
MAX_LIVE_KEYS = 50  # per principal, besides those that a rotation lets run out
MAX_KEYS_IN_OVERLAP = 50  # per principal, those that a rotation lets run out
MAX_KEY_LIFE = timedelta(days=365)
MAX_OVERLAP = timedelta(days=7)
MAX_TOOL_CAP = 100
MAX_CHOICES = 500  # connectors that a tenant has said something of
MAX_POLICIES = 2_000  # scopes that have, or had, a policy
MAX_DELEGATION_LIFE = timedelta(days=90)
MAX_DELEGATIONS = 1_000  # of a tenant, those that hold
MAX_DELEGATED_WORKFLOWS = 50
MAX_NAME = 200
MAX_EMAIL = 254
MAX_SUBJECT = 255
MAX_REASON = 500

_SLUG = re.compile(r"[a-z][a-z0-9-]{0,62}")
_CONNECTOR = re.compile(r"[a-z][a-z0-9_]{0,31}")
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]+")


def check(*problems: Problem | None) -> None:
    """Raises Invalid with all that is wrong."""
    found = [problem for problem in problems if problem is not None]
    if found:
        raise Invalid(found)


def slug(path: str, value: str) -> Problem | None:
    if _SLUG.fullmatch(value):
        return None
    message = "must start with a lower-case letter and have lower-case letters, digits and hyphens, 63 at most"
    return Problem(path=path, message=message)


def connector(path: str, value: str) -> Problem | None:
    return None if _CONNECTOR.fullmatch(value) else Problem(path=path, message="must be the name of a connector")


def text(path: str, value: str, maximum: int = MAX_NAME) -> Problem | None:
    """One line that a person can read, and that anybody may: what looks like a secret is refused."""
    if not value.strip() or len(value) > maximum or not value.isprintable():
        return Problem(path=path, message=f"must be one line of 1 to {maximum} printable characters")
    if redact_text(value) != value:
        return Problem(path=path, message="looks like a secret, and many may read this", code="secret")
    return None


def email(path: str, value: str) -> Problem | None:
    if len(value) <= MAX_EMAIL and _EMAIL.fullmatch(value):
        return None
    return Problem(path=path, message=f"must be an e-mail address of at most {MAX_EMAIL} characters")


def subject(path: str, value: OidcSubject | None) -> tuple[Problem | None, ...]:
    if value is None:
        return ()
    return (text(f"{path}/issuer", value.issuer, MAX_SUBJECT), text(f"{path}/subject", value.subject, MAX_SUBJECT))


def within(path: str, value: int, minimum: int, maximum: int) -> Problem | None:
    if minimum <= value <= maximum:
        return None
    return Problem(path=path, message=f"must be from {minimum} to {maximum}")
