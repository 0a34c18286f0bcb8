"""Which connectors a tenant uses, in which version: what it may say, and what follows from what is installed."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from fairlead.domain.connectors.versions import Version
from fairlead.domain.tenants import limits
from fairlead.domain.tenants.commands import DisableConnector, UseConnector
from fairlead.domain.tenants.errors import LimitReached
from fairlead.domain.tenants.events import ConnectorDisabled, ConnectorEnabled, ConnectorPinned, TenantEvent
from fairlead.domain.tenants.states import Choice, choice_of

Uses = Mapping[str, str]  # version by connector
ChoiceEvent = ConnectorEnabled | ConnectorPinned | ConnectorDisabled


class Offer(Struct, frozen=True, kw_only=True):
    """What is installed under one name. `by_default`: tenants use it unless they say otherwise."""

    name: str
    versions: tuple[str, ...]
    by_default: bool

    def newest(self, major: int | None = None) -> str | None:
        """A pre-release only where there is nothing else. None where nothing of the major version is installed."""
        found = [version for version in map(Version, self.versions) if major in (None, version.major)]
        best = max(found, key=lambda version: (version.is_release, version), default=None)
        return best.text if best else None


def uses(offers: Iterable[Offer], choices: Mapping[str, Choice]) -> Uses:
    """A version that was chosen and is not installed is no other one: the connector is then not used."""
    found = {offer.name: _used(offer, choices.get(offer.name)) for offer in offers}
    return {name: version for name, version in found.items() if version is not None}


def _used(offer: Offer, choice: Choice | None) -> str | None:
    if choice is None:
        return offer.newest() if offer.by_default else None
    if not choice.enabled:
        return None
    if choice.version is not None:
        return choice.version if choice.version in offer.versions else None
    return offer.newest(choice.major)


def decide(command: UseConnector | DisableConnector, choices: Mapping[str, Choice]) -> list[TenantEvent]:
    """Raises Invalid, LimitReached."""
    limits.check(limits.connector("/connector", command.connector))
    if len(choices) >= limits.MAX_CHOICES and command.connector not in choices:
        raise LimitReached("connectors that something is said of", limits.MAX_CHOICES)
    event = _event(command)
    return [] if choices.get(command.connector) == choice_of(event) else [event]


def _event(command: UseConnector | DisableConnector) -> ChoiceEvent:
    if isinstance(command, DisableConnector):
        limits.check(limits.text("/reason", command.reason, limits.MAX_REASON))
        return ConnectorDisabled(connector=command.connector, reason=command.reason)
    if command.version is not None:
        return ConnectorPinned(connector=command.connector, version=command.version)
    return ConnectorEnabled(connector=command.connector, major=command.major)
