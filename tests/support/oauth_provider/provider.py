"""The provider as a process: two issuers that know nothing of each other, with the same clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from joserfc.jwk import ECKey, OKPKey
from msgspec import Struct

from tests.support.node import installed, node

REDIRECT_URI = "https://fairlead.test/v1/oauth/callback"
RESOURCE = "https://records.test/"
SCOPES = ("records:read", "records:write", "records:admin")
SECRET = "a secret of the client, 10% : & +"  # characters that a careless encoding spoils

_FOLDER = Path(__file__).parent
_CODE = ("authorization_code", "refresh_token")
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def client(client_id: str, auth_method: str, grants: Sequence[str] = _CODE, **rest: Any) -> dict[str, Any]:
    """What the provider knows of a client of ours."""
    has_page = "authorization_code" in grants
    return {
        "client_id": client_id,
        "token_endpoint_auth_method": auth_method,
        "grant_types": list(grants),
        "redirect_uris": [REDIRECT_URI] if has_page else [],
        "response_types": ["code"] if has_page else [],
        **({"client_secret": SECRET} if auth_method.startswith("client_secret") else {}),
        **rest,
    }


# Each of a client that signs instead of sending a secret: its private key, as that client has it.
CLIENT_KEYS: dict[str, dict[str, Any]] = {
    "ed25519": dict(OKPKey.generate_key("Ed25519").as_dict(private=True)),
    "es256": dict(ECKey.generate_key("P-256").as_dict(private=True)),
}


def _signing(client_id: str) -> dict[str, Any]:
    public = {name: value for name, value in CLIENT_KEYS[client_id].items() if name != "d"}
    return client(client_id, "private_key_jwt", jwks={"keys": [public]})


CLIENTS = (
    client("basic", "client_secret_basic"),
    client("post", "client_secret_post"),
    client("public", "none"),
    client("machine", "client_secret_basic", ("client_credentials",)),
    client("exchanger", "client_secret_basic", (*_CODE, _EXCHANGE)),
    _signing("ed25519"),
    _signing("es256"),
    client("device", "none", (_DEVICE, "refresh_token"), application_type="native"),
)


def plain_http() -> httpx2.AsyncClient:
    """Nothing here is spoken to with TLS, and to read certificates takes a while."""
    return httpx2.AsyncClient(trust_env=False, verify=False)


class Issuer(Struct, frozen=True):
    """One of the provider's issuers. `at` paths are the provider's: /token, /jwks, /token/revocation, …"""

    url: str

    async def answer(
        self, at: str, status: int, body: str, headers: Mapping[str, str] | None = None, times: int | None = None
    ) -> None:
        """What comes there is not carried out; this is the answer."""
        answer = {"do": "answer", "status": status, "body": body, "headers": headers or {}}
        await self._order({"at": at, **answer}, times)

    async def lose(self, at: str, times: int = 1) -> None:
        """What comes there is carried out, and nobody hears of it."""
        await self._order({"at": at, "do": "lose"}, times)

    async def cut(self, at: str, times: int | None = None) -> None:
        """What comes there is not carried out; the connection breaks."""
        await self._order({"at": at, "do": "cut"}, times)

    async def hold(self, at: str) -> None:
        """What comes there gets no answer."""
        await self._order({"at": at, "do": "hold"}, None)

    async def patch(self, at: str, fields: Mapping[str, Any], times: int | None = None) -> None:
        """What comes there is carried out; these fields of the answer are others."""
        await self._order({"at": at, "do": "patch", "fields": fields}, times)

    async def forget(self, person: str) -> None:
        """The person ends every grant at the provider's own page."""
        await self._control({"forget": person})

    async def reset(self) -> None:
        await self._control({"reset": True})

    async def requests(self, at: str) -> int:
        """How many have come there since the last reset."""
        async with plain_http() as http:
            counted: dict[str, int] = (await http.get(f"{self.url}/_control")).raise_for_status().json()
        return counted.get(at, 0)

    async def clock_ahead(self, seconds: float) -> None:
        """Of every issuer: it is one process."""
        await self._control({"clock_s": seconds})

    async def _order(self, order: dict[str, Any], times: int | None) -> None:
        await self._control(order | ({} if times is None else {"times": times}))

    async def _control(self, order: dict[str, Any]) -> None:
        async with plain_http() as http:
            (await http.post(f"{self.url}/_control", json=order)).raise_for_status()


class Provider(Struct, frozen=True):
    issuer: Issuer
    other: Issuer

    async def reset(self) -> None:
        await self.issuer.reset()
        await self.other.reset()


@asynccontextmanager
async def running_provider(clients: Sequence[dict[str, Any]] = CLIENTS) -> AsyncIterator[Provider]:
    """Ends with its standard input, so with us."""
    process = await asyncio.create_subprocess_exec(
        node(),
        str(installed(_FOLDER) / "server.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        issuer = {"clients": clients, "scopes": SCOPES}
        process.stdin.write(json.dumps([issuer, issuer]).encode() + b"\n")
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        first, second = json.loads(line)
        yield Provider(Issuer(first), Issuer(second))
    finally:
        process.stdin.close()
        await process.wait()
