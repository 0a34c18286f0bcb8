"""Where a provider's endpoints are: from the connector's manifest, or from what the issuer says of itself
(RFC 8414, OpenID Connect Discovery)."""

from collections import OrderedDict
from datetime import timedelta
from urllib.parse import urlsplit

from authlib.oauth2.rfc8414 import get_well_known_url
from fairlead_sdk.auth import OAuthServer
from fairlead_sdk.outbound import HttpAnswer
from msgspec import Struct

from fairlead.adapters.oauth.answers import read, retry_after_s
from fairlead.adapters.oauth.asking import Asking
from fairlead.domain.connections.errors import ProviderMisfit, ProviderUnavailable
from fairlead.domain.instant import Instant
from fairlead.ports import Clock

KEPT_FOR = timedelta(hours=1)
MAX_KEPT = 256


class Metadata(Struct, frozen=True, kw_only=True):
    """What we read of it; the rest is passed over. An absent list means what RFC 8414 says it means."""

    issuer: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    revocation_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    jwks_uri: str | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    id_token_signing_alg_values_supported: tuple[str, ...] = ()
    authorization_response_iss_parameter_supported: bool = False


_NOTHING = Metadata(issuer="")
_ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "device_authorization_endpoint",
    "jwks_uri",
)


class Place(Struct, frozen=True, kw_only=True):
    """A provider as we use it. `says` is None where the manifest names addresses instead of an issuer."""

    authorization_url: str | None
    token_url: str | None
    revocation_url: str | None
    device_url: str | None
    says: Metadata | None = None

    @property
    def issuer(self) -> str | None:
        return self.says.issuer if self.says else None


class Directory:
    def __init__(self, asking: Asking, clock: Clock) -> None:
        self._asking = asking
        self._clock = clock
        self._kept: OrderedDict[str, tuple[Metadata, Instant]] = OrderedDict()

    async def place(self, server: OAuthServer) -> Place:
        """An address in the manifest is preferred to one that the issuer names. Raises ProviderUnavailable and
        ProviderMisfit."""
        says = await self._metadata(server.issuer) if server.issuer else None
        named = says or _NOTHING
        return Place(
            authorization_url=server.authorization_url or named.authorization_endpoint,
            token_url=server.token_url or named.token_endpoint,
            revocation_url=server.revocation_url or named.revocation_endpoint,
            device_url=server.device_url or named.device_authorization_endpoint,
            says=says,
        )

    async def _metadata(self, issuer: str) -> Metadata:
        found = self._kept.get(issuer)
        if found is None or found[1] + KEPT_FOR <= self._clock.now():
            found = (await self._discover(issuer), self._clock.now())
            self._kept[issuer] = found
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return found[0]

    async def _discover(self, issuer: str) -> Metadata:
        """The first document that is there counts; a bad one is not made good by the next."""
        if urlsplit(issuer).query or urlsplit(issuer).fragment:
            raise ProviderMisfit("an issuer has no query and no fragment")
        for url in well_known(issuer):
            answer = await self._asking.document(url)
            if answer.status == 200:
                return trusted(answer, issuer)
            if answer.status >= 500 or answer.status == 429:
                raise ProviderUnavailable(retry_after_s(answer))
        raise ProviderMisfit("the issuer publishes no metadata")


def well_known(issuer: str) -> tuple[str, str]:
    """RFC 8414 puts the issuer's path behind, OpenID Connect in front."""
    bare = issuer.removesuffix("/")
    return get_well_known_url(bare, external=True), f"{bare}/.well-known/openid-configuration"


def trusted(answer: HttpAnswer, issuer: str) -> Metadata:
    """Whoever speaks for another issuer, or leads from TLS to none, is not believed in anything."""
    says = read(answer, Metadata)
    if says is None:
        raise ProviderMisfit("the issuer's metadata cannot be read")
    if says.issuer != issuer:
        raise ProviderMisfit("the metadata speaks for another issuer")
    for name in _ENDPOINTS:
        address = getattr(says, name)
        if address is not None and issuer.startswith("https://") and not address.startswith("https://"):
            raise ProviderMisfit(f"the issuer's {name} has no TLS")
    return says
