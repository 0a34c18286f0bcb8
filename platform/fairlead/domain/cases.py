"""Cases: runs that people say something about, kept with what it takes to decide them again.

A case of a run that is here names the place on the log up to which its bundle goes, and the bundle's hash: the bundle
follows from the log and is not stored a second time. One that was imported holds its bundle.
"""

from collections.abc import Sequence
from typing import Any, Literal

from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import Event
from fairlead.domain.errors import NotFound
from fairlead.domain.masking import WHOLE
from fairlead.domain.redaction import redact, redact_text
from fairlead.domain.sealing import Marks

MAX_COMMENT = 2_000

Label = Literal[
    "wrong_action", "wrong_result", "unsafe", "should_have_asked", "asked_needlessly", "too_slow", "too_costly", "other"
]


class CaseReported(Event, frozen=True, kw_only=True, tag="case.reported.v1", omit_defaults=True):
    """Somebody says that a run went wrong. `expected` is what would have been right, where they say it. `data_subject`
    is the run's."""

    run_id: str
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    workflow_id: str
    workflow_version: int
    label: Label
    comment: str
    through: int
    bundle_sha256: str
    call_id: str = ""
    expected: Any = None
    data_subject: str = ""


class CaseImported(Event, frozen=True, kw_only=True, tag="case.imported.v1", omit_defaults=True):
    """A run of another installation, or of another tenant, whose bundle somebody brought."""

    run_id: str
    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    workflow_id: str
    workflow_version: int
    label: Label
    comment: str
    through: int
    bundle_sha256: str
    bundle: Any


CaseEvent = CaseReported | CaseImported


class KeepCase(Struct, frozen=True, kw_only=True):
    """It was checked that the run and its bundle are what the event says."""

    case: CaseReported | CaseImported


class NoSuchCase(NotFound):
    """There is none of this id."""

    code = "case_not_found"


class NoCase(Struct, frozen=True):
    pass


class Kept(Struct, frozen=True):
    case: CaseReported | CaseImported


CaseState = NoCase | Kept


def initial() -> CaseState:
    return NoCase()


def decide(command: KeepCase, state: CaseState) -> list[CaseEvent]:
    """The same request carried out again keeps nothing twice."""
    if isinstance(state, Kept):
        return []
    case, comment = command.case, redact_text(command.case.comment)
    if isinstance(case, CaseReported):
        return [replace(case, comment=comment, expected=redact(case.expected)[0])]
    return [replace(case, comment=comment)]


def subject(_: CaseState, facts: Sequence[CaseEvent]) -> str:
    """Whose content it is: that of its run; one of elsewhere is the tenant's."""
    return next((fact.data_subject for fact in facts if isinstance(fact, CaseReported)), "")


def marks(_state: CaseState, _facts: Sequence[CaseEvent], _rules: object) -> Marks:
    """What was expected, and a run of elsewhere, come without anything that says which of it is sensitive: all is."""
    return lambda _event, _tag, name, _value: WHOLE if name in ("expected", "bundle") else ()


def evolve(_: CaseState, event: CaseEvent) -> CaseState:
    return Kept(event)
