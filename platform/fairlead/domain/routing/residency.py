"""Where a tenant's data may be read, and by whose models: nothing is sent anywhere else. One stream per tenant."""

from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec import Struct

from fairlead.domain.envelope import Event, StreamRef
from fairlead.domain.errors import Invalid, Problem, Rejected
from fairlead.domain.instant import Instant
from fairlead.domain.routing.standing import Residency
from fairlead.domain.tenants import limits

MAX_NAMED = 100


class ResidencyChanged(Event, frozen=True, kw_only=True, tag="residency.changed.v1"):
    """Counts from now on for whatever is sent to a model. None: any region, any provider."""

    version: int
    regions: tuple[str, ...] | None
    providers: tuple[str, ...] | None
    changed_by: PrincipalId
    changed_at: Instant
    reason: str


ResidencyEvent = ResidencyChanged


class ChangeResidency(Struct, frozen=True, kw_only=True):
    """`expected_version` is the one that was seen; None for any."""

    regions: tuple[str, ...] | None
    providers: tuple[str, ...] | None
    reason: str
    by: PrincipalId
    now: Instant
    expected_version: int | None = None


class ResidencyMoved(Rejected):
    """Somebody changed it since it was read: the version is another."""

    code = "residency_moved"


class ResidencyState(Struct, frozen=True, kw_only=True):
    last: ResidencyChanged | None = None

    @property
    def version(self) -> int:
        return self.last.version if self.last else 0

    @property
    def residency(self) -> Residency:
        if self.last is None:
            return Residency()
        regions, providers = self.last.regions, self.last.providers
        return Residency(
            regions=None if regions is None else frozenset(regions),
            providers=None if providers is None else frozenset(providers),
        )


def residency_stream(tenant_id: TenantId) -> StreamRef:
    return StreamRef(tenant_id, "residency", f"rsd_{tenant_id.partition('_')[2]}")


def initial() -> ResidencyState:
    return ResidencyState()


def decide(command: ChangeResidency, state: ResidencyState) -> list[ResidencyEvent]:
    """Raises Invalid, ResidencyMoved."""
    limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
    for place, names in (("/regions", command.regions), ("/providers", command.providers)):
        if names is not None and len(names) > MAX_NAMED:
            raise Invalid([Problem(path=place, message=f"at most {MAX_NAMED} are named")])
    if command.expected_version not in (None, state.version):
        raise ResidencyMoved(f"the newest version is {state.version}, not {command.expected_version}")
    regions, providers = _sorted(command.regions), _sorted(command.providers)
    said = (state.last.regions, state.last.providers) if state.last else (None, None)
    if said == (regions, providers):
        return []
    return [
        ResidencyChanged(
            version=state.version + 1,
            regions=regions,
            providers=providers,
            changed_by=command.by,
            changed_at=command.now,
            reason=command.reason,
        )
    ]


def evolve(_: ResidencyState, event: ResidencyEvent) -> ResidencyState:
    return ResidencyState(last=event)


def _sorted(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(sorted(set(names)))
