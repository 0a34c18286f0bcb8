"""nats-server with TLS and signed credentials, reached through our settings as an operator writes them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from fairlead.adapters.nats_connection import NatsConnection
from fairlead.adapters.nats_log import NatsLog
from fairlead.domain.envelope import Sequence
from fairlead.domain.errors import Unavailable
from fairlead.operating import examine
from fairlead.registry import connected, nats_tls
from fairlead.settings import Settings
from tests.support.certificates import Authority
from tests.support.commits import NOTES, note, run
from tests.support.database import DatabaseUrls
from tests.support.nats_accounts import Operator
from tests.support.nats_servers import NatsServer, nats_server

IMPATIENCE_S = 0.5
_TLS = """\
tls {{
  cert_file: "{file}"
  key_file: "{file}"
  ca_file: "{authority}"
  verify: true
}}
"""


class Site(Struct, frozen=True):
    """A server, and the settings that fit it."""

    server: NatsServer
    settings: Settings
    folder: Path


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    authority, operator = Authority(tmp_path), Operator()
    servers_own, ours = authority.certified("localhost"), authority.certified("fairlead")
    tls = _TLS.format(file=servers_own, authority=authority.file)
    async with nats_server(tmp_path, tls + operator.config) as server:
        settings = Settings(
            nats_url=f"tls://localhost:{server.port}",
            nats_credentials_file=operator.credentials(tmp_path / "fairlead.creds"),
            nats_ca_file=authority.file,
            nats_cert_file=ours,
            nats_key_file=ours,
        )
        yield Site(server, settings, tmp_path)


async def test_a_server_that_asks_for_certificates_and_signed_credentials_is_worked_with(site: Site) -> None:
    async with connected(site.settings, "test") as connection:
        log = NatsLog(connection, NOTES)
        place = await log.append(note(run("1")), Sequence(0))
        assert [recorded.sequence for recorded in await log.read(run("1"))] == [place]


async def test_whoever_lacks_one_of_them_does_not_get_in(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "stranger"
    folder.mkdir()
    stranger, settings = Authority(folder), site.settings
    forged = stranger.certified("fairlead")
    for lacking in (
        replace(settings, nats_cert_file=None, nats_key_file=None),
        replace(settings, nats_cert_file=forged, nats_key_file=forged),
        replace(settings, nats_ca_file=stranger.file),
        replace(settings, nats_credentials_file=None),
        replace(settings, nats_credentials_file=Operator().credentials(folder / "stranger.creds")),
        replace(settings, nats_url=f"tls://127.0.0.1:{site.server.port}"),  # not the name that it has a certificate for
    ):
        with pytest.raises(Unavailable):
            await NatsConnection.open(
                lacking.nats_url or "",
                credentials=lacking.nats_credentials_file,
                tls=nats_tls(lacking),
                patience_s=IMPATIENCE_S,
            )


async def test_the_doctor_gets_in_the_same_way(site: Site, database: DatabaseUrls) -> None:
    urls = {"database_url": database.app, "database_engine_url": database.engine, "database_owner_url": database.owner}
    findings = {finding.name: finding for finding in await examine(replace(site.settings, **urls))}
    assert findings["nats-server"].status == "ok"
    assert findings["version of nats-server"].status == "ok"
