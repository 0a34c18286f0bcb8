"""One connector in the catalogue of an installation: its versions, what was decided about each, which are installed.

The catalogue is nobody's tenant. Its streams lie under a tenant id that no tenant can have.
"""

from collections.abc import Mapping
from typing import Any, Literal, assert_never

from fairlead_sdk.description import ManifestDescription, description_of, plain
from fairlead_tenants.ids import TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.connectors.compatibility import Difference, differences
from fairlead.domain.connectors.package import AuthorNotAllowed, Package
from fairlead.domain.connectors.versions import Version
from fairlead.domain.envelope import Event, StreamRef
from fairlead.domain.errors import NotFound, Rejected

INSTALLATION = TenantId("tnt_installation")  # has letters that no generated id has
MAX_REASON = 1_000
MAX_VERSIONS = 1_000

Verdict = Literal["approved", "rejected"]
Status = Literal["submitted", "approved", "rejected", "withdrawn"]


def stream_of(name: str) -> StreamRef:
    return StreamRef(INSTALLATION, "connector", f"cnr_{name}")


class ConnectorPublished(Event, frozen=True, kw_only=True, tag="connector.published.v1"):
    """`manifest` is what was signed, with the schemas of the tools. The package lies in BLOBS under its SHA-256.
    `author_key` is an Ed25519 public key in hex."""

    name: str
    version: str
    manifest: dict[str, Any]
    author_key: str
    package_sha256: str
    package_bytes: int


class ConnectorReviewed(Event, frozen=True, kw_only=True, tag="connector.reviewed.v1"):
    """Only an approved version can be installed."""

    version: str
    verdict: Verdict
    reason: str


class ConnectorInstalled(Event, frozen=True, kw_only=True, tag="connector.installed.v1"):
    """Processes load it from now on. Other versions stay as they are."""

    version: str


class ConnectorUninstalled(Event, frozen=True, kw_only=True, tag="connector.uninstalled.v1"):
    """It is called no more."""

    version: str


class ConnectorWithdrawn(Event, frozen=True, kw_only=True, tag="connector.withdrawn.v1"):
    """For good: neither installed nor called any more, and its number is not given again."""

    version: str
    reason: str


ConnectorEvent = ConnectorPublished | ConnectorReviewed | ConnectorInstalled | ConnectorUninstalled | ConnectorWithdrawn


class PublishConnector(Struct, frozen=True, kw_only=True):
    """`new_author`: the operator has made sure that another key than before may speak for this connector."""

    package: Package
    package_bytes: int
    new_author: bool = False


class ReviewConnector(Struct, frozen=True, kw_only=True):
    version: str
    verdict: Verdict
    reason: str


class InstallConnector(Struct, frozen=True, kw_only=True):
    """`authors` are the keys that the installation trusts."""

    version: str
    authors: frozenset[str]


class UninstallConnector(Struct, frozen=True, kw_only=True):
    version: str


class WithdrawConnector(Struct, frozen=True, kw_only=True):
    version: str
    reason: str


ConnectorCommand = PublishConnector | ReviewConnector | InstallConnector | UninstallConnector | WithdrawConnector


class Entry(Struct, frozen=True, kw_only=True):
    """One version."""

    manifest: ManifestDescription
    author_key: str
    package_sha256: str
    package_bytes: int
    status: Status = "submitted"
    reason: str = ""  # of the review, or of taking it back
    installed: bool = False


class Listed(Struct, frozen=True, kw_only=True):
    """A connector with its versions by number, in the order of their publication."""

    versions: Mapping[str, Entry] = {}


class ConnectorUnknown(NotFound):
    """The catalogue has no such connector, or no such version of it."""

    code = "connector_unknown"


class VersionTaken(Rejected):
    """Versions never change: what is different has another number."""

    code = "connector_version_taken"


class VersionNotNewer(Rejected):
    """Within a major version numbers only rise."""

    code = "connector_version_not_newer"


class AnotherAuthor(Rejected):
    """The connector's versions so far are signed with another key."""

    code = "connector_another_author"


class VersionIncompatible(Rejected):
    """Workflows that call the connector would break: give it a new major version."""

    code = "connector_version_incompatible"

    def __init__(self, before: str, found: list[Difference]) -> None:
        listed = "; ".join(f"{each.where}{each.place}: {each.message} ({each.code})" for each in found)
        super().__init__(f"it cannot follow {before} under the same major version: {listed}")
        self.differences = tuple(found)


class NotReviewable(Rejected):
    """A version is reviewed once."""

    code = "connector_not_reviewable"


