"""What the operator of an installation does from a shell, on the engines themselves: no API, no tenant's permission."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from fairlead_tenants.ids import PrincipalId, TenantId
from msgspec import Struct
from msgspec.structs import replace

from fairlead.adapters import doctor
from fairlead.adapters import migrations as migration
from fairlead.adapters.api_keys import ApiKeys
from fairlead.adapters.dev_file import read_dev_file
from fairlead.adapters.doctor.ledger import examine_ledger
from fairlead.adapters.doctor.sandbox import examine_sandbox
from fairlead.adapters.doctor.vault import examine_vault
from fairlead.adapters.embedded.faults import DataDirectoryInUse
from fairlead.adapters.engines import Embedded, EngineUrls
from fairlead.adapters.pepper import pepper
from fairlead.adapters.positions import kept_up_to
from fairlead.adapters.postgres import Database
from fairlead.adapters.rebuild_progress import rebuilt_up_to
from fairlead.adapters.vault.keys import FILE_NAME, VaultKeysInvalid, add_key, configured_keys, vault_keys
from fairlead.adapters.vault.rotation import current_key_id, rotate_tenant
from fairlead.consumers.projection import Projection
from fairlead.consumers.rebuild import rebuild
from fairlead.domain.codec import Unreadable
from fairlead.domain.envelope import Sequence as LogSequence
from fairlead.domain.errors import FairleadError, NotFound, Rejected, Unavailable
from fairlead.domain.instant import Instant
from fairlead.domain.tenants.events import TenantCreated
from fairlead.handling.founding import Founded
from fairlead.ports import Log
from fairlead.registry import existing_log, nats_tls, registry
from fairlead.settings import Settings

PROGRESS_EVERY_S = 0.1
ASKED_FOR_SECRETS = ("nats-server", "PostgreSQL for requests")  # findings: who tells of tenants, and of their secrets

_log = structlog.get_logger()

Progress = Callable[[str, int, int], None]  # a projection's name, how far, of how many


class OwnerUrlNeeded(Rejected):
    """Only the role that owns the tables may change them."""

    code = "owner_url_needed"


class KeysNotInFile(Rejected):
    """The keys of the vault are in the environment, which only whoever sets it can change."""

    code = "vault_keys_not_in_file"


class NewTenant(Struct, frozen=True, kw_only=True):
    """`key` is shown once and kept nowhere."""

    founded: Founded
    key: str

    def __repr__(self) -> str:
        return f"NewTenant({self.founded!r})"


class TenantRow(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    name: str
    created_at: Instant


@asynccontextmanager
async def on_engines(settings: Settings) -> AsyncIterator[Settings]:
    """The same settings with engines that run: those that are named, those of `fairlead dev`, or our own meanwhile.

    Raises DataDirectoryInUse when something else than `fairlead dev` has them, and what starting them raises.
    """
    if not settings.embedded:
        yield settings
        return
    engines = Embedded(settings.data_dir)
    running = await _started(engines, settings)
    try:
        yield with_engines(settings, running or engines.urls)
    finally:
        await engines.stop()


def with_engines(settings: Settings, urls: EngineUrls) -> Settings:
    """The same settings, with these engines named."""
    return replace(
        settings,
        database_url=urls.database_app,
        database_engine_url=urls.database_engine,
        database_owner_url=urls.database_owner,
        nats_url=urls.nats,
    )


def urls_of(settings: Settings) -> EngineUrls:
    """Of settings that name engines; the owner's address is empty where it is not given."""
    assert settings.database_url is not None, "the caller has seen to the engines"
    assert settings.database_engine_url is not None, "engines are named completely or not at all"
    assert settings.nats_url is not None, "engines are named completely or not at all"
    return EngineUrls(
        database_app=settings.database_url,
        database_owner=settings.database_owner_url or "",
        database_engine=settings.database_engine_url,
        nats=settings.nats_url,
    )


