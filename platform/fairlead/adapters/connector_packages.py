"""Packages of connectors: kept in BLOBS by their hash, verified again whenever they come back, and laid out as files
that a sandbox can read."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from tempfile import mkdtemp

from fairlead.adapters.nats_blobs import NatsBlobs
from fairlead.domain.connectors.catalogue import INSTALLATION, Entry
from fairlead.domain.connectors.package import Package, PackageRefused, opened

FOLDER = "connectors"  # within the data directory


class ConnectorPackages:
    def __init__(self, blobs: NatsBlobs, data_dir: Path) -> None:
        self._blobs = blobs
        self._folder = data_dir / FOLDER

    async def keep(self, body: bytes) -> str:
        """Its digest. `body` has been opened."""
        return await self._blobs.put(INSTALLATION, body)

    async def fetch(self, entry: Entry, authors: Collection[str]) -> Package:
        """Raises AuthorNotAllowed, PackageRefused, UnreadableCommit."""
        package = opened(await self._blobs.get(INSTALLATION, entry.package_sha256, entry.package_bytes), authors)
        if package.digest != entry.package_sha256 or package.author_key != entry.author_key:
            raise PackageRefused("it is not the package that was published")
        return package

    def lay_out(self, package: Package) -> Path:
        """The folder to import it from, with exactly its files in it. Several processes may do so at once."""
        folder = self._folder / f"{package.name}-{package.version}-{package.digest[:16]}"
        if not _holds(folder, package):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            fresh = Path(mkdtemp(prefix=".new-", dir=self._folder))
            fresh.chmod(0o755)  # the account of the sandbox reads it
            _write(fresh, package)
            _put_in_place(fresh, folder, package)
        return folder


def _holds(folder: Path, package: Package) -> bool:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return found == package.files.keys() and all(
        not (folder / path).is_symlink() and (folder / path).read_bytes() == content
        for path, content in package.files.items()
    )


def _write(folder: Path, package: Package) -> None:
    for path, content in package.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        (folder / path).write_bytes(content)
        (folder / path).chmod(0o644)


def _put_in_place(fresh: Path, folder: Path, package: Package) -> None:
    """Whoever comes second finds it done, and takes its own away."""
    old = fresh.with_name(f"{fresh.name}.old")
    try:
        if folder.exists():
            os.replace(folder, old)  # noqa: PTH105  # it was changed by somebody
        os.replace(fresh, folder)  # noqa: PTH105
    except OSError:
        if not _holds(folder, package):
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
