"""Composes what connections are made of: the vault and its keys, the providers, signing in, lending."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from fairlead.adapters.connection_directory import PostgresConnectionDirectory
from fairlead.adapters.oauth import OAuth
from fairlead.adapters.outbound import GuardedOutbound
from fairlead.adapters.vault.keys import vault_keys
from fairlead.adapters.vault.postgres_vault import PostgresVault
from fairlead.adapters.vault.slips import PostgresSlips
from fairlead.domain.connections import clients as oauth_client
from fairlead.domain.connections import decide as decisions
from fairlead.domain.connections import states
from fairlead.domain.envelope import Kind
from fairlead.handling.connecting import Connecting
from fairlead.handling.credentials import Lender
from fairlead.handling.device_sign_in import DeviceSignIns
from fairlead.handling.ending import Endings
from fairlead.handling.handler import Decider, Handler
from fairlead.handling.provider_clients import ProviderClients
from fairlead.handling.renewal import Renewal
from fairlead.handling.signing_in import SignIns
from fairlead.handling.uses import UseWriter
from fairlead.ports import Clock, Ids, KeyEncryption, Log, Manifests, OAuthFlows, Outbound, SqlDatabase, Vault
from fairlead.settings import Settings

DECIDERS: Mapping[Kind, Decider] = {
    "connection": Decider(initial=states.initial, evolve=states.evolve, decide=decisions.decide),
    "oauth_client": Decider(initial=oauth_client.initial, evolve=oauth_client.evolve, decide=oauth_client.decide),
}


def way_out(settings: Settings) -> GuardedOutbound:
    """Opens nothing before the first request."""
    return GuardedOutbound(
        private_networks=settings.outbound_private_networks,
        plain_http=settings.outbound_plain_http,
        ca_file=settings.outbound_ca_file,
    )


class Accounts(Struct, frozen=True, kw_only=True):
    """`database` is connected as the role for requests: no consumer may look into the vault."""

    settings: Settings
    log: Log
    handler: Handler
    clock: Clock
    ids: Ids
    manifests: Manifests
    outbound: Outbound
    database: SqlDatabase

    def connecting(self) -> Connecting:
        """For people who make, give and end connections."""
        parts = self._parts()
        slips = PostgresSlips(self.database, parts.keys)
        sign_ins = SignIns(
            log=self.log,
            handler=self.handler,
            vault=parts.vault,
            slips=slips,
            flows=parts.flows,
            clients=parts.clients,
            clock=self.clock,
            public_url=public_url(self.settings),
        )
        devices = DeviceSignIns(
            sign_ins=sign_ins, slips=slips, flows=parts.flows, clients=parts.clients, clock=self.clock
        )
        return Connecting(
            vault=parts.vault,
            manifests=self.manifests,
            sign_ins=sign_ins,
            devices=devices,
            endings=Endings(self.handler, parts.vault, parts.flows, parts.clients),
        )

    def lender(self, worker: str) -> Lender:
        """For workers, who are lent one credential for one call."""
        parts = self._parts()
        return Lender(
            log=self.log,
            handler=self.handler,
            vault=parts.vault,
            renewal=Renewal(self.handler, parts.vault, parts.flows, parts.clients, self.clock),
            directory=PostgresConnectionDirectory(self.database),
            uses=UseWriter(self.log, self.clock, self.ids),
            clock=self.clock,
            worker=worker,
        )

    def _parts(self) -> "_Parts":
        settings = self.settings
        keys = vault_keys(settings.vault_keys_file, settings.vault_keys, settings.data_dir)
        vault = PostgresVault(self.database, keys)
        return _Parts(
            keys=keys,
            vault=vault,
            flows=OAuth(self.outbound, self.clock),
            clients=ProviderClients(self.handler, vault, self.manifests),
        )


class _Parts(Struct, frozen=True, kw_only=True):
    keys: KeyEncryption
    vault: Vault
    flows: OAuthFlows
    clients: ProviderClients


def public_url(settings: Settings) -> str:
    """Where people's browsers find the API."""
    if settings.public_url is not None:
        return settings.public_url
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def origin_of(url: str) -> str:
    """As browsers say it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
