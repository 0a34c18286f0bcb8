"""What a manifest must say of accounts: how tenants sign in, which scopes there are, which hosts are reached."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from fairlead_sdk.auth import Access, Auth, AuthKind, OAuthGrant, OAuthServer, Scope
from fairlead_sdk.contract import Effect, Manifest, Tool
from fairlead_sdk.egress import field_of, fields_in, filled, place_of, reach_of

Said = Iterator[tuple[str, str]]  # code, message

MAX_EGRESS = 50
MAX_CONFIG = 20
MAX_SCOPES = 100

_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SCOPE_NAME = re.compile(r"[\x21-\x7e]{1,200}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_PREFIX = re.compile(r"[\x20-\x7e]{0,64}")
_NEEDED_WITHOUT_ISSUER = {
    OAuthGrant.AUTHORIZATION_CODE: ("authorization_url", "token_url"),
    OAuthGrant.CLIENT_CREDENTIALS: ("token_url",),
    OAuthGrant.DEVICE_CODE: ("device_url", "token_url"),
    OAuthGrant.TOKEN_EXCHANGE: ("token_url",),
}


def account_faults(manifest: Manifest, *, shipped: bool) -> Said:
    yield from _auth(manifest.auth, shipped=shipped)
    yield from _scopes(manifest.scopes)
    yield from _egress(manifest)
    yield from _config(manifest)


def scope_faults(manifest: Manifest, tool: Tool[Any, Any]) -> Said:
    """What a tool may do with an account follows from the scopes that people grant."""
    declared = {scope.name: scope for scope in manifest.scopes}
    for name in tool.scopes:
        if name not in declared:
            yield "undeclared_scope", f"the manifest has no scope {name!r}"
    opening = [declared[name].access for name in tool.scopes if name in declared]
    if manifest.scopes and tool.effect is not Effect.READ and not {Access.WRITE, Access.ADMIN} & set(opening):
        yield "write_without_scope", "it writes and needs no scope that allows writing"


def _auth(auth: Auth, *, shipped: bool) -> Said:
    kind: Any = auth.kind
    if not isinstance(kind, AuthKind):
        yield "auth", f"{kind!r} is not a kind of auth: use AuthKind"
    if auth.oauth is not None and kind is not AuthKind.OAUTH2:
        yield "auth", f"an OAuth server is named, and auth is {kind}"
    if kind is AuthKind.OAUTH2:
        yield from _oauth(auth.oauth)
    if not _HEADER.fullmatch(auth.header) or not _PREFIX.fullmatch(auth.prefix):
        yield "auth", "an API key goes into a header with a name, after printable characters or none"
    if auth.query and (kind is not AuthKind.API_KEY or not _HEADER.fullmatch(auth.query)):
        yield "auth", "only an API key goes into a query parameter, which has a name"
    if auth.handed_over and kind is AuthKind.NONE:
        yield "handed_over", "there is no credential to hand over"
    if auth.handed_over and not shipped:
        yield "handed_over", "only connectors that ship with the platform are handed credentials"


def _oauth(server: OAuthServer | None) -> Said:
    if server is None:
        yield "auth", "OAuth needs a server: say where grants come from"
        return
    if not server.grants:
        yield "auth", "the OAuth server has no grants"
    grants: tuple[Any, ...] = server.grants
    for grant in grants:
        if not isinstance(grant, OAuthGrant):
            yield "auth", f"{grant!r} is not a grant: use OAuthGrant"
            continue
        for field in () if server.issuer else _NEEDED_WITHOUT_ISSUER[grant]:
            if not getattr(server, field):
                yield "auth", f"the grant {grant} needs {field}, or an issuer to discover it from"
    for address in _addresses(server):
        if field_of(address.split("/", 1)[0]) is None and not _is_https(address):
            yield "auth", f"{address!r} is not an https address"


def _addresses(server: OAuthServer) -> list[str]:
    given = (server.issuer, server.authorization_url, server.token_url, server.revocation_url, server.device_url)
    return [address for address in given if address is not None]


def _is_https(address: str) -> bool:
    """Fields may stand in it, for a tenant's own name at the provider."""
    plain = filled(address, dict.fromkeys(fields_in(address), "field"))
    return plain.startswith("https://") and place_of(plain) is not None


def _scopes(scopes: tuple[Scope, ...]) -> Said:
    if len(scopes) > MAX_SCOPES:
        yield "scopes", f"at most {MAX_SCOPES} scopes"
    for name in _repeated(scope.name for scope in scopes):
        yield "scopes", f"the scope {name!r} is there more than once"
    for scope in scopes:
        access: Any = scope.access
        if not _SCOPE_NAME.fullmatch(scope.name):
            yield "scopes", f"{scope.name!r} is not a scope: printable characters without spaces"
        if not scope.title.strip():
            yield "scopes", f"the scope {scope.name!r} has no title: say what a person grants with it"
        if not isinstance(access, Access):
            yield "scopes", f"{access!r} is not what a scope opens: use Access"


def _egress(manifest: Manifest) -> Said:
    if len(manifest.egress) > MAX_EGRESS:
        yield "egress", f"at most {MAX_EGRESS} hosts"
    for entry in manifest.egress:
        example = dict.fromkeys(fields_in(entry), "field")
        if field_of(entry) is None and reach_of(filled(entry, example)) is None:
            yield "egress", f"{entry!r} is no host, *.host, host:port, {{field}} or {{field}}.host"
    if manifest.auth.kind is not AuthKind.NONE and not manifest.auth.handed_over and not manifest.egress:
        yield "egress", "there is an account, and no host that its credential could go to"


def _config(manifest: Manifest) -> Said:
    if len(manifest.config) > MAX_CONFIG:
        yield "config", f"at most {MAX_CONFIG} fields"
    for name in _repeated(field.name for field in manifest.config):
        yield "config", f"the field {name} is there more than once"
    for field in manifest.config:
        if not _FIELD_NAME.fullmatch(field.name):
            yield "config", f"{field.name!r} is no name of a field: a lower-case word of at most 32 characters"
        if not field.title.strip():
            yield "config", f"the field {field.name} has no title"
    known = {field.name for field in manifest.config}
    addresses = _addresses(manifest.auth.oauth) if manifest.auth.oauth else []
    for text in (*manifest.egress, *addresses):
        for name in fields_in(text):
            if name not in known:
                yield "unknown_field", f"{text!r} speaks of the field {name}, which is not in config"


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]
