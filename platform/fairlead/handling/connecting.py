"""What connections need besides their history, put together once per process."""

from fairlead_sdk.auth import AuthKind
from fairlead_sdk.contract import Manifest
from fairlead_tenants.ids import TenantId
from msgspec import Struct

from fairlead.domain.connections.drafts import Draft, checked, scope_problems
from fairlead.domain.connections.events import ConnectionCreated
from fairlead.domain.connections.kept import Kept, KeptKey, KeptPassword
from fairlead.domain.connections.states import Account
from fairlead.domain.errors import Invalid, Problem
from fairlead.handling.device_sign_in import DeviceSignIns
from fairlead.handling.ending import Endings
from fairlead.handling.signing_in import SignIns
from fairlead.ports import Manifests, Vault


class Offered(Struct, frozen=True, kw_only=True):
    """A secret that somebody brings: one of these, as the connector's authentication asks."""

    key: str | None = None
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "Offered(…)"


class Connecting(Struct, frozen=True, kw_only=True):
    vault: Vault
    manifests: Manifests
    sign_ins: SignIns
    devices: DeviceSignIns
    endings: Endings

    async def draft(self, tenant_id: TenantId, connector: str, draft: Draft) -> ConnectionCreated:
        """Raises Invalid with everything that is wrong."""
        return checked(tenant_id, await self._manifest(tenant_id, connector), draft)

    async def scopes(self, tenant_id: TenantId, account: Account, asked: list[str] | None) -> tuple[str, ...]:
        """What to ask for: as the connection says, unless somebody says otherwise. Raises Invalid."""
        if asked is None:
            return account.requested
        problems = list(scope_problems(await self._manifest(tenant_id, account.connector), asked))
        if problems:
            raise Invalid(problems, "these scopes cannot be asked for")
        return tuple(dict.fromkeys(asked))

    async def _manifest(self, tenant_id: TenantId, connector: str) -> Manifest:
        manifest = await self.manifests.manifest(tenant_id, connector)
        if manifest is None:
            problem = Problem(path="/connector", message="there is no such connector", code="unknown_connector")
            raise Invalid([problem], "the connector is not installed")
        return manifest


def kept_of(account: Account, offered: Offered) -> Kept:
    """Raises Invalid when it is not what the connection's authentication asks for."""
    given = {name for name in Offered.__struct_fields__ if getattr(offered, name) is not None}
    match account.auth, offered:
        case AuthKind.API_KEY, Offered(key=str() as key) if given == {"key"}:
            return KeptKey(key=key)
        case AuthKind.BASIC, Offered(username=str() as username, password=str() as password) if "key" not in given:
            return KeptPassword(username=username, password=password)
    needed = {AuthKind.API_KEY: "key", AuthKind.BASIC: "username and password"}.get(account.auth)
    message = f"{account.connector} needs {needed}" if needed else f"{account.connector} takes no secret this way"
    raise Invalid([Problem(path="", message=message, code="wrong_secret")], "the secret cannot be used")
