"""Who signed in, by OpenID Connect: an ID token is checked whole or the exchange is refused."""

import hashlib
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fairlead.adapters.oauth.answers import read
from fairlead.adapters.oauth.asking import Asking
from fairlead.adapters.oauth.discovery import Metadata
from fairlead.domain.connections.errors import ProviderMisfit, ProviderUnavailable

LEEWAY_S = 60  # between the provider's clock and ours
ALGORITHMS = ("ES256", "RS256", "PS256", "Ed25519", "ES384", "RS384", "PS384", "RS512", "PS512")


def nonce_of(verifier: str) -> str:
    """Follows from PKCE's verifier, which only we know, so that nothing else has to be kept for it."""
    digest = hashlib.sha256(f"nonce {verifier}".encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


async def check_id_token(
    asking: Asking, says: Metadata, client_id: str, id_token: str | None, nonce: str, now: datetime
) -> None:
    """Raises ProviderMisfit for one that is missing, forged, of somebody else, for somebody else, or too old."""
    if id_token is None or says.jwks_uri is None:
        raise ProviderMisfit("the provider says not who signed in")
    keys = await _keys(asking, says.jwks_uri)
    offered = says.id_token_signing_alg_values_supported or ("RS256",)
    try:
        token = jwt.decode(id_token, keys, algorithms=[name for name in ALGORITHMS if name in offered])
        _claims(says.issuer, client_id, now).validate(token.claims)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise ProviderMisfit("the provider's ID token does not hold") from None
    if token.claims["nonce"] != nonce or not _is_for(token.claims, client_id):
        raise ProviderMisfit("the provider's ID token belongs to another sign-in")


async def _keys(asking: Asking, url: str) -> KeySet:
    """Fetched each time: people sign in seldom, and a withdrawn key counts at once."""
    answer = await asking.document(url)
    if answer.status != 200:
        raise ProviderUnavailable(may_have_happened=True)
    try:
        return KeySet.import_key_set(read(answer, dict) or {})  # type: ignore[arg-type]  # it looks for itself
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise ProviderMisfit("the provider's keys cannot be read") from None


def _claims(issuer: str, client_id: str, now: datetime) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=LEEWAY_S,
        iss={"essential": True, "value": issuer},
        sub={"essential": True},
        aud={"essential": True, "value": client_id},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True},
    )


def _is_for(claims: dict[str, Any], client_id: str) -> bool:
    """`azp` names who asked, and has to where there are several audiences."""
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    return bool(claims.get("azp", None if several else client_id) == client_id)
