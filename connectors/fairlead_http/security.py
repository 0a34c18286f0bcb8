"""How an imported set signs in: one of the description's security schemes, and which operations it opens."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from fairlead_sdk import Access, Auth, AuthKind, OAuthGrant, OAuthServer, Scope
from msgspec import Struct

from fairlead_http.pointing import CannotImport, pointer, resolved
from fairlead_http.reading import Document

Requirement = dict[str, tuple[str, ...]]  # all of these schemes together, with scopes

MAX_SCOPES = 100
_SCOPE = re.compile(r"[\x21-\x7e]{1,200}")
_DISCOVERY = "/.well-known/openid-configuration"


class Need(Struct, frozen=True):
    """What one operation asks for. None: it can be called by anybody."""

    scopes: tuple[str, ...] | None


class Scheme(Struct, frozen=True, kw_only=True):
    name: str
    auth: Auth
    titles: dict[str, str] = {}  # of scopes


def schemes_of(document: Document) -> dict[str, Scheme | CannotImport]:
    """By name, those that cannot be used with the reason."""
    listed = document.get("components", {}).get("securitySchemes", {})
    found: dict[str, Scheme | CannotImport] = {}
    for name, each in listed.items() if isinstance(listed, dict) else ():
        path = pointer("components", "securitySchemes", name)
        try:
            given, _ = resolved(document, each, path)
            found[name] = _scheme(name, given, path)
        except CannotImport as fault:
            found[name] = fault
    return found


def requirements_of(document: Document, operation: dict[str, Any]) -> list[Requirement]:
    """Alternatives; none at all means that nobody has to sign in."""
    listed = operation.get("security", document.get("security", []))
    return [_requirement(each) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def chosen(
    schemes: dict[str, Scheme | CannotImport], asked: Iterable[list[Requirement]], hint: str | None
) -> Scheme | None:
    """The one that opens most operations; the first in the description where several open as many."""
    usable = {name: scheme for name, scheme in schemes.items() if isinstance(scheme, Scheme)}
    if hint is not None:
        return usable.get(hint)
    opens = Counter(
        name
        for alternatives in asked
        for name in {next(iter(each)) for each in alternatives if len(each) == 1}
        if name in usable
    )
    return max(usable.values(), key=lambda scheme: opens[scheme.name], default=None) if opens else None


def need_of(
    alternatives: list[Requirement], scheme: Scheme | None, schemes: dict[str, Scheme | CannotImport], place: str
) -> Need:
    """Raises CannotImport where the scheme does not open the operation. One that signs in alike does."""
    open_to_all = not alternatives or {} in alternatives
    for each in alternatives:
        asked = schemes.get(next(iter(each))) if len(each) == 1 else None
        if scheme is not None and isinstance(asked, Scheme) and asked.auth == scheme.auth:
            is_granted = scheme.auth.kind is AuthKind.OAUTH2 and not open_to_all
            return Need(each[asked.name] if is_granted else ())
    if open_to_all:
        return Need(None)
    wanted = " or ".join(" and ".join(each) for each in alternatives)[:200]
    raise CannotImport(f"{place}/security", "security", f"it needs {wanted}, which the set does not sign in with")


def scopes_of(scheme: Scheme, opens: dict[str, Access], hints: dict[str, Access]) -> tuple[Scope, ...]:
    """Those that operations need. What a scope opens is the strongest of them, unless the hints say so."""
    names = [name for name in opens if _SCOPE.fullmatch(name)][:MAX_SCOPES]
    return tuple(
        Scope(name=name, access=hints.get(name, opens[name]), title=(scheme.titles.get(name) or name)[:200])
        for name in names
    )


def _requirement(given: dict[str, Any]) -> Requirement:
    return {
        str(name): tuple(each for each in scopes if isinstance(each, str)) if isinstance(scopes, list) else ()
        for name, scopes in given.items()
    }


def _scheme(name: str, given: dict[str, Any], path: str) -> Scheme:
    match given.get("type"), given.get("in"), str(given.get("scheme", "")).lower():
        case "apiKey", "header", _:
            return Scheme(name=name, auth=Auth(kind=AuthKind.API_KEY, header=_named(given, path), prefix=""))
        case "apiKey", "query", _:
            return Scheme(name=name, auth=Auth(kind=AuthKind.API_KEY, query=_named(given, path)))
        case "http", _, "bearer":
            return Scheme(name=name, auth=Auth(kind=AuthKind.API_KEY))
        case "http", _, "basic":
            return Scheme(name=name, auth=Auth(kind=AuthKind.BASIC))
        case "oauth2", _, _:
            return _oauth(name, given, path)
        case "openIdConnect", _, _:
            issuer = str(given.get("openIdConnectUrl", "")).removesuffix(_DISCOVERY)
            return Scheme(name=name, auth=_of_server(OAuthServer(issuer=_https(issuer, path))))
    raise CannotImport(path, "security", "signing in this way is not supported")


def _named(given: dict[str, Any], path: str) -> str:
    """The header or query parameter that the key goes into."""
    name = given.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", name):
        raise CannotImport(f"{path}/name", "security", "the key has no name that it could go under")
    return name


def _oauth(name: str, given: dict[str, Any], path: str) -> Scheme:
    flows = given.get("flows")
    for flow, grant in (
        ("authorizationCode", OAuthGrant.AUTHORIZATION_CODE),
        ("clientCredentials", OAuthGrant.CLIENT_CREDENTIALS),
    ):
        said = flows.get(flow) if isinstance(flows, dict) else None
        if isinstance(said, dict):
            authorization = said.get("authorizationUrl")
            server = OAuthServer(
                authorization_url=_https(authorization, path) if grant is OAuthGrant.AUTHORIZATION_CODE else None,
                token_url=_https(said.get("tokenUrl"), path),
                grants=(grant,),
            )
            scopes = said.get("scopes")
            titles = {key: str(text) for key, text in scopes.items()} if isinstance(scopes, dict) else {}
            return Scheme(name=name, auth=_of_server(server), titles=titles)
    raise CannotImport(f"{path}/flows", "security", "of OAuth only codes and client credentials are supported")


def _of_server(server: OAuthServer) -> Auth:
    return Auth(kind=AuthKind.OAUTH2, oauth=server)


def _https(url: Any, path: str) -> str:
    if not isinstance(url, str) or not re.fullmatch(r"https://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{1,1000}", url):
        raise CannotImport(path, "security", "an address of the OAuth server is not an https address")
    return url
