"""A prompt's history: versions that never change. A workflow keeps the version that it was published with.

So a run's prompt follows from its workflow's version, and a new prompt takes effect with a new version of the workflow.
The stream's id follows from workspace and name. An earlier version is taken up again as a new one that says the same.
"""

import base64
import hashlib
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from fairlead_tenants.ids import TenantId, WorkspaceId
from msgspec import Meta, Struct

from fairlead.domain.envelope import Actor, Event, Recorded, StreamRef
from fairlead.domain.errors import Invalid, NotFound, Problem, Rejected
from fairlead.domain.expressions import ExpressionInvalid, Expressions
from fairlead.domain.ids import PromptId
from fairlead.domain.instant import Instant
from fairlead.domain.tenants import limits
from fairlead.domain.workflow.plain import document_hash, plain_problems, secret_problems, unseen_problems
from fairlead.domain.workflow.references import Embedded, sentence_parts

ID_CHARS = 26
MAX_VERSIONS = 10_000
MAX_CHARS = 20_000
READABLE = ("input", "run")  # what expressions of a task may read


class PromptDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`system` is said as it stands; `task` may hold expressions in `${ }`, and what they give is shown as data."""

    fairlead: Annotated[Literal[1], Meta(description="Version of this document format.")]
    system: Annotated[str, Meta(min_length=1, max_length=MAX_CHARS, description="Who the model is, and how it works.")]
    task: Annotated[
        str, Meta(min_length=1, max_length=4_000, description="What is to be done, with ${ input.… } and ${ run.… }.")
    ]
    description: Annotated[str, Meta(max_length=500)] = ""


class PinnedPrompt(Struct, frozen=True, kw_only=True):
    """One version, as a workflow keeps it."""

    name: str
    version: int
    document_hash: str
    document: PromptDocument


class PromptPublished(Event, frozen=True, kw_only=True, tag="prompt.published.v1", omit_defaults=True):
    """A version. `restores` is the earlier one whose document it takes up again."""

    workspace_id: WorkspaceId
    name: str
    version: int
    document: dict[str, Any]
    document_hash: str
    reason: str
    restores: int | None = None


PromptEvent = PromptPublished


class PublishPrompt(Struct, frozen=True, kw_only=True):
    """`document` has been checked. `expected_version` is the version the author saw, 0 for none, None for any."""

    workspace_id: WorkspaceId
    name: str
    document: dict[str, Any]
    reason: str
    expected_version: int | None = None
    restores: int | None = None


class Unpublished(Struct, frozen=True):
    version: int = 0


class Published(Struct, frozen=True, kw_only=True):
    version: int
    document_hash: str


PromptState = Unpublished | Published


class PromptVersionMismatch(Rejected):
    """Somebody published since: look at the newest version and decide again."""

    code = "prompt_version_mismatch"


class TooManyPromptVersions(Rejected):
    """The prompt has as many versions as a prompt may have."""

    code = "too_many_prompt_versions"


class NoSuchPrompt(NotFound):
    """Nothing was published under this name, or no such version."""

    code = "prompt_not_found"


def prompt_id(tenant_id: TenantId, workspace_id: WorkspaceId, name: str) -> PromptId:
    """`pmt_` and 130 bits of a hash."""
    digest = hashlib.sha256(f"{tenant_id}/{workspace_id}/{name}".encode()).digest()
    return PromptId("pmt_" + base64.b32encode(digest).decode()[:ID_CHARS].lower())


def prompt_stream(tenant_id: TenantId, workspace_id: WorkspaceId, name: str) -> StreamRef:
    return StreamRef(tenant_id, "prompt", prompt_id(tenant_id, workspace_id, name))


def initial() -> PromptState:
    return Unpublished()


def decide(command: PublishPrompt, state: PromptState) -> list[PromptEvent]:
    """Raises Invalid, PromptVersionMismatch, TooManyPromptVersions. The newest document again is no new version."""
    limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
    if command.expected_version not in (None, state.version):
        raise PromptVersionMismatch(f"the newest version is {state.version}, not {command.expected_version}")
    digest = document_hash(command.document)
    if isinstance(state, Published) and state.document_hash == digest:
        return []
    if state.version >= MAX_VERSIONS:
        raise TooManyPromptVersions(f"the prompt has {state.version} versions")
    return [
        PromptPublished(
            workspace_id=command.workspace_id,
            name=command.name,
            version=state.version + 1,
            document=command.document,
            document_hash=digest,
            reason=command.reason,
            restores=command.restores,
        )
    ]


def evolve(_: PromptState, event: PromptEvent) -> PromptState:
    return Published(version=event.version, document_hash=event.document_hash)


class Version(Struct, frozen=True, kw_only=True):
    """One line of a prompt's history."""

    published: PromptPublished
    author: Actor
    at: Instant

    def pinned(self) -> PinnedPrompt:
        published = self.published
        return PinnedPrompt(
            name=published.name,
            version=published.version,
            document_hash=published.document_hash,
            document=msgspec.convert(published.document, PromptDocument),
        )


def versions(history: Iterable[Recorded[PromptEvent]]) -> list[Version]:
    """Every version ever published, oldest first. `history` is the whole stream."""
    return [
        Version(published=event, author=recorded.commit.actor, at=recorded.commit.at)
        for recorded in history
        for event in recorded.commit.events
    ]


def checked(document: Any, expressions: Expressions) -> PromptDocument:
    """Raises Invalid with every problem. What decides is what its readers see, so nothing unseen may be in it."""
    _refuse([*plain_problems(document)])
    _refuse([*secret_problems(document), *unseen_problems(document)])
    try:
        found = msgspec.convert(document, PromptDocument)
    except msgspec.ValidationError as fault:
        said, _, where = str(fault).partition(" - at `$")
        raise _invalid([Problem(path=where.rstrip("`").replace(".", "/"), message=said)]) from None
    problems = [] if "${" not in found.system else [_problem("/system", "it is said as it stands: no ${ } in it")]
    _refuse([*problems, *_task_problems(found.task, expressions)])
    return found


def _task_problems(task: str, expressions: Expressions) -> list[Problem]:
    try:
        for part in sentence_parts(task):
            if isinstance(part, Embedded):
                expressions.compile(part.source, list(READABLE))
    except ExpressionInvalid as fault:
        return [_problem("/task", str(fault))]
    return []


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise _invalid(problems)


def _invalid(problems: list[Problem]) -> Invalid:
    return Invalid(problems, "the prompt is not valid")


def _problem(path: str, message: str) -> Problem:
    return Problem(path=path, message=message)
