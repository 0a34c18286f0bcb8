"""Where an imported set's requests go: the description's servers, and the address that a connection names."""

import re
from typing import Any

from fairlead_sdk import ConfigField
from fairlead_sdk.egress import place_of

from fairlead_http.hints import Hints
from fairlead_http.operations import Operation
from fairlead_http.reading import Document

BASE_URL = "base_url"
MAX_HOSTS = 40

_ADDRESS = re.compile(r"https?://[^/?#\s@\\]+(/[^?#\s\\]*)?")
_VARIABLE = re.compile(r"\{([^{}]+)\}")


class Servers:
    """The operation's own server, else its path's, else the description's. Variables have their defaults."""

    def __init__(self, document: Document, hints: Hints) -> None:
        self.default = hints.base_url or _first(document.get("servers"))
        self._hosts: dict[str, None] = {}
        self._is_asked = False

    def of(self, operation: Operation) -> tuple[str, bool]:
        """An address or the beginning of a path, and whether it is the operation's own, which no connection changes."""
        own = _first(operation.given.get("servers")) or _first(operation.item.get("servers"))
        server = own if own and _ADDRESS.fullmatch(own) else self.default
        if _ADDRESS.fullmatch(server):
            self._note(server)
            return server.rstrip("/"), server == own
        self._is_asked = True
        return server.rstrip("/"), False

    def egress(self, *, has_accounts: bool) -> tuple[str, ...]:
        own = tuple(f"{{{field.name}}}" for field in self.config(has_accounts=has_accounts))
        return (*self._hosts, *own)

    def config(self, *, has_accounts: bool) -> tuple[ConfigField, ...]:
        """An account may be at another address than the description says. Without accounts only what must be asked."""
        if not has_accounts and not self._is_asked:
            return ()
        return (ConfigField(name=BASE_URL, title="Address of the service", required=self._is_asked),)

    def _note(self, server: str) -> None:
        place = place_of(server)
        if place is not None and len(self._hosts) < MAX_HOSTS:
            host, port = place[0].lower(), place[1]
            self._hosts[host if port == 443 else f"{host}:{port}"] = None


def _first(servers: Any) -> str:
    given = servers[0] if isinstance(servers, list) and servers else None
    if not isinstance(given, dict) or not isinstance(given.get("url"), str):
        return ""
    variables = given.get("variables")
    said = variables if isinstance(variables, dict) else {}
    return _VARIABLE.sub(lambda found: _default(said.get(found[1])), given["url"])[:1000]


def _default(variable: Any) -> str:
    return str(variable.get("default", "")) if isinstance(variable, dict) else ""
