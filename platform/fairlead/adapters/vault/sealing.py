"""One secret under a key of its own (AES-256-GCM), bound to whose it is, what it belongs to and which version it is."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from msgspec.structs import replace

from fairlead.domain.connections.errors import SecretUnreadable
from fairlead.ports import KeyEncryption

NONCE_BYTES = 12
_FORMAT = "fairlead.vault.1"


class Place(Struct, frozen=True, kw_only=True):
    """Goes into the seal without being stored in it: what is copied elsewhere does not open there."""

    tenant_id: str
    holder_id: str
    version: int

    def associated(self) -> bytes:
        parts = (_FORMAT, self.tenant_id, self.holder_id, str(self.version))
        assert all("\0" not in part for part in parts), "the parts cannot run into each other"
        return "\0".join(parts).encode()


class Sealed(Struct, frozen=True, kw_only=True):
    """`wrapped_key` begins with the id of the key that wrapped it, and a colon."""

    wrapped_key: bytes
    nonce: bytes
    body: bytes

    @property
    def key_id(self) -> str:
        return key_id_of(self.wrapped_key)

    def __repr__(self) -> str:
        return f"Sealed(key_id={self.key_id!r})"


class DataKey(Struct, frozen=True, kw_only=True):
    """The key of one secret, plain and wrapped. Made before the version of the secret is known."""

    plain: bytes
    wrapped: bytes

    def __repr__(self) -> str:
        return "DataKey(…)"


def key_id_of(wrapped: bytes) -> str:
    return wrapped.partition(b":")[0].decode("ascii", "replace")


async def data_key(keys: KeyEncryption) -> DataKey:
    plain = AESGCM.generate_key(bit_length=256)
    return DataKey(plain=plain, wrapped=await keys.wrap(plain))


def seal_with(key: DataKey, place: Place, body: bytes) -> Sealed:
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(key.plain).encrypt(nonce, body, place.associated())
    return Sealed(wrapped_key=key.wrapped, nonce=nonce, body=sealed)


async def seal(keys: KeyEncryption, place: Place, body: bytes) -> Sealed:
    return seal_with(await data_key(keys), place, body)


async def open_sealed(keys: KeyEncryption, place: Place, sealed: Sealed) -> bytes:
    """Raises SecretUnreadable, with nothing of the secret in it."""
    key = await keys.unwrap(sealed.wrapped_key)
    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.body, place.associated())
    except (InvalidTag, ValueError):
        raise SecretUnreadable("it was altered, or sealed for somebody else") from None


async def rewrap(keys: KeyEncryption, sealed: Sealed) -> Sealed:
    """The same secret, its key wrapped by the key that is current now. The secret itself is not opened."""
    return replace(sealed, wrapped_key=await keys.wrap(await keys.unwrap(sealed.wrapped_key)))
