"""Keys that wrap: read from a file or the environment, several at once, never shown."""

import stat
from base64 import b64encode
from pathlib import Path

import pytest

from fairlead.adapters.vault.keys import KeyRing, VaultKeysInvalid, add_key, configured_keys, parse_keys, vault_keys
from fairlead.domain.connections.errors import SecretUnreadable

KEY = b64encode(bytes(range(32))).decode()
OTHER = b64encode(bytes(range(1, 33))).decode()


def test_the_first_line_is_the_current_key_and_comments_are_passed_over() -> None:
    assert [key.key_id for key in parse_keys(f"# ours\n\nk2 {KEY}\nk1 {OTHER}\n", "here")] == ["k2", "k1"]
    assert [key.key_id for key in parse_keys(f"k2 {KEY}, k1 {OTHER}", "here")] == ["k2", "k1"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# none",
        "k1",
        f"k1 {KEY} more",
        f"k1 {KEY[:-8]}",
        f"k1 {KEY}{KEY}",
        "k1 not-base64!",
        f"k:1 {KEY}",
        f"{'k' * 33} {KEY}",
        f"k1 {KEY}\nk1 {OTHER}",
        f"k1 {KEY}\nk2 {KEY}",
    ],
)
def test_what_is_no_list_of_different_keys_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(VaultKeysInvalid) as refused:
        parse_keys(text, "the file")
    assert KEY[:10] not in str(refused.value)
    assert "the file" in str(refused.value)


async def test_a_key_is_made_at_first_use_for_its_owner_only_and_found_again(tmp_path: Path) -> None:
    first = vault_keys(None, None, tmp_path / "data")
    wrapped = await first.wrap(bytes(32))
    file = tmp_path / "data" / "vault_keys"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await vault_keys(None, None, tmp_path / "data").unwrap(wrapped) == bytes(32)


def test_whoever_only_looks_at_the_list_makes_none(tmp_path: Path) -> None:
    assert configured_keys(None, None, tmp_path / "data") == ()
    assert not (tmp_path / "data").exists()
    added = add_key(tmp_path / "vault_keys")
    assert [key.key_id for key in configured_keys(None, None, tmp_path)] == [added]
    assert [key.key_id for key in configured_keys(tmp_path / "vault_keys", f"k9 {KEY}", tmp_path)] == ["k9"]
    with pytest.raises(VaultKeysInvalid, match="cannot be read"):
        configured_keys(tmp_path / "elsewhere", None, tmp_path)


async def test_a_key_put_into_the_file_is_used_without_a_restart_and_the_old_one_still_opens(tmp_path: Path) -> None:
    running = vault_keys(None, None, tmp_path)
    before = await running.wrap(bytes(32))
    added = add_key(tmp_path / "vault_keys")
    after = await running.wrap(bytes(32))
    assert after.startswith(f"{added}:".encode())
    assert not before.startswith(f"{added}:".encode())
    assert await running.unwrap(before) == await running.unwrap(after) == bytes(32)
    assert stat.S_IMODE((tmp_path / "vault_keys").stat().st_mode) == 0o600


async def test_a_file_that_is_broken_later_leaves_the_keys_that_were_read(tmp_path: Path) -> None:
    running = vault_keys(None, None, tmp_path)
    before = await running.wrap(bytes(32))
    (tmp_path / "vault_keys").write_text("half a li")
    assert await running.unwrap(before) == bytes(32)


async def test_the_environment_gives_the_same_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"k2 {KEY}\nk1 {OTHER}\n")
    by_file, by_environment = vault_keys(file, None, tmp_path), vault_keys(None, f"k2 {KEY},k1 {OTHER}", tmp_path)
    assert await by_environment.unwrap(await by_file.wrap(bytes(32))) == bytes(32)
    assert not (tmp_path / "vault_keys").exists()


async def test_keys_are_never_shown_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    ring = KeyRing(parse_keys(f"k1 {KEY}", "here"))
    assert KEY[:10] not in repr(ring) + repr(parse_keys(f"k1 {KEY}", "here"))
    with pytest.raises(SecretUnreadable, match="k9"):
        await ring.unwrap(b"k9:" + bytes(40))
