"""The REST API as one person uses it."""

import secrets
from pathlib import Path
from typing import Any

import httpx2

RETRY_WITHIN_S = 30.0


class Refused(Exception):
    """The API said no; the text is its problem document. `code` is the end of the problem's type, if it has one."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class Client:
    """Every POST carries an idempotency key, so a lost answer is asked for again without a second effect."""

    def __init__(self, url: str, key: str) -> None:
        transport = httpx2.AsyncHTTPTransport(retries=5)
        self._http = httpx2.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=15.0, transport=transport
        )

    async def get(self, path: str, **query: str) -> Any:
        return self._read(await self._http.get(path, params=query))

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Idempotency-Key": secrets.token_urlsafe(16)}
        return self._read(await self._http.post(path, json=body, headers=headers))

    async def put(self, path: str, body: str, media_type: str, **query: str) -> Any:
        headers = {"Content-Type": media_type}
        return self._read(await self._http.put(path, content=body.encode(), headers=headers, params=query))

    async def delete(self, path: str, **query: str) -> None:
        self._read(await self._http.delete(path, params=query))

    async def download(self, path: str, file: Path, **query: str) -> None:
        async with self._http.stream("GET", path, params=query) as answer:
            if answer.is_error:
                raise Refused((await answer.aread()).decode())
            with file.open("wb") as output:
                async for chunk in answer.aiter_bytes():
                    output.write(chunk)

    async def close(self) -> None:
        await self._http.aclose()

    def _read(self, answer: httpx2.Response) -> Any:
        if answer.is_error:
            raise Refused(f"{answer.status_code} {answer.text}", _code(answer))
        return answer.json() if answer.content else None


def _code(answer: httpx2.Response) -> str:
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        return ""
    return str(answer.json().get("type", "")).rpartition(":")[2]
