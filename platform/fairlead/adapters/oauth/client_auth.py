"""How we prove to a provider which client we are."""

import json
from base64 import b64encode
from datetime import datetime
from urllib.parse import quote_plus

from authlib.oauth2.rfc7523 import private_key_jwt_sign
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, import_key
from msgspec import Struct

from fairlead.adapters.oauth.discovery import Metadata
from fairlead.domain.connections.errors import ProviderMisfit
from fairlead.domain.connections.grants import OAuthClient

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_S = 60
_WITH_SECRET = ("client_secret_basic", "client_secret_post")  # in the order of preference


class Proof(Struct, frozen=True, kw_only=True):
    """What goes along with a request: fields of the form and headers."""

    fields: dict[str, str]
    headers: dict[str, str] = {}

    def __repr__(self) -> str:
        return "Proof(…)"


def proof(client: OAuthClient, says: Metadata | None, audience: str, now: datetime) -> Proof:
    """Raises ProviderMisfit where the provider takes nothing that we have."""
    match _method(client, says):
        case "private_key_jwt":
            assertion = _assertion(client, audience, now)
            return Proof(
                fields={
                    "client_id": client.client_id,
                    "client_assertion_type": ASSERTION_TYPE,
                    "client_assertion": assertion,
                }
            )
        case "client_secret_basic":
            return Proof(fields={}, headers={"Authorization": _basic(client)})
        case "client_secret_post":
            return Proof(fields={"client_id": client.client_id, "client_secret": client.client_secret or ""})
        case _:
            return Proof(fields={"client_id": client.client_id})


def _method(client: OAuthClient, says: Metadata | None) -> str:
    if client.private_key is not None:
        return "private_key_jwt"
    if client.client_secret is None:
        return "none"
    takes = says.token_endpoint_auth_methods_supported if says else _WITH_SECRET
    found = next((method for method in _WITH_SECRET if method in takes), None)
    if found is None:
        raise ProviderMisfit("the provider takes no client secret")
    return found


def _basic(client: OAuthClient) -> str:
    """RFC 6749 has both parts encoded as in a form first, so that a colon in them is not the separator."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _assertion(client: OAuthClient, audience: str, now: datetime) -> str:
    key = _key(client.private_key or "")
    issued_at = int(now.timestamp())
    signed: str = private_key_jwt_sign(
        key,
        client_id=client.client_id,
        token_endpoint=audience,
        alg="ES256" if isinstance(key, ECKey) else "Ed25519",
        header={"kid": key.kid} if key.kid else {},
        issued_at=issued_at,
        expires_at=issued_at + ASSERTION_S,
    )
    return signed


def _key(text: str) -> ECKey | OKPKey:
    """A JWK or PEM. Raises ProviderMisfit for what is no key on P-256 or Ed25519."""
    try:
        key = import_key(json.loads(text)) if text.lstrip().startswith("{") else _from_pem(text)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise ProviderMisfit("the client's private key cannot be read") from None
    if not isinstance(key, ECKey | OKPKey) or key.curve_name not in ("P-256", "Ed25519") or not key.is_private:
        raise ProviderMisfit("a client's private key is one on P-256 or Ed25519")
    return key


def _from_pem(text: str) -> ECKey | OKPKey:
    try:
        return ECKey.import_key(text)
    except (JoseError, ValueError):
        return OKPKey.import_key(text)
