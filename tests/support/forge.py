"""A place for code and tickets, with the manners of large public ones, and a real server of it.

Pages lead on by Link, entity tags make a question that costs nothing, requests are counted down to a limit that says
when it begins anew, and a second limit slows down whoever writes too fast.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.api_double import Asked, Reply, scripted_api

DESCRIPTION = (Path(__file__).parent / "forge_description.yaml").read_text()
REPO = "harbour/cranes"
TOKEN = "a-token-of-the-forge"
LIMIT = 60
LATER_S = 1
_HERE = f"/repos/{REPO}"
_ISSUE = re.compile(r"/issues/(\d+)")
_SAID_OF = re.compile(r"/issues/(\d+)/comments")
_COMMENT = re.compile(r"/issues/comments/(\d+)")
_USER = {"login": "harbour-bot", "id": 7, "name": None}
_REPOSITORY = {"id": 1, "full_name": REPO, "owner": _USER}


class Forge:
    """`next` are answers that come before any work is done. `happened` is what changed, in its order."""

    def __init__(self) -> None:
        self.url = ""
        self.issues: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, dict[str, Any]] = {}
        self.happened: list[str] = []
        self.next: list[Callable[[], Reply]] = []
        self.left = LIMIT

    @property
    def authority(self) -> str:
        return urlsplit(self.url).netloc

    @contextmanager
    def running(self) -> Iterator[None]:
        with scripted_api(self.answer) as api:
            self.url = api.url
            yield

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _said(401, message="Bad credentials")
        if not asked.headers.get("User-Agent"):
            return _said(403, message="Say who you are")
        if self.next:
            return self.next.pop(0)()
        where = urlsplit(asked.path)
        if not where.path.startswith(_HERE):
            return _said(404, message="Not Found")
        reply = self._answer(asked, where.path.removeprefix(_HERE), where.query)
        self.left -= reply.status != 304
        counted = {"X-RateLimit-Limit": str(LIMIT), "X-RateLimit-Remaining": str(self.left)}
        return Reply(reply.status, reply.body, {"Content-Type": "application/json", **reply.headers, **counted})

    def _answer(self, asked: Asked, path: str, query: str) -> Reply:
        match asked.method, path:
            case "GET", "":
                return self._repository(asked)
            case "GET", "/issues":
                return self._page(query)
            case "POST", "/issues":
                return self._opened(asked.json)
        if said_of := _SAID_OF.fullmatch(path):
            return self._commented(int(said_of[1]), asked.json)
        if comment := _COMMENT.fullmatch(path):
            return self._forgotten(int(comment[1]))
        issue = _ISSUE.fullmatch(path)
        if issue is None or int(issue[1]) not in self.issues:
            return _said(404, message="Not Found")
        return self._changed(int(issue[1]), asked.json) if asked.method == "PATCH" else self._shown(int(issue[1]))

    def _repository(self, asked: Asked) -> Reply:
        shown = {**_REPOSITORY, "open_issues_count": sum(each["state"] == "open" for each in self.issues.values())}
        tag = f'W/"{len(self.happened)}"'
        if asked.headers.get("If-None-Match") == tag:
            return Reply(304, headers={"ETag": tag})
        return Reply(200, shown, {"ETag": tag})

    def _page(self, query: str) -> Reply:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        size, page, state = int(asked.get("per_page", 30)), int(asked.get("page", 1)), asked.get("state", "open")
        listed = [each for each in self.issues.values() if state in ("all", each["state"])]
        more = {"page": page + 1, "per_page": size, "state": state}
        following = f"{self.url}{_HERE}/issues?{'&'.join(f'{name}={value}' for name, value in more.items())}"
        link = {"Link": f'<{following}>; rel="next"'} if len(listed) > page * size else {}
        return Reply(200, listed[(page - 1) * size : page * size], link)

    def _opened(self, body: Any) -> Reply:
        number = len(self.issues) + 1
        self.issues[number] = {
            "number": number,
            "title": body["title"],
            "body": body.get("body"),
            "state": "open",
            "state_reason": None,
            "user": _USER,
            "closed_by": None,
            "comments": 0,
            "repository": _REPOSITORY,
        }
        self.happened.append(f"opened {number}")
        return self._shown(number, 201)

    def _changed(self, number: int, body: Any) -> Reply:
        if body.get("assignees"):
            return _said(422, message="Validation Failed")
        self.issues[number] |= body
        self.happened.append(f"{body.get('state', 'changed')} {number}")
        return self._shown(number)

    def _commented(self, number: int, body: Any) -> Reply:
        comment = {"id": 1_000 + len(self.happened), "body": body["body"], "user": _USER}
        self.comments[comment["id"]] = comment
        self.happened.append(f"commented {number}")
        return Reply(201, comment)

    def _forgotten(self, comment: int) -> Reply:
        if self.comments.pop(comment, None) is None:
            return _said(404, message="Not Found")
        self.happened.append(f"forgot {comment}")
        return Reply(204)

    def _shown(self, number: int, status: int = 200) -> Reply:
        return Reply(status, self.issues[number])


def used_up() -> Reply:
    """No request remains until the hour, which is nearly over."""
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + LATER_S)}
    return _said(403, reset, message="API rate limit exceeded")


def too_fast() -> Reply:
    """The second limit, which has nothing to do with what remains."""
    return _said(429, {"Retry-After": str(LATER_S), "X-RateLimit-Remaining": "42"}, message="Slow down")


def _said(status: int, headers: dict[str, str] | None = None, **body: str) -> Reply:
    return Reply(status, body, {"Content-Type": "application/json", **(headers or {})})
