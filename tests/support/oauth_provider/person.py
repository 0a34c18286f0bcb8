"""Somebody who signs in at the provider and consents: a browser without a screen."""

import re
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

from tests.support.oauth_provider.provider import REDIRECT_URI, plain_http

_MOST_PAGES = 12


class Person:
    """Keeps cookies, follows redirects up to our callback, and says what is needed on the way."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._browser = plain_http()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._browser.aclose()

    async def consent(self, url: str, scopes: str | None = None) -> dict[str, str]:
        """What the callback is called with. `scopes` are those that the person leaves ticked; None leaves all."""
        return await self._through(await self._browser.get(url), scopes)

    async def refuse(self, url: str) -> dict[str, str]:
        page = await self._landed(await self._browser.get(url))
        return _query(await self._onward(await self._browser.post(page.url, data={"do": "abort"})))

    async def enter_code(self, url: str, user_code: str, scopes: str | None = None) -> None:
        """Type the code of a device, on the page where it sent us."""
        page = await self._browser.get(url)
        confirmed = await self._browser.post(url, data={**_hidden(page), "user_code": user_code})
        await self._through(await self._browser.post(url, data=_hidden(confirmed)), scopes)

    async def _through(self, answer: httpx2.Response, scopes: str | None) -> dict[str, str]:
        for _ in range(_MOST_PAGES):
            answer = await self._landed(answer)
            if _is_ours(answer):
                return _query(answer)
            if "/interaction/" not in str(answer.url):
                answer.raise_for_status()
                return {}
            said = {"do": answer.json()["asks"], "login": self._name}
            answer = await self._browser.post(answer.url, data=said | ({} if scopes is None else {"scopes": scopes}))
        raise AssertionError("the provider asks and asks")

    async def _landed(self, answer: httpx2.Response) -> httpx2.Response:
        """Where redirects within the provider end."""
        while answer.has_redirect_location and not _is_ours(answer):
            answer = await self._onward(answer)
        return answer

    async def _onward(self, answer: httpx2.Response) -> httpx2.Response:
        while answer.has_redirect_location and not _is_ours(answer):
            answer = await self._browser.get(urljoin(str(answer.url), answer.headers["location"]))
        return answer


def _is_ours(answer: httpx2.Response) -> bool:
    return answer.has_redirect_location and str(answer.headers["location"]).startswith(REDIRECT_URI)


def _query(answer: httpx2.Response) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def _hidden(page: httpx2.Response) -> dict[str, str]:
    """The fields of a form that a person does not fill in."""
    found = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.text)
    return dict(found)
