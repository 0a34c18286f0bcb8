"""Versions of documents as entity tags: what a caller saw, so that nobody overwrites what they have not seen."""

import re

from fairlead.api.problems import PreconditionFailed
from fairlead.domain.errors import Invalid, Problem

_VERSION = re.compile(r'(?:W/)?"(\d{1,9})"')


def etag_of(version: int) -> str:
    return f'"{version}"'


def expected_version(if_match: str | None, if_none_match: str | None) -> int | None:
    """The version a change is meant for: 0 for a document that is not there yet, None where any will do.

    Raises Invalid for a header that is not one of ours.
    """
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise _refused("If-None-Match", 'must be *, which is "only if there is none yet"')
        return 0
    if if_match is None or if_match.strip() == "*":
        return None
    found = _VERSION.fullmatch(if_match.strip())
    if found is None:
        raise _refused("If-Match", "must be the ETag of one version")
    return int(found[1])


def check_match(if_match: str | None, version: int) -> None:
    """Raises PreconditionFailed, Invalid."""
    if expected_version(if_match, None) not in (None, version):
        raise PreconditionFailed(f"the newest version is {version}")


def _refused(header: str, message: str) -> Invalid:
    return Invalid([Problem(path=f"/{header}", message=message)], "the precondition cannot be read")
