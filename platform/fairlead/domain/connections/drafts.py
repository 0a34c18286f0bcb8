"""What may be connected at all: a draft is checked against the connector's manifest before anything is recorded."""

import re
from collections.abc import Iterator, Mapping, Sequence

from fairlead_sdk.auth import Access, AuthKind, OAuthGrant
from fairlead_sdk.contract import Manifest
from fairlead_sdk.egress import field_of, fields_in, place_of, reach_of
from fairlead_tenants.ids import EnvironmentId, TenantId, WorkspaceId
from msgspec import Struct

from fairlead.domain.connections.clients import ADDRESSES
from fairlead.domain.connections.events import ConnectionCreated
from fairlead.domain.connections.naming import connection_id
from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.redaction import redact_text
from fairlead.domain.tenants import limits

MAX_FIELD = 500
_LABEL = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class Draft(Struct, frozen=True, kw_only=True):
    """`scopes` None: all that the manifest calls reading, nothing more. `grant` None: the connector's first."""

    workspace_id: WorkspaceId
    environment_id: EnvironmentId
    name: str
    config: Mapping[str, str]
    scopes: Sequence[str] | None = None
    grant: OAuthGrant | None = None


def checked(tenant_id: TenantId, manifest: Manifest, draft: Draft) -> ConnectionCreated:
    """Raises Invalid with everything that is wrong."""
    problems = [*_problems(manifest, draft)]
    if problems:
        raise Invalid(problems, "the connection cannot be made")
    return ConnectionCreated(
        connection_id=connection_id(tenant_id, draft.workspace_id, draft.environment_id, draft.name),
        workspace_id=draft.workspace_id,
        environment_id=draft.environment_id,
        connector=manifest.name,
        name=draft.name,
        auth=manifest.auth.kind,
        grant=_grant(manifest, draft),
        config=dict(draft.config),
        scopes=tuple(dict.fromkeys(read_scopes(manifest) if draft.scopes is None else draft.scopes)),
    )


def read_scopes(manifest: Manifest) -> tuple[str, ...]:
    return tuple(scope.name for scope in manifest.scopes if scope.access is Access.READ)


def scope_problems(manifest: Manifest, scopes: Sequence[str]) -> Iterator[Problem]:
    known = {scope.name for scope in manifest.scopes}
    for index, scope in enumerate(scopes):
        if scope not in known:
            yield Problem(path=f"/scopes/{index}", message=f"{manifest.name} has no such scope", code="unknown_scope")


def _problems(manifest: Manifest, draft: Draft) -> Iterator[Problem]:
    if problem := limits.slug("/name", draft.name):
        yield problem
    if manifest.auth.kind is AuthKind.NONE and not manifest.config:
        yield Problem(path="/connector", message=f"{manifest.name} needs no connection", code="no_account")
    yield from scope_problems(manifest, draft.scopes or ())
    offered = manifest.auth.oauth.grants if manifest.auth.oauth else ()
    if draft.grant is not None and draft.grant not in offered:
        yield Problem(path="/grant", message=f"{manifest.name} does not offer this grant", code="unknown_grant")
    yield from _config_problems(manifest, draft.config)


def _config_problems(manifest: Manifest, config: Mapping[str, str]) -> Iterator[Problem]:
    known = {field.name: field for field in manifest.config}
    for name in sorted(set(config) - set(known)):
        yield Problem(path="/config", message=f"{manifest.name} has no field {name[:40]}", code="unknown_field")
    for name, field in known.items():
        value = config.get(name)
        if value is None:
            if field.required:
                yield Problem(path=f"/config/{name}", message="is needed", code="missing")
        elif problem := limits.text(f"/config/{name}", value, MAX_FIELD):
            yield problem
        elif redact_text(value) != value:
            yield Problem(path=f"/config/{name}", message="looks like a secret, which goes elsewhere", code="secret")
        elif name in _address_fields(manifest) and place_of(value) is None and not _is_server(manifest, value):
            message = "must be an address such as https://example.com, without a name or password in it"
            yield Problem(path=f"/config/{name}", message=message, code="no_address")
        elif name in _label_fields(manifest) and not _LABEL.fullmatch(value):
            message = "must be lower-case letters, digits, hyphens and dots: it becomes part of an address"
            yield Problem(path=f"/config/{name}", message=message, code="no_label")


def _address_fields(manifest: Manifest) -> set[str]:
    """Those that are whole addresses: hosts in themselves, or what another address begins with."""
    return {name for entry in (*manifest.egress, *_addresses(manifest)) for name in [_leading(entry)] if name}


def _is_server(manifest: Manifest, value: str) -> bool:
    """`host:port` is all there is to say where tools speak another protocol than HTTP, with a credential in hand."""
    reach = reach_of(value.lower()) if manifest.auth.handed_over and ":" in value else None
    return reach is not None and not reach.below


def _label_fields(manifest: Manifest) -> set[str]:
    """Those that stand within an address: a name there could otherwise lead to another host."""
    return {name for address in _addresses(manifest) for name in fields_in(address)} - _address_fields(manifest)


def _leading(entry: str) -> str | None:
    return field_of(entry.split("/", 1)[0])


def _addresses(manifest: Manifest) -> list[str]:
    server = manifest.auth.oauth
    given = () if server is None else (getattr(server, name) for name in ADDRESSES)
    return [address for address in given if address is not None]


def _grant(manifest: Manifest, draft: Draft) -> OAuthGrant | None:
    if manifest.auth.oauth is None:
        return None
    return draft.grant or manifest.auth.oauth.grants[0]
