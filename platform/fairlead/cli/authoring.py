"""`fairlead connector new | check | keygen | pack | show | unpack`: a connector from nothing to a signed file."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import rich_click as click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from fairlead_sdk.description import ManifestDescription, plain
from msgspec import Struct

from fairlead.cli.exits import Exit
from fairlead.cli.failures import Failure
from fairlead.cli.output import Column, Format, Printer, View, output_option
from fairlead.cli.private_files import read_private, write_private
from fairlead.cli.targets import profiles_file
from fairlead.domain.connectors.package import MAX_PACKAGE_BYTES, Package, opened, packed

CHECK_WITHIN_S = 600.0
KEY_FILE = "author-key.pem"
SUFFIX = ".fairlead"
_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_MAX_NAME = 32
_LEFT_OUT = ("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache")
_PACKAGE = View(
    identity="digest",
    columns=(
        Column("CONNECTOR", "name"),
        Column("VERSION", "version"),
        Column("AUTHOR", "author_key"),
        Column("SHA-256", "digest"),
        Column("FILES", "files"),
    ),
    details=(Column("REACHES", "manifest.egress"), Column("TOOLS", "tools")),
)


class Tried(Struct, frozen=True, kw_only=True):
    """As `fairlead_sdk.testing.project` says it."""

    module: str = ""
    manifest: ManifestDescription | None = None
    checks: int = 0
    faults: tuple[str, ...] = ()


@click.group()
def connector() -> None:
    """Write connectors, publish and install them, and say which of them a tenant uses."""


@connector.command("new")
@click.argument("name")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), help="The folder to make; else NAME.")
def new(name: str, into: Path | None) -> None:
    """Begin a connector called NAME: a folder that passes the check as it is."""
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise Failure(f"{name!r} is no name: lower-case words joined by _, at most {_MAX_NAME} characters", Exit.USAGE)
    folder = into or Path(name)
    if folder.exists() and any(folder.iterdir()):
        raise Failure(f"{folder} is there already, and not empty", Exit.REFUSED)
    for file, content in _scaffold(name):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content)
    click.echo(f"made {folder}; try it with: fairlead connector check {folder}")


@connector.command("check")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def check(folder: Path) -> None:
    """Hold the connector in FOLDER to its manifest, and try it against its author's counterpart.

    Runs its code here, as whoever asks: check what you wrote or trust. Ends with 6 when anything is found.
    """
    tried = _tried(folder)
    assert tried.manifest is not None, "it would have had faults"
    click.echo(f"{tried.manifest.name} {tried.manifest.version}: {tried.checks} checks, nothing found")


@connector.command("keygen")
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Where to keep it; else its usual place.")
def keygen(file: Path | None) -> None:
    """Make the key that you sign packages with, once, and print its public half: what operators allow."""
    file = file or default_key_file()
    if file.exists():
        raise Failure(f"{file} is there already: what was signed with it could not be followed", Exit.REFUSED)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    write_private(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    click.echo(f"the private half lies in {file}; keep it", err=True)
    click.echo(key.public_key().public_bytes_raw().hex())


@connector.command("pack")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--key-file", type=click.Path(dir_okay=False, path_type=Path), help="Your key; else in its usual place.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help=f"Else NAME-VERSION{SUFFIX}, here.")
def pack(folder: Path, key_file: Path | None, out: Path | None) -> None:
    """Check the connector in FOLDER and put it into one signed file. The same content gives the same bytes."""
    signing = _signing_key(key_file or default_key_file())
    tried = _tried(folder)
    assert tried.manifest is not None, "it would have had faults"
    body = packed(tried.module, plain(tried.manifest), dict(_files(folder, tried.module)), signing)
    file = out or Path(f"{tried.manifest.name}-{tried.manifest.version}{SUFFIX}")
    file.write_bytes(body)
    click.echo(file)


@connector.command("show")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option
def show(file: Path, output: Format) -> None:
    """Verify the package in FILE and say what is in it and whose it is. Runs nothing of it."""
    Printer(output).one(_shown(package_in(file)), _PACKAGE)


@connector.command("unpack")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def unpack(file: Path, folder: Path) -> None:
    """Verify the package in FILE and write its code into FOLDER, to be read. Runs nothing of it."""
    package = package_in(file)
    if folder.exists():
        raise Failure(f"{folder} is there already", Exit.REFUSED)
    for path, content in package.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    click.echo(f"{len(package.files)} files in {folder}")


def package_in(file: Path) -> Package:
    """Raises PackageRefused."""
    return opened(package_bytes(file))


def package_bytes(file: Path) -> bytes:
    with file.open("rb") as source:
        return source.read(MAX_PACKAGE_BYTES + 1)


def default_key_file() -> Path:
    return profiles_file(os.environ).parent / KEY_FILE


def template_folder() -> Path:
    """Inside the package when installed, beside the connectors in a working copy."""
    here = Path(__file__).resolve()
    packaged = here.parents[1] / "connector_template"
    return packaged if packaged.is_dir() else here.parents[3] / "connectors" / "template"


def _scaffold(name: str) -> Iterator[tuple[str, str]]:
    """Each file's name and text, with the name in place of `sample`."""
    title = "".join(word.capitalize() for word in name.split("_"))
    template = template_folder()
    for file in sorted(template.rglob("*")):
        if file.is_file() and not set(file.parts) & set(_LEFT_OUT):
            texts = (file.relative_to(template).as_posix(), file.read_text())
            path, content = (text.replace("sample", name).replace("Sample", title) for text in texts)
            yield path, content


def _tried(folder: Path) -> Tried:
    """In a process of its own. Raises Failure with everything that was found."""
    command = [sys.executable, "-m", "fairlead_sdk.testing.project", str(folder)]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=CHECK_WITHIN_S, check=False)  # noqa: S603  # our own
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{folder} was not done within {CHECK_WITHIN_S:g} s", Exit.INVALID) from late
    try:
        tried = msgspec.json.decode(ran.stdout, type=Tried)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Failure(f"{folder} ended the check early", Exit.INVALID, details=(_last(ran.stderr),)) from error
    if tried.faults:
        raise Failure(f"{folder} does not pass", Exit.INVALID, details=tried.faults)
    return tried


def _last(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _files(folder: Path, module: str) -> Iterator[tuple[str, bytes]]:
    """Those of the module, by path from its parent."""
    top = module.partition(".")[0]
    if (single := folder / f"{top}.py").is_file():
        yield single.name, single.read_bytes()
        return
    for file in sorted((folder / top).rglob("*")):
        if file.is_symlink():
            raise Failure(f"{file} is a link: a package holds files only", Exit.INVALID)
        if file.is_file() and not set(file.parts) & set(_LEFT_OUT):
            yield file.relative_to(folder).as_posix(), file.read_bytes()


def _signing_key(file: Path) -> Ed25519PrivateKey:
    content = read_private(file)
    if content is None:
        message = f"there is no key in {file} that only you can read: make one with `fairlead connector keygen`"
        raise Failure(message, Exit.USAGE)
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise Failure(f"{file} holds no key of ours", Exit.USAGE) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Failure(f"{file} holds a key of another kind than Ed25519", Exit.USAGE)
    return key


def _shown(package: Package) -> dict[str, object]:
    manifest = plain(package.manifest)
    return {
        "name": package.name,
        "version": package.version,
        "author_key": package.author_key,
        "digest": package.digest,
        "files": {path: len(content) for path, content in package.files.items()},
        "tools": {tool.name: str(tool.effect) for tool in package.manifest.tools},
        "manifest": manifest,
    }
