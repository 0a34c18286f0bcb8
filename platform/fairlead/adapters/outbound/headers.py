"""Headers of a request: what a connector may say, what only we say, and the credential, wherever it goes."""

import base64
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote_plus

from fairlead_sdk.auth import Auth, AuthKind
from fairlead_sdk.errors import NeedsReconnect, Refused
from fairlead_sdk.outbound import Credential
from msgspec.structs import replace

from fairlead.adapters.outbound.destinations import Destination

MAX_HEADERS = 64
MAX_HEADER_BYTES = 32 * 1024

# How the message ends, who it is for and how it is packed is between us and the counterpart.
_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")

Pairs = list[tuple[bytes, bytes]]


def said(headers: Mapping[str, str] | None) -> Pairs:
    """What a connector asked for. Raises Refused, naming the header and never its value."""
    given = headers or {}
    if len(given) > MAX_HEADERS or sum(len(name) + len(value) for name, value in given.items()) > MAX_HEADER_BYTES:
        raise Refused(f"a request has at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes", "bad_request")
    return [_pair(name, value) for name, value in given.items()]


def _pair(name: str, value: str) -> tuple[bytes, bytes]:
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise Refused("a header has characters that no header may", "bad_request")
    if name.lower() in _OURS or name.lower().startswith("proxy-"):
        raise Refused(f"{name.lower()} is not for a connector to say", "bad_request")
    return name.encode("ascii"), value.encode("latin-1")


def proof(auth: Auth, credential: Credential) -> tuple[bytes, bytes] | None:
    """The header that proves who we are, None where the manifest has none. Raises NeedsReconnect."""
    if auth.kind is AuthKind.API_KEY and auth.query:
        return None
    name, value = auth.header if auth.kind is AuthKind.API_KEY else "Authorization", ""
    match auth.kind:
        case AuthKind.NONE:
            return None
        case AuthKind.OAUTH2:
            value = f"Bearer {credential.secret}"
        case AuthKind.API_KEY:
            value = f"{auth.prefix}{credential.secret}"
        case AuthKind.BASIC:
            packed = base64.b64encode(f"{credential.username}:{credential.secret}".encode())
            value = f"Basic {packed.decode('ascii')}"
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise NeedsReconnect("the credential has characters that no header may", "bad_credential")
    return name.encode("ascii"), value.encode("latin-1")


def with_key(to: Destination, auth: Auth, credential: Credential) -> Destination:
    """With the key as a query parameter where the manifest wants it there; no other of that name stays."""
    if auth.kind is not AuthKind.API_KEY or not auth.query:
        return to
    path, _, query = to.target.decode("ascii").partition("?")
    others = [pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) != auth.query]
    pairs = [*others, f"{quote(auth.query, safe='')}={quote(credential.secret, safe='')}"]
    return replace(to, target=f"{path}?{'&'.join(pairs)}".encode("ascii"))


def with_proof(pairs: Pairs, added: tuple[bytes, bytes] | None) -> Pairs:
    """Ours, whatever the connector said under that name."""
    if added is None:
        return pairs
    return [pair for pair in pairs if pair[0].lower() != added[0].lower()] + [added]
