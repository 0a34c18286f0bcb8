"""The environment, read once and checked whole.

`FAIRLEAD_<FIELD>` is the field below of that name. Only `app.py` and `__main__.py` read these. A name that starts like
ours and is none is refused: a misspelt engine address would otherwise quietly start engines of our own.
"""

import difflib
import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct

from fairlead.domain.errors import Invalid, Problem

PREFIX = "FAIRLEAD_"
# Read by others: connectors read their own settings, the command line its server and key, and an application built
# with the eventsourcing library its log.
OTHERS = ("FAIRLEAD_CONNECTOR_", "FAIRLEAD_URL", "FAIRLEAD_API_", "FAIRLEAD_CLI_", "FAIRLEAD_EVENTSOURCING_")

_DATABASE = r"^postgres(ql)?://"
_NATS = r"^(nats|tls)://"
_PUBLIC = r"^https?://[^/?#@ ]+/?$"
_NAME = r"^[a-z][a-z0-9_]*$"
_PUBLIC_KEY = r"^[0-9a-f]{64}$"
_NETWORK = r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"
_HOST = r"^[A-Za-z0-9._:\[\]-]+$"
_HOST_LIMIT = r"^[A-Za-z0-9*._:\[\]-]+=[0-9]{1,9}(/[1-9][0-9]{0,8})?$"

DatabaseUrl = Annotated[str, Meta(pattern=_DATABASE)]
NatsUrl = Annotated[str, Meta(pattern=_NATS)]
AnchorUrl = Annotated[str, Meta(pattern=r"^https?://[^?#@ ]+$", max_length=2000)]
AnchorSecret = Annotated[str, Meta(pattern=r"^whsec_[A-Za-z0-9+/]{32,100}={0,2}$")]
TelemetryHeaders = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9-]{1,100}=[!-+\--~ ]{1,2000}(,[A-Za-z0-9-]{1,100}=[!-+\--~ ]{1,2000}){0,9}$")
]
MailUrl = Annotated[str, Meta(pattern=r"^smtps?://([^/?#@ ]+@)?[^/?#@ ]+/?$", max_length=1000)]
MailAddress = Annotated[str, Meta(pattern=r"^[^\s<>@,;\"]{1,64}@[A-Za-z0-9.-]{1,253}$", max_length=320)]
PublicUrl = Annotated[str, Meta(pattern=_PUBLIC)]
Names = tuple[Annotated[str, Meta(pattern=_NAME)], ...]
PublicKeys = tuple[Annotated[str, Meta(pattern=_PUBLIC_KEY)], ...]
Networks = tuple[Annotated[str, Meta(max_length=50, pattern=_NETWORK)], ...]
Positive = Annotated[int, Meta(ge=1)]
HostLimits = tuple[Annotated[str, Meta(max_length=280, pattern=_HOST_LIMIT)], ...]
Hosts = tuple[Annotated[str, Meta(max_length=260, pattern=_HOST)], ...]


