"""Keys that wrap the keys of secrets, from a file or the environment. The first wraps; the others only unwrap.

One key a line, `<id> <base64 of 32 bytes>`; in the environment a comma may stand for the end of a line. A file is read
again when it changes, so a key can be added while the program runs. A KMS is another implementation of
`ports.KeyEncryption`: two methods, and the id of its key in front of what it returns.
"""

import binascii
import re
import secrets
from base64 import b64decode, b64encode
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from msgspec import Struct

from fairlead.adapters.embedded.secrets import write_private
from fairlead.domain.connections.errors import SecretUnreadable
from fairlead.domain.errors import FairleadError
from fairlead.ports import KeyEncryption

KEY_BYTES = 32
FILE_NAME = "vault_keys"
_LINE = re.compile(r"([A-Za-z0-9_-]{1,32})[ \t]+([A-Za-z0-9+/=]{1,100})")
_log = structlog.get_logger()


class VaultKeysInvalid(FairleadError):
    """The list of keys cannot be used. Says which line, never what is in it."""

    code = "vault_keys_invalid"


class Key(Struct, frozen=True):
    key_id: str
    body: bytes

    def __repr__(self) -> str:
        return f"Key({self.key_id!r})"


def vault_keys(file: Path | None, text: str | None, data_dir: Path) -> KeyEncryption:
    """From `text`, from `file`, or from the data directory, where a key is made at first use.

    Raises VaultKeysInvalid.
    """
    if text is not None:
        return KeyRing(parse_keys(text, "the environment"))
    kept = file or data_dir / FILE_NAME
    if file is None and not kept.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        add_key(kept)
    return FileKeys(kept)


def configured_keys(file: Path | None, text: str | None, data_dir: Path) -> tuple[Key, ...]:
    """The same list as it is, to look at: none is made. Empty where the data directory has none yet.

    Raises VaultKeysInvalid.
    """
    if text is not None:
        return parse_keys(text, "the environment")
    kept = file or data_dir / FILE_NAME
    if file is None and not kept.exists():
        return ()
    try:
        return parse_keys(kept.read_text(), str(kept))
    except (OSError, UnicodeDecodeError) as error:
        raise VaultKeysInvalid(f"{kept} cannot be read ({type(error).__name__})") from error


def parse_keys(text: str, where: str) -> tuple[Key, ...]:
    """Raises VaultKeysInvalid for a line that is none, for no key at all, and for an id or a key that comes twice."""
    keys = []
    for number, line in enumerate(text.replace(",", "\n").splitlines(), start=1):
        if (stripped := line.strip()) and not stripped.startswith("#"):
            keys.append(_key(stripped, f"line {number} of {where}"))
    if not keys:
        raise VaultKeysInvalid(f"{where} holds no key")
    if len({key.key_id for key in keys}) < len(keys) or len({key.body for key in keys}) < len(keys):
        raise VaultKeysInvalid(f"{where} holds a key, or the id of one, twice")
    return tuple(keys)


def new_line() -> str:
    """A fresh key as a line of the list."""
    return f"k{secrets.token_hex(4)} {b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def add_key(file: Path) -> str:
    """Put a fresh key in front of those in the file, which wraps from now on. Its id."""
    line, before = new_line(), file.read_text() if file.exists() else ""
    write_private(file, f"{line}\n{before}".encode())
    return line.split()[0]


class KeyRing:
    """RFC 3394 key wrap: what was altered, or wrapped by another key, is refused by its own check."""

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self._current = keys[0]
        self._bodies = {key.key_id: key.body for key in keys}

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._bodies)})"

    async def wrap(self, data_key: bytes) -> bytes:
        return self._current.key_id.encode() + b":" + aes_key_wrap(self._current.body, data_key)

    async def unwrap(self, wrapped: bytes) -> bytes:
        key_id, _, body = wrapped.partition(b":")
        name = key_id.decode("ascii", "replace")[:KEY_BYTES]
        if name not in self._bodies:
            raise SecretUnreadable(f"the key {name} is not there")
        try:
            return aes_key_unwrap(self._bodies[name], body)
        except (InvalidUnwrap, ValueError):
            raise SecretUnreadable(f"it was not wrapped by the key {name}") from None


class FileKeys:
    """The keys of a file as it is now; those read last while it cannot be read."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = self._stamp()
        self._ring = self._read()

    async def wrap(self, data_key: bytes) -> bytes:
        return await self._newest().wrap(data_key)

    async def unwrap(self, wrapped: bytes) -> bytes:
        return await self._newest().unwrap(wrapped)

    def _newest(self) -> KeyRing:
        try:
            if (stamp := self._stamp()) != self._seen:
                self._ring, self._seen = self._read(), stamp
        except (OSError, UnicodeDecodeError, VaultKeysInvalid) as error:
            _log.error("vault_keys_unreadable", file=str(self._file), error=type(error).__name__)
        return self._ring

    def _read(self) -> KeyRing:
        return KeyRing(parse_keys(self._file.read_text(), str(self._file)))

    def _stamp(self) -> tuple[int, int, int]:
        found = self._file.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size


def _key(line: str, where: str) -> Key:
    found = _LINE.fullmatch(line)
    try:
        body = b64decode(found[2], validate=True) if found else b""
    except binascii.Error:
        body = b""
    if found is None or len(body) != KEY_BYTES:
        raise VaultKeysInvalid(f"{where} is not an id and {KEY_BYTES} bytes in base64")
    return Key(found[1], body)