async def _started(engines: Embedded, settings: Settings) -> EngineUrls | None:
    """None when the engines are ours now, else the addresses of the ones that run already."""
    try:
        await engines.start()
    except DataDirectoryInUse:
        if (instance := read_dev_file(settings.data_dir)) is None:
            raise
        return instance.engines
    return None


async def migrate(settings: Settings, include_post: bool) -> list[str]:
    """Names of what was applied."""
    async with on_engines(settings) as engines:
        return await asyncio.to_thread(migration.migrate, _owner_url(engines), include_post=include_post)


async def examine(settings: Settings) -> list[doctor.Finding]:
    """Never raises for what it finds, also when engines of our own do not start."""
    return [*await _examine_engines(settings), await examine_sandbox(settings.sandbox)]


async def _examine_engines(settings: Settings) -> list[doctor.Finding]:
    try:
        async with on_engines(settings) as engines:
            urls = urls_of(engines)
            of_engines = await doctor.examine(
                database_app=urls.database_app,
                database_engine=urls.database_engine,
                nats=urls.nats,
                data_dir=engines.data_dir,
                nats_credentials=engines.nats_credentials_file,
                nats_tls=nats_tls(engines),
            )
            away = any(found.status == "fail" and found.name in ASKED_FOR_SECRETS for found in of_engines)
            of_ledger = [] if away else [await _examine_ledger(engines)]
            return [*of_engines, *of_ledger, *await _examine_vault(engines, away=away)]
    except FairleadError as error:
        return [doctor.Finding(name="engines", status="fail", detail=str(error), mend="see the engine's log")]


async def _examine_ledger(settings: Settings) -> doctor.Finding:
    """Both engines answer. A log that nobody has made yet ends before everything."""
    try:
        async with existing_log(settings, "doctor") as log, Database(urls_of(settings).database_app) as database:
            kept = await kept_up_to(database)
            return examine_ledger(kept, 0 if log is None else await log.last_sequence())
    except Unavailable as unavailable:
        detail = f"cannot be compared: {unavailable}"
        return doctor.Finding(name="log and ledger", status="warn", detail=detail, mend="mend the engines first")


async def _examine_vault(settings: Settings, *, away: bool) -> list[doctor.Finding]:
    """`settings` with engines; `away` when one of them is known not to answer."""
    try:
        keys = configured_keys(settings.vault_keys_file, settings.vault_keys, settings.data_dir)
        if away:
            raise Unavailable("an engine")
        async with existing_log(settings, "doctor") as log, Database(urls_of(settings).database_app) as database:
            return await examine_vault(database, _tenant_ids(log), keys)
    except VaultKeysInvalid as invalid:
        mend = "correct the list, or put it back from its backup: no secret can be opened without it"
        return [doctor.Finding(name="vault keys", status="fail", detail=str(invalid), mend=mend)]
    except Unavailable as unavailable:
        detail = f"cannot be looked into: {unavailable}"
        return [doctor.Finding(name="vault keys", status="warn", detail=detail, mend="mend the engines first")]


async def _tenant_ids(log: Log | None) -> AsyncIterator[TenantId]:
    if log is not None:
        async for row in tenants(log):
            yield row.tenant_id


async def create_tenant(settings: Settings, name: str, owner_email: str, owner_name: str) -> NewTenant:
    """Raises Invalid."""
    async with on_engines(settings) as engines, registry(engines, "tenant") as found:
        founded = await found.founder.found(name, owner_email, owner_name)
        keys = ApiKeys(pepper(settings.pepper_file, settings.data_dir))
        return NewTenant(founded=founded, key=(await found.founder.issue_owner_key(founded, keys.new)).text)


