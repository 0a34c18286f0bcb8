"""The signed file of a connector: nothing of it counts until all of it has been verified."""

import hashlib
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fairlead_sdk.description import described, plain
from hypothesis import given
from hypothesis import strategies as st

from fairlead.domain.canonical import canonical
from fairlead.domain.connectors.package import (
    HEAD_BYTES,
    MAGIC,
    MAX_PACKAGE_BYTES,
    SIGNED,
    AuthorNotAllowed,
    PackageRefused,
    opened,
    packed,
)
from tests.support.connectors import manifest

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
AUTHOR = KEY.public_key().public_bytes_raw().hex()
FILES = {"bills/__init__.py": b"# hook", "bills/tools.py": b"", "bills/data/rates.json": b"{}"}
MANIFEST = plain(described(manifest()))
GOOD = packed("bills", MANIFEST, FILES, KEY)


def signed(description: Any, files: bytes = b"", key: Ed25519PrivateKey = KEY) -> bytes:
    """Whatever an author may sign."""
    body = description if isinstance(description, bytes) else canonical(description)
    head = MAGIC + key.public_key().public_bytes_raw() + key.sign(SIGNED + body)
    return head + len(body).to_bytes(4) + body + files


def listed(*files: tuple[str, bytes], **fields: Any) -> bytes:
    names = [
        {"path": path, "size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()} for path, body in files
    ]
    said = {"format": 1, "module": "bills", "manifest": MANIFEST, "files": names} | fields
    return signed(said, b"".join(body for _, body in files))


INIT = ("bills/__init__.py", b"x")


def test_a_package_gives_back_what_was_packed_and_who_signed_it() -> None:
    package = opened(GOOD, [AUTHOR])
    assert (package.name, package.version, package.module, package.author_key) == ("bills", "1.2.3", "bills", AUTHOR)
    assert package.files == FILES
    assert plain(package.manifest) == MANIFEST
    assert package.digest == hashlib.sha256(GOOD).hexdigest()


def test_packing_twice_gives_the_same_bytes() -> None:
    assert packed("bills", MANIFEST, dict(reversed(FILES.items())), KEY) == GOOD


def test_an_author_who_is_not_allowed_is_refused_before_anything_is_read() -> None:
    with pytest.raises(AuthorNotAllowed):
        opened(GOOD, [])
    with pytest.raises(AuthorNotAllowed):
        opened(GOOD[:HEAD_BYTES] + b"garbage", ["0" * 64])


@given(place=st.integers(0, len(GOOD) - 1), flip=st.integers(1, 255))
def test_no_byte_can_be_changed(place: int, flip: int) -> None:
    damaged = bytearray(GOOD)
    damaged[place] ^= flip
    with pytest.raises(PackageRefused):
        opened(bytes(damaged))


@given(length=st.integers(0, len(GOOD) - 1))
def test_nothing_can_be_cut_off(length: int) -> None:
    with pytest.raises(PackageRefused):
        opened(GOOD[:length])


def test_nothing_can_be_added() -> None:
    with pytest.raises(PackageRefused, match="more than it lists"):
        opened(GOOD + b"x")


def test_what_is_too_large_is_refused_unread() -> None:
    with pytest.raises(PackageRefused, match="KiB"):
        opened(GOOD + b"x" * MAX_PACKAGE_BYTES)


def test_another_key_in_front_of_a_signature_does_not_help() -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"1" * 32).public_key().public_bytes_raw()
    with pytest.raises(PackageRefused, match="signature"):
        opened(GOOD[: len(MAGIC)] + other + GOOD[len(MAGIC) + 32 :], [other.hex()])


@pytest.mark.parametrize(
    "path",
    [
        "../evil.py",
        "/etc/passwd",
        "bills/../../evil.py",
        "bills//a.py",
        "bills/./a.py",
        "bills/.hidden",
        "other/a.py",
        "bills.pyc",
        "bills/a\\b.py",
        "bills/a b.py",
        "bills/a\n.py",
        "bills/" + "a" * 200,
        "",
    ],
)
def test_no_file_lies_outside_the_module(path: str) -> None:
    with pytest.raises(PackageRefused):
        opened(listed(INIT, (path, b"")))


@pytest.mark.parametrize(
    "body",
    [
        listed(INIT, INIT),
        listed(INIT, ("bills/__INIT__.py", b"")),
        listed(INIT, ("bills/a", b""), ("bills/a/b.py", b"")),
        listed(),
        listed(INIT, module="bills; import os"),
        listed(INIT, module="msgspec"),
        listed(("msgspec/__init__.py", b""), module="msgspec"),
        listed(INIT, module=""),
        listed(INIT, format=2),
        listed(INIT, extra=1),
        listed(INIT, manifest={}),
        listed(INIT, manifest=MANIFEST | {"name": "../x"}),
        listed(INIT, manifest=MANIFEST | {"version": "1.0"}),
        signed(b"{"),
        signed(b"\xff"),
        signed(b"[" * 100_000),
        signed([]),
    ],
)
def test_what_an_author_signs_is_not_believed_for_that(body: bytes) -> None:
    with pytest.raises(PackageRefused):
        opened(body)


def test_a_file_with_another_hash_than_was_signed_is_refused() -> None:
    said = {"path": "bills/__init__.py", "size_bytes": 1, "sha256": "0" * 64}
    with pytest.raises(PackageRefused, match="not what was signed"):
        opened(signed({"format": 1, "module": "bills", "manifest": MANIFEST, "files": [said]}, b"x"))


def test_the_description_is_plain_json_for_whoever_wants_to_look() -> None:
    size = int.from_bytes(GOOD[HEAD_BYTES - 4 : HEAD_BYTES])
    said = msgspec.json.decode(GOOD[HEAD_BYTES : HEAD_BYTES + size])
    assert [each["path"] for each in said["files"]] == sorted(FILES)