class Settings(Struct, frozen=True, kw_only=True):
    database_url: Annotated[
        DatabaseUrl | None, Meta(description="PostgreSQL as the role `fairlead_app`, for requests. Unset: embedded.")
    ] = None
    database_engine_url: Annotated[
        DatabaseUrl | None, Meta(description="The same database as the role `fairlead_engine`, for consumers.")
    ] = None
    database_owner_url: Annotated[
        DatabaseUrl | None,
        Meta(description="The same database as the role `fairlead_owner`; only `migrate` and `rebuild` need it."),
    ] = None
    nats_url: Annotated[
        NatsUrl | None, Meta(description="Servers of one NATS cluster, separated by commas. Unset: embedded.")
    ] = None
    nats_credentials_file: Annotated[
        Path | None, Meta(description="NATS credentials (`.creds`), where they are not in the URL.")
    ] = None
    nats_ca_file: Annotated[Path | None, Meta(description="Certificates that vouch for the NATS servers.")] = None
    nats_cert_file: Annotated[Path | None, Meta(description="Our own certificate for NATS.")] = None
    nats_key_file: Annotated[Path | None, Meta(description="The key of that certificate.")] = None
    nats_replicas: Annotated[int, Meta(ge=1, le=5, description="Copies of each stream; 3 in a cluster.")] = 1
    data_dir: Annotated[Path, Meta(description="Where embedded engines keep their data.")] = Path(".fairlead")
    pepper_file: Annotated[
        Path | None,
        Meta(description="Secret that API keys are hashed with, at least 32 bytes. Unset: made in the data directory."),
    ] = None
    vault_keys_file: Annotated[
        Path | None,
        Meta(
            description="Keys that seal tenants' secrets, one a line as `<id> <base64 of 32 bytes>`: the first seals,"
            " all of them open. Unset: made in the data directory."
        ),
    ] = None
    vault_keys: Annotated[str | None, Meta(description="The same keys, separated by commas, instead of a file.")] = None
    capability_keys_file: Annotated[
        Path | None,
        Meta(
            description="Keys that mark the right of orders to make calls, in the form of the vault's; the same for all"
            " processes: the first marks, all of them are believed. Unset: made in the data directory."
        ),
    ] = None
    ledger_keys_file: Annotated[
        Path | None,
        Meta(
            description="Keys that sign the heads of ledgers, as `fairlead ledger new-key` writes them: the last signs."
            " Unset: made in the data directory."
        ),
    ] = None
    ledger_head_interval_s: Annotated[
        int, Meta(ge=1, le=86_400, description="Seconds after which the head of a ledger that has grown is signed.")
    ] = 60
    ledger_anchor_file: Annotated[
        Path | None, Meta(description="File that every head signed at intervals is added to, one a line.")
    ] = None
    ledger_anchor_url: Annotated[
        AnchorUrl | None, Meta(description="Receiver of those heads, as messages of Standard Webhooks.")
    ] = None
    ledger_anchor_secret: Annotated[
        AnchorSecret | None, Meta(description="Secret that these messages are signed with, `whsec_` and base64.")
    ] = None
    host: Annotated[str, Meta(min_length=1, description="Address that the API listens on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port that the API listens on; 0 takes any free one.")] = 8400
    public_url: Annotated[
        PublicUrl | None,
        Meta(description="Where people's browsers find the API. Unset: `http://`, the host and the port above."),
    ] = None
    mail_url: Annotated[
        MailUrl | None,
        Meta(
            description="Server for mail to reviewers, as `smtp://user:password@host:587` (STARTTLS) or `smtps://…`."
            " Unset: nobody is written to."
        ),
    ] = None
    mail_from: Annotated[MailAddress | None, Meta(description="Address that such mail comes from.")] = None
    mail_ca_file: Annotated[
        Path | None, Meta(description="Certificates that vouch for that server, instead of those of the machine.")
    ] = None
    connectors: Annotated[
        Names, Meta(description="Connectors that may be loaded, separated by commas; no other is.")
    ] = (
        "invoices",
        "basics",
        "http",
        "mail",
        "mcp",
        "objects",
        "sql",
        "storage",
        "webhooks",
        "anthropic",
        "openai_compatible",
        "recorded",
        "library",
        "support",
    )
    trusted_connectors: Annotated[
        Names,
        Meta(
            description="Connectors of other people that run in our own processes all the same, as if they were part of"
            " us. Every other one runs in a sandbox only."
        ),
    ] = ()
    trusted_authors: Annotated[
        PublicKeys,
        Meta(
            description="Keys of the authors whose packages may be installed and are loaded, as `fairlead connector"
            " keygen` prints them, separated by commas. Taking one out stops all that it signed."
        ),
    ] = ()
    sandbox: Annotated[
        Literal["auto", "bubblewrap", "landlock", "off"],
        Meta(
            description="What contains other people's connectors: the first that holds on this machine, one of them, or"
            " nothing, and then none of them is run."
        ),
    ] = "auto"
    sandbox_processes: Annotated[
        int,
        Meta(
            ge=1, le=1000, description="Most processes of other people's connectors that a worker has, warm or at work."
        ),
    ] = 32
    sandbox_memory_mb: Annotated[
        int, Meta(ge=128, le=16_384, description="Most memory that one of them may take, in MiB.")
    ] = 256
    outbound_private_networks: Annotated[
        Networks,
        Meta(description="Networks that connectors may reach although they are not public, like `10.1.0.0/16`."),
    ] = ()
    outbound_plain_http: Annotated[
        Hosts, Meta(description="Hosts, as `host:port`, that connectors may speak to without TLS.")
    ] = ()
    outbound_ca_file: Annotated[
        Path | None, Meta(description="Certificates that vouch for counterparts, beside those of the machine.")
    ] = None
    model_recordings: Annotated[
        Path | None, Meta(description="Folder of recorded answers, which the provider `recorded` gives again.")
    ] = None
    telemetry_url: Annotated[
        AnchorUrl | None,
        Meta(
            description="Receiver of traces, OTLP over HTTP, like `https://collector:4318/v1/traces`; needs the extra"
            " `otel`. Unset: none are made."
        ),
    ] = None
    telemetry_headers: Annotated[
        TelemetryHeaders | None,
        Meta(description="Headers that it is sent, as `authorization=Bearer …`, separated by commas."),
    ] = None
    telemetry_share_percent: Annotated[
        int,
        Meta(ge=0, le=100, description="Share of the runs that went well and quickly whose traces are kept as well."),
    ] = 10
    telemetry_slow_s: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="Seconds that a run works, waiting not counted, from which on its trace is kept in any case.",
        ),
    ] = 30
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least severe lines that are written.")
    ] = "info"
    backlog_limit: Annotated[
        int, Meta(ge=1, description="Commits that may wait for the engine; past it new runs are answered 429.")
    ] = 10_000
    database_connections: Annotated[
        int, Meta(ge=1, le=200, description="Most connections to PostgreSQL of one process and role.")
    ] = 10
    worker_lanes: Annotated[Names, Meta(description="Lanes of jobs that a worker takes, separated by commas.")] = (
        "tool",
        "model",
    )
    worker_concurrency: Annotated[
        int, Meta(ge=1, le=1000, description="Jobs of one lane that a worker has in hand at once.")
    ] = 64
    tenant_calls_per_minute: Annotated[
        Positive | None, Meta(description="Most calls of tools a minute of each tenant. Unset: without end.")
    ] = None
    tenant_max_concurrent: Annotated[
        Positive | None, Meta(description="Most calls of tools at once of each tenant. Unset: without end.")
    ] = None
    host_limits: Annotated[
        HostLimits,
        Meta(
            description="Most calls to a host by all tenants together, who have equal parts: `host=a minute` or"
            " `host=a minute/at once`, separated by commas; 0 a minute is without end. The host as manifests name it."
        ),
    ] = ()
    webhook_dead_after_h: Annotated[
        int, Meta(ge=1, le=720, description="Hours in which a webhook took nothing after which it is disabled.")
    ] = 24
    shutdown_timeout_s: Annotated[
        int, Meta(ge=1, le=600, description="Seconds that open requests and jobs are given to end.")
    ] = 20

    @property
    def embedded(self) -> bool:
        """No engines are named, so we bring our own."""
        return self.nats_url is None

    def __repr__(self) -> str:
        shown = (f"{name}={_shown(name, getattr(self, name))}" for name in self.__struct_fields__)
        return f"Settings({', '.join(shown)})"


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Raises Invalid with everything that is wrong, each problem at the name of its variable; never with a value."""
    problems = list(_unknown(environment))
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        text = environment.get(variable(field.name))
        if text is None or text == "":  # an empty variable is an unset one
            continue
        try:
            given[field.name] = msgspec.convert(
                _parts(field.name, text), _TYPES[field.name], strict=False, dec_hook=_path
            )
        except msgspec.ValidationError as error:
            problems.append(Problem(path=variable(field.name), message=str(error)))
    settings = Settings(**given)
    problems += _networks(settings)
    problems += _together(settings, {problem.path for problem in problems})
    problems += _files(settings)
    if problems:
        raise Invalid(problems, "the environment is not valid")
    return settings


def variable(field: str) -> str:
    return PREFIX + field.upper()


_TYPES = get_type_hints(Settings, include_extras=True)
_LISTS = (
    "connectors",
    "trusted_connectors",
    "trusted_authors",
    "outbound_private_networks",
    "outbound_plain_http",
    "worker_lanes",
    "host_limits",
)
_SECRET = (
    "database_url",
    "database_engine_url",
    "database_owner_url",
    "nats_url",
    "vault_keys",
    "ledger_anchor_secret",
    "mail_url",
    "telemetry_headers",
)
_FILES = (
    "ledger_keys_file",
    "mail_ca_file",
    "nats_credentials_file",
    "nats_ca_file",
    "nats_cert_file",
    "nats_key_file",
    "outbound_ca_file",
    "pepper_file",
    "vault_keys_file",
    "capability_keys_file",
)


def _parts(field: str, text: str) -> str | list[str]:
    return [part.strip() for part in text.split(",")] if field in _LISTS else text


def _path(wanted: type, text: Any) -> Any:
    assert wanted is Path, "the only type here that msgspec does not know"
    return Path(text)


def _shown(field: str, value: Any) -> str:
    return "'…'" if field in _SECRET and value is not None else repr(value)


def _unknown(environment: Mapping[str, str]) -> Iterator[Problem]:
    known = [variable(name) for name in Settings.__struct_fields__]
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and not name.startswith(OTHERS):
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; {close[0]} was meant, perhaps" if close else ""
            yield Problem(path=name, message=f"no setting has this name{hint}", code="unknown_setting")


def _together(settings: Settings, wrong: set[str]) -> Iterator[Problem]:
    """External engines are named completely or not at all."""
    engines = ("database_url", "database_engine_url", "nats_url")
    missing = [name for name in engines if getattr(settings, name) is None]
    named = len(missing) < len(engines) or settings.database_owner_url is not None
    if named:
        for name in (name for name in missing if variable(name) not in wrong):
            message = "is needed as soon as one engine is named; unset them all for embedded engines"
            yield Problem(path=variable(name), message=message, code="missing")
    if (settings.ledger_anchor_url is None) != (settings.ledger_anchor_secret is None):
        path = variable("ledger_anchor_secret" if settings.ledger_anchor_secret is None else "ledger_anchor_url")
        yield Problem(path=path, message="a receiver and its secret come together", code="missing")
    if (settings.mail_url is None) != (settings.mail_from is None):
        path = variable("mail_from" if settings.mail_from is None else "mail_url")
        yield Problem(path=path, message="a mail server and an address come together", code="missing")
    if (settings.nats_cert_file is None) != (settings.nats_key_file is None):
        path = variable("nats_key_file" if settings.nats_key_file is None else "nats_cert_file")
        yield Problem(path=path, message="a certificate and its key come together", code="missing")


def _networks(settings: Settings) -> Iterator[Problem]:
    for text in settings.outbound_private_networks:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            message = "is no network: an address and the number of its bits, the others zero"
            yield Problem(path=variable("outbound_private_networks"), message=message, code="bad_network")


def _files(settings: Settings) -> Iterator[Problem]:
    for name in _FILES:
        file: Path | None = getattr(settings, name)
        if file is not None and not file.is_file():
            yield Problem(path=variable(name), message="there is no such file", code="missing_file")