async def issue_key(
    settings: Settings, tenant_id: str, principal_id: str, environment: str, name: str, days: int
) -> str:
    """Its text, which is kept nowhere. Raises what `Founder.issue_key` raises."""
    async with on_engines(settings) as engines, registry(engines, "tenant") as found:
        keys = ApiKeys(pepper(settings.pepper_file, settings.data_dir))
        made = await found.founder.issue_key(
            TenantId(tenant_id),
            PrincipalId(principal_id),
            keys.new,
            environment=environment,
            name=name,
            life=timedelta(days=days),
        )
        return made.text


async def list_tenants(settings: Settings) -> list[TenantRow]:
    """From the log, oldest first: no table may be read for all tenants at once."""
    async with on_engines(settings) as engines, registry(engines, "tenant") as found:
        return [row async for row in tenants(found.log)]


async def tenants(log: Log) -> AsyncIterator[TenantRow]:
    async with log.follow(LogSequence(0), kinds=("tenant",)) as batches:
        async for batch in batches:
            if not batch:
                return
            for each in batch:
                if isinstance(each, Unreadable):
                    _log.error("commit_not_shown", tenant_id=each.stream.tenant_id, sequence=each.sequence)
                    continue
                for event in each.commit.events:
                    if isinstance(event, TenantCreated):
                        yield TenantRow(tenant_id=event.tenant_id, name=event.name, created_at=each.commit.at)


async def rotate_vault(settings: Settings, new_key: bool, progress: Callable[[TenantId, int], None]) -> str:
    """Wrap every tenant's secrets with the current key, while they are in use; its id. `progress` hears of each tenant.

    Raises KeysNotInFile, SecretUnreadable where a key is missing, VaultKeysInvalid.
    """
    if new_key:
        if settings.vault_keys is not None:
            raise KeysNotInFile("put a new key first in FAIRLEAD_VAULT_KEYS, everywhere; then rotate")
        vault_keys(settings.vault_keys_file, None, settings.data_dir)
        add_key(settings.vault_keys_file or settings.data_dir / FILE_NAME)
    keys = vault_keys(settings.vault_keys_file, settings.vault_keys, settings.data_dir)
    async with on_engines(settings) as engines, registry(engines, "vault") as found:
        assert engines.database_url is not None, "engines have been seen to"
        async with Database(engines.database_url, max_connections=2) as database:
            async for row in tenants(found.log):
                progress(row.tenant_id, await rotate_tenant(database, keys, row.tenant_id))
    return await current_key_id(keys)


async def rebuild_projections(settings: Settings, names: Sequence[str], progress: Progress) -> None:
    """One after the other; no name is all of them. Raises NotFound, RebuildRunning, OwnerUrlNeeded."""
    chosen = _projections(names)
    async with (
        on_engines(settings) as engines,
        registry(engines, "rebuild") as found,
        Database(_owner_url(engines), max_connections=2) as owner,
    ):
        for projection in chosen:
            await _rebuild(found.log, owner, projection, progress)


def _projections(names: Sequence[str]) -> list[Projection]:
    from fairlead.app import PROJECTIONS

    known = {projection.NAME: projection for projection in PROJECTIONS}
    for name in names:
        if name not in known:
            raise NotFound(f"there is no projection {name}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


async def _rebuild(log: Log, owner: Database, projection: Projection, progress: Progress) -> None:
    goal = int(await log.last_sequence())
    watching = asyncio.create_task(_watch(owner, projection.NAME, goal, progress))
    try:
        standing = await rebuild(log, owner, projection)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    progress(projection.NAME, max(goal, standing.sequence), max(goal, standing.sequence))


async def _watch(owner: Database, name: str, goal: int, progress: Progress) -> None:
    while True:
        progress(name, min(await rebuilt_up_to(owner, name), goal), goal)
        await asyncio.sleep(PROGRESS_EVERY_S)


def _owner_url(settings: Settings) -> str:
    if settings.database_owner_url is None:
        raise OwnerUrlNeeded("set FAIRLEAD_DATABASE_OWNER_URL: only the owner of the tables may change them")
    return settings.database_owner_url
