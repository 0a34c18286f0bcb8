"""Which server a command speaks to, and with which key.

The first that says so wins: options and environment, the development instance of this directory, the saved profile. A
key belongs to the server that it was saved with and is never sent to another; over a network it travels encrypted.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from fairlead_tenants.keys import parse_key
from msgspec import Struct

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.private_files import read_private, write_private

DEV_FOLDER = ".fairlead"
DEV_FILE = "dev.json"  # written by `fairlead dev`; `adapters/dev_file.py` is the other end
DEV_KEY_FILE = "dev-key"
DEFAULT_PROFILE = "default"

_HOW = (
    "run `fairlead dev` here, or `fairlead login --url https://…`, or set FAIRLEAD_URL and FAIRLEAD_API_KEY",
    "a key is read from the environment, a file or standard input, never from the command line",
)


class Wanted(Struct, frozen=True, kw_only=True):
    """What the command line and the environment say; None where they do not."""

    url: str | None = None
    key: str | None = None
    profile: str | None = None
    allow_http: bool = False

    def __repr__(self) -> str:
        return f"Wanted(url={self.url!r}, profile={self.profile!r})"


class Target(Struct, frozen=True, kw_only=True):
    """`source` says in words where it comes from."""

    url: str
    key: str
    source: str

    def __repr__(self) -> str:
        return f"Target(url={self.url!r}, source={self.source!r})"


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    key: str

    def __repr__(self) -> str:
        return f"Profile(url={self.url!r})"


class _DevFile(Struct, frozen=True):
    url: str | None = None


def find(wanted: Wanted, environment: Mapping[str, str], here: Path) -> Target:
    """Raises Failure when there is no server or no key for it."""
    known = _known(wanted, environment, here)
    at_hand = next((target for name, target in known if name in (None, wanted.profile or DEFAULT_PROFILE)), None)
    url = wanted.url or (at_hand.url if at_hand else None)
    if url is None:
        raise Failure("no server is named and no development instance runs here", Exit.USAGE, details=_HOW)
    if wanted.key is not None:
        return _checked(Target(url=url, key=wanted.key, source="options and environment"), wanted)
    for _, target in known:
        if _origin(target.url) == _origin(url):
            return _checked(target, wanted)
    raise Failure(f"no key is known for {url}", Exit.NOT_PERMITTED, details=_HOW)


def _known(wanted: Wanted, environment: Mapping[str, str], here: Path) -> list[tuple[str | None, Target]]:
    """Servers with a key, by name of their profile; the development instance has none and comes first."""
    saved = read_profiles(profiles_file(environment))
    if wanted.profile is not None:
        if wanted.profile not in saved:
            raise Failure(f"there is no profile {wanted.profile}", Exit.USAGE, details=_HOW[:1])
        return [(wanted.profile, _of_profile(wanted.profile, saved[wanted.profile]))]
    dev = _development(here)
    first: list[tuple[str | None, Target]] = [(None, dev)] if dev else []
    return first + [(name, _of_profile(name, profile)) for name, profile in sorted(saved.items())]


def _of_profile(name: str, profile: Profile) -> Target:
    return Target(url=profile.url, key=profile.key, source=f"profile {name}")


def _checked(target: Target, wanted: Wanted) -> Target:
    check_url(target.url, wanted.allow_http)
    check_key(target.key)
    return target


def check_url(url: str, allow_http: bool = False) -> None:
    """Raises Failure for what is no address, and for one that would carry the key in the clear over a network."""
    scheme, host = _origin(url)[:2]
    if scheme not in ("http", "https") or not host:
        raise Failure(f"{url} is not the address of a server", Exit.USAGE, details=("it looks like https://host",))
    if scheme == "http" and not allow_http and not is_loopback(host):
        details = ("use https://, or allow it with --allow-http where the network itself is trusted",)
        raise Failure(f"the key would travel unencrypted to {url}", Exit.USAGE, details=details)


def check_key(key: str) -> None:
    """Raises Failure for a text that no key can be; it is not sent anywhere then."""
    if parse_key(key) is None:
        raise Failure("that is not an API key: they begin with flk_ and are shown once, when issued", Exit.USAGE)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        return "", "", None


_PORTS = {"http": 80, "https": 443}


def _development(here: Path) -> Target | None:
    """The instance of this directory or of the nearest one above that has its data.

    Nothing is believed that somebody else may have put there, such as an archive that was unpacked: the files must be
    ours and private, the server on this machine.
    """
    folder = next((place / DEV_FOLDER for place in (here, *here.parents) if (place / DEV_FOLDER).is_dir()), None)
    if folder is None:
        return None
    described, key = read_private(folder / DEV_FILE), read_private(folder / DEV_KEY_FILE)
    if described is None or key is None:
        return None
    try:
        url = msgspec.json.decode(described, type=_DevFile).url
    except msgspec.DecodeError:
        return None
    if url is None or not is_loopback(_origin(url)[1]):
        return None
    return Target(url=url, key=key.decode(errors="replace").strip(), source=f"development instance in {folder}")


def profiles_file(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "fairlead" / "profiles.json"


def read_profiles(file: Path) -> dict[str, Profile]:
    """Raises Failure for a file that others may read or that is not one of ours."""
    if not file.exists():
        return {}
    body = read_private(file)
    if body is None:
        raise Failure(f"{file} holds keys and can be read by others", details=(f"chmod 600 {file}",))
    try:
        return msgspec.json.decode(body, type=dict[str, Profile])
    except msgspec.DecodeError as error:
        raise Failure(f"{file} is not a file of profiles", details=(str(error),)) from error


def write_profiles(file: Path, profiles: Mapping[str, Profile]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, msgspec.json.format(msgspec.json.encode(profiles)))
