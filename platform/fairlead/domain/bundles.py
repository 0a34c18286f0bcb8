"""A run as it can be carried elsewhere and decided again: its history, and everything that decided about it.

What is in it is what was recorded, which is redacted. Each part is named by its hash, so that whoever gets a bundle can
tell whether it is whole.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from fairlead.domain.canonical import canonical_sha256
from fairlead.domain.codec import Codec, UnreadableCommit
from fairlead.domain.envelope import Kind, Recorded
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.ids import CallId
from fairlead.domain.instant import Instant
from fairlead.domain.policy.document import Autonomy
from fairlead.domain.policy.in_force import PolicyInForce
from fairlead.domain.prompts import PinnedPrompt
from fairlead.domain.runs.events import ModelCallCompleted, ToolCallCompleted
from fairlead.domain.tools import ToolFacts

FORMAT = "fairlead.bundle.v1"
MAX_BYTES = 64 * 1024 * 1024

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class BundledWorkflow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The version that the run went by. `document_hash` is what the run recorded of it."""

    workflow_id: str
    name: str
    version: int
    document: dict[str, Any]
    document_hash: str
    tool_versions: dict[str, str]
    unstated_autonomy: Autonomy
    prompt: PinnedPrompt | None = None


class BundledPlace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rule that counts across runs was told for a call of the commit `sequence`: the call's own rank, null for
    none, and whether others had a place."""

    sequence: int
    tally: str
    call_id: CallId
    rank: int | None
    others: bool


class BundledPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`version` is what decided when the run began, `document` the section of the workflow. The layers around it that
    decided are `in_force`."""

    version: str
    document: dict[str, Any]
    in_force: list[PolicyInForce] = []
    places: list[BundledPlace] = []


class BundledDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a call gave, by its hash."""

    call_id: str
    position: str
    sha256: str


class BundledCommit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As it is on the log; `body` is the commit itself."""

    sequence: int
    kind: Kind
    stream_id: str
    body: dict[str, Any]


class Hashes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SHA-256 over the canonical JSON (RFC 8785) of each part."""

    workflow: Sha256
    policy: Sha256
    tools: Sha256
    history: Sha256


class Bundle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`through` is the last place on the log that was looked at. `masked`: what is sensitive in the history stands as
    `[sensitive]`, or as its commitment. Later fields may be added under the same format."""

    format: Literal["fairlead.bundle.v1"]
    run_id: str
    through: int
    made_at: Instant
    planner: str
    workflow: BundledWorkflow
    policy: BundledPolicy
    tools: list[ToolFacts]
    documents: list[BundledDocument]
    history: list[BundledCommit]
    hashes: Hashes
    masked: bool = False


def hashes_of(bundle: Bundle) -> Hashes:
    def of(part: Any) -> str:
        return canonical_sha256(msgspec.to_builtins(part))

    return Hashes(
        workflow=of(bundle.workflow), policy=of(bundle.policy), tools=of(bundle.tools), history=of(bundle.history)
    )


def sealed(bundle: Bundle) -> Bundle:
    return replace(bundle, hashes=hashes_of(bundle))


NO_HASHES = Hashes(workflow="0" * 64, policy="0" * 64, tools="0" * 64, history="0" * 64)


def digest_of(bundle: Bundle) -> str:
    """One hash for the whole of it, whenever it was made."""
    return canonical_sha256([bundle.format, bundle.run_id, bundle.through, msgspec.to_builtins(bundle.hashes)])


def bundled(history: Sequence[Recorded[Any]]) -> list[BundledCommit]:
    return [
        BundledCommit(
            sequence=recorded.sequence,
            kind=recorded.commit.kind,
            stream_id=recorded.commit.stream_id,
            body=msgspec.json.decode(recorded.plain),
        )
        for recorded in history
    ]


def documents_in(history: Sequence[Recorded[Any]]) -> list[BundledDocument]:
    return [
        BundledDocument(call_id=event.call_id, position=f"{recorded.sequence}-{index}", sha256=_hash_of(event))
        for recorded in history
        for index, event in enumerate(recorded.commit.events)
        if isinstance(event, ToolCallCompleted | ModelCallCompleted)
    ]


def _hash_of(event: ToolCallCompleted | ModelCallCompleted) -> str:
    return event.output_sha256 if isinstance(event, ToolCallCompleted) else event.answer_hash


def read_bundle(body: bytes) -> Bundle:
    """Raises Invalid for what is no bundle, and for one that was changed."""
    if len(body) > MAX_BYTES:
        raise _invalid("", f"a bundle has at most {MAX_BYTES} bytes", "too_large")
    try:
        bundle = msgspec.json.decode(body, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise _invalid("", f"this is no bundle of {FORMAT}: {fault}", "no_bundle") from None
    found = hashes_of(bundle)
    changed = [name for name in Hashes.__struct_fields__ if getattr(found, name) != getattr(bundle.hashes, name)]
    if changed:
        raise Invalid(
            [Problem(path=f"/{name}", message="is not what its hash says", code="changed") for name in changed],
            "the bundle was changed",
        )
    return bundle


def own_history(bundle: Bundle, codec: Codec) -> list[Recorded[Any]]:
    """Of the run itself. Raises Invalid."""
    return [each for each in recorded_in(bundle, codec) if each.commit.stream_id == bundle.run_id]


def recorded_in(bundle: Bundle, codec: Codec) -> list[Recorded[Any]]:
    """Raises Invalid for a commit that this program cannot read."""
    found: list[Recorded[Any]] = []
    for index, each in enumerate(bundle.history):
        body = msgspec.json.encode(each.body)
        try:
            found.append(Recorded(LogSequence(each.sequence), codec.decode(each.kind, body), body))
        except UnreadableCommit as fault:
            raise _invalid(f"/history/{index}", str(fault), fault.code) from None
    return found


def _invalid(path: str, message: str, code: str) -> Invalid:
    return Invalid([Problem(path=path, message=message, code=code)], "the bundle cannot be used")
