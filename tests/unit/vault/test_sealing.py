"""A sealed secret opens for whom, where and as what it was sealed, and for nothing else."""

from base64 import b64encode

import pytest
from msgspec.structs import replace

from fairlead.adapters.vault.keys import KeyRing, parse_keys
from fairlead.adapters.vault.sealing import Place, Sealed, open_sealed, rewrap, seal
from fairlead.domain.connections.errors import SecretUnreadable
from fairlead.domain.errors import Unavailable
from fairlead.ports import KeyEncryption

SECRET = b"rt_very-secret-refresh-token"
HERE = Place(tenant_id="tnt_a", holder_id="con_1", version=3)
OLD, NEW = f"k1 {b64encode(bytes(32)).decode()}", f"k2 {b64encode(bytes([1] * 32)).decode()}"


def ring(*lines: str) -> KeyRing:
    return KeyRing(parse_keys("\n".join(lines), "the test"))


async def test_what_was_sealed_opens_where_it_was_sealed() -> None:
    keys = ring(OLD)
    assert await open_sealed(keys, HERE, await seal(keys, HERE, SECRET)) == SECRET


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(HERE, tenant_id="tnt_b"),
        replace(HERE, holder_id="con_2"),
        replace(HERE, version=2),
        replace(HERE, version=4),
        replace(HERE, tenant_id="tnt_a/con", holder_id="1"),
        replace(HERE, tenant_id="tnt_", holder_id="acon_1"),
    ],
)
async def test_another_tenant_connection_or_version_gets_nothing(elsewhere: Place) -> None:
    keys = ring(OLD)
    with pytest.raises(SecretUnreadable) as refused:
        await open_sealed(keys, elsewhere, await seal(keys, HERE, SECRET))
    assert SECRET.decode() not in repr(refused.value)


async def test_any_flipped_bit_anywhere_fails_closed() -> None:
    keys = ring(OLD)
    sealed = await seal(keys, HERE, SECRET)
    for part in ("wrapped_key", "nonce", "body"):
        whole: bytes = getattr(sealed, part)
        for bit in range(8 * len(whole)):
            altered = bytearray(whole)
            altered[bit // 8] ^= 1 << bit % 8
            with pytest.raises(SecretUnreadable):
                await open_sealed(keys, HERE, replace(sealed, **{part: bytes(altered)}))


@pytest.mark.parametrize("part", ["wrapped_key", "nonce", "body"])
@pytest.mark.parametrize("cut", [b"", b"k1:", b"x" * 3])
async def test_a_part_that_is_cut_off_or_replaced_fails_closed(part: str, cut: bytes) -> None:
    keys = ring(OLD)
    sealed = await seal(keys, HERE, SECRET)
    with pytest.raises(SecretUnreadable):
        await open_sealed(keys, HERE, replace(sealed, **{part: cut}))


async def test_parts_of_two_secrets_cannot_be_mixed() -> None:
    keys = ring(OLD)
    one, other = await seal(keys, HERE, SECRET), await seal(keys, HERE, b"other")
    for mixed in (
        replace(one, body=other.body),
        replace(one, nonce=other.nonce),
        replace(one, wrapped_key=other.wrapped_key),
    ):
        with pytest.raises(SecretUnreadable):
            await open_sealed(keys, HERE, mixed)


async def test_equal_secrets_look_different_and_share_neither_key_nor_nonce() -> None:
    keys = ring(OLD)
    one, other = await seal(keys, HERE, SECRET), await seal(keys, HERE, SECRET)
    assert one.body != other.body
    assert one.nonce != other.nonce
    assert one.wrapped_key != other.wrapped_key


async def test_nothing_sealed_holds_or_shows_the_secret() -> None:
    sealed = await seal(ring(OLD), HERE, SECRET)
    assert SECRET not in sealed.wrapped_key + sealed.nonce + sealed.body
    assert SECRET.decode() not in repr(sealed)


async def test_a_missing_key_and_another_key_under_the_same_name_open_nothing() -> None:
    sealed = await seal(ring(OLD), HERE, SECRET)
    for stranger in (ring(NEW), ring(NEW.replace("k2", "k1"))):
        with pytest.raises(SecretUnreadable):
            await open_sealed(stranger, HERE, sealed)


async def test_the_first_key_seals_and_the_others_still_open() -> None:
    sealed = await seal(ring(OLD), HERE, SECRET)
    both = ring(NEW, OLD)
    assert await open_sealed(both, HERE, sealed) == SECRET
    assert (await seal(both, HERE, SECRET)).key_id == "k2"


async def test_wrapping_anew_changes_the_key_and_not_the_secret_and_the_old_key_can_go() -> None:
    sealed = await seal(ring(OLD), HERE, SECRET)
    wrapped: Sealed = await rewrap(ring(NEW, OLD), sealed)
    assert (sealed.key_id, wrapped.key_id) == ("k1", "k2")
    assert (wrapped.body, wrapped.nonce) == (sealed.body, sealed.nonce)
    assert await open_sealed(ring(NEW), HERE, wrapped) == SECRET
    with pytest.raises(SecretUnreadable):
        await open_sealed(ring(OLD), HERE, wrapped)


class Kms:
    """A service that keeps its keys to itself; it may be out of reach."""

    def __init__(self) -> None:
        self._ring = ring(NEW.replace("k2", "key-7f3a"))
        self.away = False

    async def wrap(self, data_key: bytes) -> bytes:
        if self.away:
            raise Unavailable("the key service")
        return await self._ring.wrap(data_key)

    async def unwrap(self, wrapped: bytes) -> bytes:
        if self.away:
            raise Unavailable("the key service")
        return await self._ring.unwrap(wrapped)


class Both:
    """While a list gives way to a service: the service wraps, and each opens what it wrapped."""

    def __init__(self, service: KeyEncryption, before: KeyEncryption) -> None:
        self._service = service
        self._before = before

    async def wrap(self, data_key: bytes) -> bytes:
        return await self._service.wrap(data_key)

    async def unwrap(self, wrapped: bytes) -> bytes:
        return await (self._service if wrapped.startswith(b"key-") else self._before).unwrap(wrapped)


async def test_a_key_service_takes_the_place_of_the_list_without_a_secret_being_opened() -> None:
    service, before = Kms(), ring(OLD)
    moved = await rewrap(Both(service, before), await seal(before, HERE, SECRET))
    assert moved.key_id == "key-7f3a"
    assert await open_sealed(service, HERE, moved) == SECRET
    with pytest.raises(SecretUnreadable):
        await open_sealed(before, HERE, moved)


async def test_a_key_service_that_is_out_of_reach_is_not_taken_for_a_secret_that_is_lost() -> None:
    service = Kms()
    sealed = await seal(service, HERE, SECRET)
    service.away = True
    with pytest.raises(Unavailable):
        await open_sealed(service, HERE, sealed)
    service.away = False
    assert await open_sealed(service, HERE, sealed) == SECRET