class NotInstallable(Rejected):
    """Only what was approved, and has not been taken back, is installed."""

    code = "connector_not_installable"


class TooManyVersions(Rejected):
    code = "connector_too_many_versions"


def initial() -> Listed:
    return Listed()


def decide(command: ConnectorCommand, state: Listed) -> list[ConnectorEvent]:
    """Say what happens. Raises what is above."""
    match command:
        case PublishConnector():
            return _publish(command, state)
        case ReviewConnector():
            return _review(command, _entry(state, command.version))
        case InstallConnector():
            return _install(command, _entry(state, command.version))
        case UninstallConnector(version=version):
            return [ConnectorUninstalled(version=version)] if _entry(state, version).installed else []
        case WithdrawConnector(version=version, reason=reason):
            if _entry(state, version).status == "withdrawn":
                return []
            return [ConnectorWithdrawn(version=version, reason=reason[:MAX_REASON])]
        case _:
            assert_never(command)


def _publish(command: PublishConnector, state: Listed) -> list[ConnectorEvent]:
    package = command.package
    there = state.versions.get(package.version)
    if there is not None:
        if there.package_sha256 == package.digest:
            return []
        raise VersionTaken(f"{package.name} {package.version} is another package")
    if len(state.versions) >= MAX_VERSIONS:
        raise TooManyVersions(f"at most {MAX_VERSIONS} versions")
    _check_author(command, state)
    if (before := _newest_of_major(state, Version(package.version).major)) is not None:
        _check_follows(package, before)
    return [
        ConnectorPublished(
            name=package.name,
            version=package.version,
            manifest=plain(package.manifest),
            author_key=package.author_key,
            package_sha256=package.digest,
            package_bytes=command.package_bytes,
        )
    ]


def _check_author(command: PublishConnector, state: Listed) -> None:
    known = {entry.author_key for entry in state.versions.values() if entry.status != "rejected"}
    if known and command.package.author_key not in known and not command.new_author:
        raise AnotherAuthor(f"{command.package.name} has been signed with another key so far")


def _check_follows(package: Package, before: ManifestDescription) -> None:
    if Version(package.version) <= Version(before.version):
        raise VersionNotNewer(f"{package.name} {before.version} is there, and {package.version} is not newer")
    if found := differences(before, package.manifest):
        raise VersionIncompatible(before.version, found)


def _newest_of_major(state: Listed, major: int) -> ManifestDescription | None:
    """A rejected version was never in use, and binds nobody."""
    kept = [entry.manifest for entry in state.versions.values() if entry.status != "rejected"]
    same = [manifest for manifest in kept if Version(manifest.version).major == major]
    return max(same, key=lambda manifest: Version(manifest.version), default=None)


def _review(command: ReviewConnector, entry: Entry) -> list[ConnectorEvent]:
    if entry.status == command.verdict:
        return []
    if entry.status != "submitted":
        raise NotReviewable(f"version {command.version} is {entry.status}")
    reason = command.reason.strip()[:MAX_REASON]
    return [ConnectorReviewed(version=command.version, verdict=command.verdict, reason=reason)]


def _install(command: InstallConnector, entry: Entry) -> list[ConnectorEvent]:
    if entry.status != "approved":
        raise NotInstallable(f"version {command.version} is {entry.status}")
    if entry.author_key not in command.authors:
        raise AuthorNotAllowed(f"its author's key {entry.author_key} is not among those that are allowed")
    return [] if entry.installed else [ConnectorInstalled(version=command.version)]


def _entry(state: Listed, version: str) -> Entry:
    if version not in state.versions:
        raise ConnectorUnknown("there is no such version of it")
    return state.versions[version]


def evolve(state: Listed, event: ConnectorEvent) -> Listed:
    match event:
        case ConnectorPublished():
            entry = Entry(
                manifest=description_of(event.manifest),
                author_key=event.author_key,
                package_sha256=event.package_sha256,
                package_bytes=event.package_bytes,
            )
        case ConnectorReviewed():
            entry = replace(state.versions[event.version], status=event.verdict, reason=event.reason)
        case ConnectorInstalled():
            entry = replace(state.versions[event.version], installed=True)
        case ConnectorUninstalled():
            entry = replace(state.versions[event.version], installed=False)
        case ConnectorWithdrawn():
            known = state.versions[event.version]
            entry = replace(known, status="withdrawn", reason=event.reason, installed=False)
        case _:
            assert_never(event)
    return Listed(versions={**state.versions, event.version: entry})
