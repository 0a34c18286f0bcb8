"""A service behind the provider: whoever asks needs a token that the provider signed for it, and checks it itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from tests.support.flaky_http import Asked, FlakyServer, Wire, reply
from tests.support.oauth_provider.provider import RESOURCE, Issuer, plain_http

LONG_S = 20.0


class Held:
    """Requests that are kept waiting for their answer."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self._count = 0
        self._changed = asyncio.Condition()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(LONG_S), self._changed:
            await self._changed.wait_for(lambda: self._count >= count)

    async def wait(self) -> None:
        async with self._changed:
            self._count += 1
            self._changed.notify_all()
        await self.released.wait()


_NEEDED = {"GET": "records:read", "POST": "records:write"}


class Records:
    """`served` are the claims of each token that was taken; `turned_away` how many requests were not."""

    def __init__(self, issuer: Issuer, server: FlakyServer) -> None:
        self.issuer = issuer
        self.url = server.url("")
        self.authority = server.authority
        self.served: list[dict[str, Any]] = []
        self.turned_away = 0
        self._records = 0
        self._held: Held | None = None
        server.answers["/records"] = self._answer

    @classmethod
    @asynccontextmanager
    async def of(cls, issuer: Issuer) -> AsyncIterator[Self]:
        async with FlakyServer.at() as server:
            yield cls(issuer, server)

    def forget(self) -> None:
        """What came so far."""
        self.served.clear()
        self.turned_away = 0

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[Held]:
        """No request is answered meanwhile."""
        self._held = held = Held()
        try:
            yield held
        finally:
            self._held = None
            held.released.set()

    async def _answer(self, writer: Wire, asked: Asked) -> None:
        if self._held is not None:
            await self._held.wait()
        claims = await self._claims(asked.headers.get("authorization", ""))
        if claims is None or _NEEDED[asked.method] not in str(claims.get("scope")).split():
            self.turned_away += 1
            await reply(401 if claims is None else 403)(writer, asked)
            return
        self.served.append(claims)
        self._records += asked.method == "POST"
        await reply(body=msgspec.json.encode({"owner": claims["sub"], "records": self._records}))(writer, asked)

    async def _claims(self, header: str) -> dict[str, Any] | None:
        """None for a token that is not the provider's, not for us, or over."""
        scheme, _, token = header.partition(" ")
        async with plain_http() as http:
            keys = KeySet.import_key_set((await http.get(f"{self.issuer.url}/jwks")).json())
        wanted = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": self.issuer.url},
            aud={"essential": True, "value": RESOURCE},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            claims = jwt.decode(token, keys, algorithms=["ES256"]).claims
            wanted.validate(claims)
        except (JoseError, ValueError):
            return None
        return claims if scheme == "Bearer" else None
