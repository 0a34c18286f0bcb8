"""A route's history: versions that never change, and how far candidates are rolled out. The newest version counts.

The stream's id follows from tenant and name, so a name is one history and needs no look-up.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.envelope import Actor, Event, Recorded, StreamRef
from fairlead.domain.errors import NotFound, Rejected
from fairlead.domain.ids import RouteId
from fairlead.domain.instant import Instant
from fairlead.domain.routing.asking import Route
from fairlead.domain.routing.document import RouteDocument
from fairlead.domain.tenants import limits
from fairlead.domain.workflow.plain import document_hash

ID_CHARS = 26
MAX_VERSIONS = 10_000


def route_id(tenant_id: TenantId, name: str) -> RouteId:
    """`rte_` and 130 bits of a hash."""
    digest = hashlib.sha256(f"{tenant_id}/{name}".encode()).digest()
    return RouteId("rte_" + base64.b32encode(digest).decode()[:ID_CHARS].lower())


def route_stream(tenant_id: TenantId, name: str) -> StreamRef:
    return StreamRef(tenant_id, "route", route_id(tenant_id, name))


class RoutePublished(Event, frozen=True, kw_only=True, tag="route.published.v1", omit_defaults=True):
    """Counts from now on. `document` is the plain data that was checked; `restores` is the version it was taken from
    again. Candidates that are rolled out begin with their first stage, or stay where they were if nothing of them
    changed."""

    name: str
    version: int
    document: dict[str, Any]
    document_hash: str
    reason: str
    published_at: Instant
    restores: int | None = None


class RolloutMoved(Event, frozen=True, kw_only=True, tag="route.rollout_moved.v1", omit_defaults=True):
    """From now on the candidate gets `share` percent of its tier's calls; 0: it did not keep to its gates.

    `code` names the figure that decided, with its `value` and the `bound` it was held against.
    """

    version: int
    candidate: str
    share: int
    before: int
    move: Literal["advanced", "rolled_back"]
    moved_at: Instant
    calls: int
    code: str
    value: int | None = None
    bound: int | None = None


class RouteRetired(Event, frozen=True, kw_only=True, tag="route.retired.v1"):
    """Nothing is asked by it until it is published again."""

    reason: str


class AnswersForgotten(Event, frozen=True, kw_only=True, tag="route.answers_forgotten.v1"):
    """No answer that was kept until now is given again. Exactly this: what models answer from now on is kept anew."""

    reason: str


RouteEvent = RoutePublished | RolloutMoved | RouteRetired | AnswersForgotten


class PublishRoute(Struct, frozen=True, kw_only=True):
    """`document` has been checked. `expected_version` is the version the author saw, 0 for none, None for any."""

    name: str
    document: dict[str, Any]
    reason: str
    now: Instant
    expected_version: int | None = None
    restores: int | None = None


class RetireRoute(Struct, frozen=True, kw_only=True):
    reason: str


class ForgetAnswers(Struct, frozen=True, kw_only=True):
    reason: str


class MoveRollout(Struct, frozen=True, kw_only=True):
    """What was found by whoever looks after rollouts. Of an older version than the newest it says nothing."""

    version: int
    candidate: str
    share: int
    now: Instant
    calls: int
    code: str
    value: int | None = None
    bound: int | None = None


RouteCommand = PublishRoute | RetireRoute | ForgetAnswers | MoveRollout


class Unpublished(Struct, frozen=True):
    version: int = 0


class Published(Struct, frozen=True, kw_only=True):
    """`shares` of candidates that were moved on; `since` is when each was."""

    name: str
    version: int
    document: dict[str, Any]
    document_hash: str
    published_at: Instant
    shares: Mapping[str, int] = {}
    since: Mapping[str, Instant] = {}
    retired: bool = False
    forgotten: int = 0

    @property
    def route(self) -> Route:
        document = msgspec.convert(self.document, RouteDocument)
        return Route(
            name=self.name,
            version=self.version,
            document=document,
            shares=self.shares,
            forgotten=self.forgotten,
        )


RouteState = Unpublished | Published


class RouteVersionMismatch(Rejected):
    """Somebody published since: look at the newest version and decide again."""

    code = "route_version_mismatch"


class TooManyRouteVersions(Rejected):
    """The route has as many versions as a route may have."""

    code = "too_many_route_versions"


class NoSuchRoute(NotFound):
    """Nothing was published by that name, or no such version."""

    code = "route_not_found"


def initial() -> RouteState:
    return Unpublished()


def decide(command: RouteCommand, state: RouteState) -> list[RouteEvent]:
    """Raises Invalid, RouteVersionMismatch, TooManyRouteVersions, NoSuchRoute."""
    match command, state:
        case PublishRoute(), _:
            return _publish(command, state)
        case _, Unpublished():
            raise NoSuchRoute("no such route")
        case RetireRoute(reason=reason), Published(retired=retired):
            limits.check(limits.text("/reason", reason, limits.MAX_REASON))
            return [] if retired else [RouteRetired(reason=reason)]
        case ForgetAnswers(reason=reason), Published():
            limits.check(limits.text("/reason", reason, limits.MAX_REASON))
            return [AnswersForgotten(reason=reason)]
        case MoveRollout(), Published():
            return _moved(command, state)
    raise AssertionError(f"{type(command).__name__} is no command of routes")


def _publish(publish: PublishRoute, state: RouteState) -> list[RouteEvent]:
    """The newest document again is no new version, unless the route was retired."""
    limits.check(limits.text("/reason", publish.reason, limits.MAX_REASON))
    if publish.expected_version not in (None, state.version):
        raise RouteVersionMismatch(f"the newest version is {state.version}, not {publish.expected_version}")
    digest = document_hash(publish.document)
    if isinstance(state, Published) and state.document_hash == digest and not state.retired and not _fallen(state):
        return []
    if state.version >= MAX_VERSIONS:
        raise TooManyRouteVersions(f"the route has {state.version} versions")
    return [
        RoutePublished(
            name=publish.name,
            version=state.version + 1,
            document=publish.document,
            document_hash=digest,
            reason=publish.reason,
            published_at=publish.now,
            restores=publish.restores,
        )
    ]


def _fallen(state: Published) -> bool:
    """Whether publishing the same again gives a candidate that was rolled back another chance."""
    return 0 in state.shares.values()


def _moved(move: MoveRollout, state: Published) -> list[RouteEvent]:
    if move.version != state.version or state.retired:
        return []
    found = next((each for each in state.route.document.candidates if each.id == move.candidate), None)
    if found is None or found.rollout is None:
        return []
    before = state.shares.get(move.candidate, found.rollout.stages[0])
    if before in (0, move.share):
        return []
    return [
        RolloutMoved(
            version=move.version,
            candidate=move.candidate,
            share=move.share,
            before=before,
            move="advanced" if move.share > before else "rolled_back",
            moved_at=move.now,
            calls=move.calls,
            code=move.code,
            value=move.value,
            bound=move.bound,
        )
    ]


def evolve(state: RouteState, event: RouteEvent) -> RouteState:
    match event:
        case RoutePublished():
            published = Published(
                name=event.name,
                version=event.version,
                document=event.document,
                document_hash=event.document_hash,
                published_at=event.published_at,
            )
            return _going_on(state, published) if isinstance(state, Published) else published
        case RolloutMoved():
            assert isinstance(state, Published), "only what was published is rolled out"
            shares = {**state.shares, event.candidate: event.share}
            return replace(state, shares=shares, since={**state.since, event.candidate: event.moved_at})
        case RouteRetired():
            assert isinstance(state, Published), "only what was published is retired"
            return replace(state, retired=True)
        case AnswersForgotten():
            assert isinstance(state, Published), "only what was published keeps answers"
            return replace(state, forgotten=state.forgotten + 1)


def _going_on(before: Published, after: Published) -> Published:
    """With the shares of candidates of which nothing changed. One that was rolled back begins anew."""
    old, new = _by_id(before.document), _by_id(after.document)
    shares = {name: share for name, share in before.shares.items() if share and old.get(name) == new.get(name)}
    return replace(
        after,
        forgotten=before.forgotten,
        shares=shares,
        since={name: at for name, at in before.since.items() if name in shares},
    )


def _by_id(document: Mapping[str, Any]) -> dict[str, Any]:
    return {each["id"]: each for each in document.get("candidates", ())}


class Version(Struct, frozen=True, kw_only=True):
    """One line of a route's history."""

    published: RoutePublished
    author: Actor
    at: Instant


def versions(history: Iterable[Recorded[RouteEvent]]) -> list[Version]:
    """Every version ever published, oldest first. `history` is the whole stream."""
    return [
        Version(published=event, author=recorded.commit.actor, at=recorded.commit.at)
        for recorded in history
        for event in recorded.commit.events
        if isinstance(event, RoutePublished)
    ]
