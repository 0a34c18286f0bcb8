"""Composes what webhooks are made of: their secrets, and the worker that sends."""

from datetime import timedelta

from msgspec import Struct

from fairlead.adapters.vault.keys import vault_keys
from fairlead.adapters.vault.postgres_vault import PostgresVault
from fairlead.adapters.webhook_book import PostgresWebhookBook
from fairlead.handling.handler import Handler
from fairlead.handling.webhook_secrets import WebhookSecrets
from fairlead.ports import Clock, Ids, Log, Outbound, SqlDatabase
from fairlead.settings import Settings
from fairlead.workers.webhooks.sending import Sender
from fairlead.workers.webhooks.serving import Times
from fairlead.workers.webhooks.worker import WebhookWorker


class WebhookParts(Struct, frozen=True, kw_only=True):
    """`database` is connected as the role for requests."""

    settings: Settings
    log: Log
    handler: Handler
    clock: Clock
    ids: Ids
    outbound: Outbound
    database: SqlDatabase

    def secrets(self) -> WebhookSecrets:
        settings = self.settings
        keys = vault_keys(settings.vault_keys_file, settings.vault_keys, settings.data_dir)
        return WebhookSecrets(vault=PostgresVault(self.database, keys), clock=self.clock)

    def worker(self, worker_id: str, times: Times | None = None) -> WebhookWorker:
        secrets = self.secrets()
        return WebhookWorker(
            log=self.log,
            handler=self.handler,
            clock=self.clock,
            ids=self.ids,
            book=PostgresWebhookBook(self.database, worker_id),
            secrets=secrets,
            sender=Sender(self.log, secrets.vault, self.outbound, self.clock),
            times=times or Times(dead_after=timedelta(hours=self.settings.webhook_dead_after_h)),
        )
