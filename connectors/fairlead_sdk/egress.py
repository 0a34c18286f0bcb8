"""Which hosts a declaration reaches: `api.example.com`, `*.example.com`, `example.com:8443`, `{base_url}`,
`{account}.example.com`."""

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

MAX_HOST = 253
MAX_PORT = 65_535
HTTPS_PORT = 443
_PORTS = {"https": HTTPS_PORT, "http": 80}

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ENTRY = re.compile(rf"(?P<any>\*\.)?(?P<host>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[1-9][0-9]{{0,4}}))?")
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?=[/?#]|\Z)", re.IGNORECASE
)
_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class Reach(Struct, frozen=True, kw_only=True):
    """Hosts on one port. `below`: every name under `host`, at any depth, and not `host` itself."""

    host: str
    port: int
    below: bool = False

    def covers(self, host: str, port: int) -> bool:
        name = host.lower().rstrip(".")
        if port != self.port:
            return False
        return name.endswith("." + self.host) if self.below else name == self.host


def fields_in(text: str) -> list[str]:
    """Names of the connection's fields that stand in it in braces."""
    return _FIELD.findall(text)


def field_of(entry: str) -> str | None:
    """The field that the whole entry stands for."""
    found = _FIELD.fullmatch(entry)
    return found[1] if found else None


def filled(entry: str, config: Mapping[str, str]) -> str:
    """With one label of a name for each field in it."""
    return _FIELD.sub(lambda field: _label(config.get(field[1], "")), entry)


def _label(value: str) -> str:
    """What no name can hold, unless it is one label."""
    return value.lower() if re.fullmatch(_LABEL, value.lower()) else "!"


def reach_of(entry: str) -> Reach | None:
    """None for what is no entry with a host. A wildcard needs two labels after it: nobody owns `*.com`."""
    found = _ENTRY.fullmatch(entry)
    if found is None or len(found["host"]) > MAX_HOST:
        return None
    port = int(found["port"] or HTTPS_PORT)
    below = found["any"] is not None
    if port > MAX_PORT or (below and "." not in found["host"]):
        return None
    return Reach(host=found["host"], port=port, below=below)


def place_of(url: str) -> tuple[str, int] | None:
    """Host and port of an absolute address over HTTP, without credentials in it; else None."""
    found = _ADDRESS.match(url)
    if found is None:
        return None
    port = int(found["port"] or _PORTS[found["scheme"].lower()])
    return (found["host"].strip("[]"), port) if port <= MAX_PORT else None


def reaches(egress: Sequence[str], config: Mapping[str, str]) -> Iterator[Reach]:
    """What is declared, for one connection's fields. A field that is missing or no host opens nothing.

    A field alone may be a whole address; inside a name it is one label.
    """
    for entry in egress:
        field = field_of(entry)
        if field is None:
            reach = reach_of(filled(entry, config))
        elif place := place_of(config.get(field, "")):
            reach = Reach(host=place[0].lower(), port=place[1])
        else:
            reach = reach_of(config.get(field, "").lower())
        if reach is not None:
            yield reach


def allows(egress: Sequence[str], config: Mapping[str, str], url: str) -> bool:
    """Whether a request to `url` stays within the declaration."""
    place = place_of(url)
    return place is not None and any(reach.covers(*place) for reach in reaches(egress, config))
