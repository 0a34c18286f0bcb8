"""A connector as one signed file.

    magic (16) · author's public key (32) · signature (64) · size of the description (4, big endian)
    · description (JSON) · the files, one after another, in the order of the description

The signature is over the description, which holds the SHA-256 of each file. Nothing is parsed before it has been
verified, nothing is compressed, and no name of a file means anything until all of it has passed.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fairlead_sdk.description import ManifestDescription, description_of
from msgspec import Meta, Struct

from fairlead.domain.canonical import canonical
from fairlead.domain.connectors.versions import Version
from fairlead.domain.errors import Rejected

MAGIC = b"FAIRLEAD-CONN-1\n"
SIGNED = b"fairlead connector package 1\n"  # what else the key may sign is not mistaken for a package
KEY_BYTES, SIGNATURE_BYTES, SIZE_BYTES = 32, 64, 4
HEAD_BYTES = len(MAGIC) + KEY_BYTES + SIGNATURE_BYTES + SIZE_BYTES
MAX_PACKAGE_BYTES = 4 * 1024 * 1024
MAX_DESCRIPTION_BYTES = 1024 * 1024
MAX_FILES = 500
MAX_PATH = 200

_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_OURS = ("fairlead", "fairlead_sdk", "fairlead_sandbox", "fairlead_tenants", "msgspec", "pluggy", "typing_extensions")

AuthorKey = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]  # an Ed25519 public key in hex


class PackedFile(Struct, frozen=True, forbid_unknown_fields=True):
    path: Annotated[str, Meta(min_length=1, max_length=MAX_PATH)]
    size_bytes: Annotated[int, Meta(ge=0, le=MAX_PACKAGE_BYTES)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class PackageDescription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`module` is what the entry point names. `manifest` is the connector's own, with the schemas of its tools."""

    format: Literal[1] = 1
    module: str
    manifest: dict[str, Any]
    files: Annotated[tuple[PackedFile, ...], Meta(min_length=1, max_length=MAX_FILES)]


class Package(Struct, frozen=True, kw_only=True):
    """What has been verified. `digest` is SHA-256 of the whole file in hex."""

    name: str
    version: str
    module: str
    manifest: ManifestDescription
    author_key: AuthorKey
    digest: str
    files: Mapping[str, bytes]


class PackageRefused(Rejected):
    """The file is no package of a connector that could be believed."""

    code = "package_refused"


class AuthorNotAllowed(Rejected):
    """The package is signed, and the installation does not trust its author."""

    code = "author_not_allowed"


def packed(module: str, manifest: dict[str, Any], files: Mapping[str, bytes], key: Ed25519PrivateKey) -> bytes:
    """The same for the same content and key. Raises PackageRefused for what would be refused when it is read."""
    listed = tuple(PackedFile(path, len(files[path]), _sha256(files[path])) for path in sorted(files))
    description = canonical(msgspec.to_builtins(PackageDescription(module=module, manifest=manifest, files=listed)))
    public = key.public_key().public_bytes_raw()
    head = MAGIC + public + key.sign(SIGNED + description) + len(description).to_bytes(SIZE_BYTES)
    body = head + description + b"".join(files[each.path] for each in listed)
    opened(body)
    return body


def opened(body: bytes, allowed: Collection[str] | None = None) -> Package:
    """`allowed` are the keys of the authors that are trusted, None for any. Raises PackageRefused, AuthorNotAllowed."""
    author_key, description_bytes = _signed(body, allowed)
    try:
        said = msgspec.json.decode(description_bytes, type=PackageDescription)
        manifest = description_of(said.manifest)
        Version(manifest.version)
    except (ValueError, RecursionError) as misfit:
        raise PackageRefused("its description cannot be read") from misfit
    files = dict(_files(said.files, body[HEAD_BYTES + len(description_bytes) :]))
    _check_names(said, manifest)
    return Package(
        name=manifest.name,
        version=manifest.version,
        module=said.module,
        manifest=manifest,
        author_key=author_key,
        digest=_sha256(body),
        files=files,
    )


def _signed(body: bytes, allowed: Collection[str] | None) -> tuple[AuthorKey, bytes]:
    """By whom, and what. Looks at sizes and at nothing else until the signature is verified."""
    if len(body) > MAX_PACKAGE_BYTES:
        raise PackageRefused(f"it has more than {MAX_PACKAGE_BYTES // 1024} KiB")
    if len(body) < HEAD_BYTES or not body.startswith(MAGIC):
        raise PackageRefused("it is not a package of a connector")
    head = memoryview(body)[len(MAGIC) : HEAD_BYTES]
    public, signature = bytes(head[:KEY_BYTES]), bytes(head[KEY_BYTES : KEY_BYTES + SIGNATURE_BYTES])
    if allowed is not None and public.hex() not in allowed:
        raise AuthorNotAllowed(f"its author's key {public.hex()} is not among those that are allowed")
    size_bytes = int.from_bytes(head[-SIZE_BYTES:])
    if size_bytes > min(MAX_DESCRIPTION_BYTES, len(body) - HEAD_BYTES):
        raise PackageRefused("its description is too large, or cut off")
    description = body[HEAD_BYTES : HEAD_BYTES + size_bytes]
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, SIGNED + description)
    except (InvalidSignature, ValueError):
        raise PackageRefused("its signature does not fit it") from None
    return public.hex(), description


def _files(listed: tuple[PackedFile, ...], rest: bytes) -> Iterator[tuple[str, bytes]]:
    if sum(each.size_bytes for each in listed) != len(rest):
        raise PackageRefused("its files are cut off, or more than it lists")
    start = 0
    for each in listed:
        content = rest[start : start + each.size_bytes]
        if _sha256(content) != each.sha256:
            raise PackageRefused(f"its file {each.path!r} is not what was signed")
        yield each.path, content
        start += each.size_bytes


def _check_names(said: PackageDescription, manifest: ManifestDescription) -> None:
    if not _NAME.fullmatch(manifest.name):
        raise PackageRefused("its connector's name is not a name")
    if not _MODULE.fullmatch(said.module):
        raise PackageRefused("its module's name is not a name")
    top = said.module.partition(".")[0]
    if top in _OURS:
        raise PackageRefused(f"its module is called {top}, as one of ours")
    paths = [each.path for each in said.files]
    if len({path.lower() for path in paths}) != len(paths):
        raise PackageRefused("two of its files have one name")
    for path in paths:
        if not _PATH.fullmatch(path) or len(path) > MAX_PATH or path.split("/")[0] not in (top, f"{top}.py"):
            raise PackageRefused(f"its file {path!r} does not lie in its module")
    folders = {"/".join(path.split("/")[:depth]).lower() for path in paths for depth in range(1, path.count("/") + 1)}
    if folders & {path.lower() for path in paths}:
        raise PackageRefused("one of its files is a folder of others")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
