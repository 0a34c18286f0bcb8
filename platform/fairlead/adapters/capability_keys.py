"""Keys that mark the right to make calls, from a file that is the same for every process of an installation.

One key a line, `<id> <base64 of 32 bytes>`. The first marks; all of them are believed, so keys can be changed while
runs are under way.
"""

from pathlib import Path

from fairlead.adapters.embedded.secrets import write_private_once
from fairlead.adapters.vault.keys import new_line, parse_keys
from fairlead.handling.capabilities import MarkKey

FILE_NAME = "capability_keys"


def capability_keys(file: Path | None, data_dir: Path) -> tuple[MarkKey, ...]:
    """From `file`; without one from the data directory, where a key is made at first use. Raises VaultKeysInvalid."""
    kept = file or data_dir / FILE_NAME
    if file is None and not kept.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private_once(kept, f"{new_line()}\n".encode())
    return tuple(MarkKey(key.key_id, key.body) for key in parse_keys(kept.read_text(), str(kept)))
