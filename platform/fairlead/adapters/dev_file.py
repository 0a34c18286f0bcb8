"""`dev.json`: how other commands find the instance that `fairlead dev` runs over a data directory.

It is there as long as the instance runs, is its owner's alone, and holds the engines' addresses with their passwords.
`cli/targets.py` reads the server's address from it and the key from the file beside it.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from fairlead.adapters.embedded.secrets import write_private
from fairlead.adapters.engines import EngineUrls

FILE = "dev.json"
KEY_FILE = "dev-key"


class DevInstance(Struct, frozen=True, kw_only=True):
    """`url` is None until the API answers."""

    pid: int
    engines: EngineUrls
    url: str | None = None


def write_dev_file(data_dir: Path, instance: DevInstance) -> None:
    write_private(data_dir / FILE, msgspec.json.encode(instance))


def read_dev_file(data_dir: Path) -> DevInstance | None:
    """None when there is none. One that a killed instance left names engines that no longer answer."""
    try:
        body = (data_dir / FILE).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(body, type=DevInstance)


def remove_dev_file(data_dir: Path) -> None:
    (data_dir / FILE).unlink(missing_ok=True)
