"""The system account that engines run as when we are root, because PostgreSQL refuses to be root itself.

An ordinary user runs them as herself. Root runs them as `fairlead`, a system account without a home or a shell, made at
first use. A path that leads through private directories (`/root`, a 0700 temporary directory) is opened for passing
through, and to that one account, by an access control list; where the file system has none, for everybody, still
without leave to list.
"""

import os
import pwd
import shutil
import stat
import struct
import subprocess
from pathlib import Path

from msgspec import Struct

from fairlead.adapters.embedded.faults import AccountMissing

NAME = "fairlead"

_ACL = "system.posix_acl_access"
_VERSION = struct.Struct("<I")  # linux/posix_acl_xattr.h
_ENTRY = struct.Struct("<HHI")  # tag, permissions, id
_OWNER, _USER, _GROUP, _NAMED_GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_SEARCH = 1


class Account(Struct, frozen=True):
    """`None` in place of ids means: whoever we are."""

    uid: int | None = None
    gid: int | None = None

    @property
    def groups(self) -> tuple[int, ...] | None:
        return None if self.uid is None else ()

    def takes(self, path: Path) -> None:
        """Make an existing file or directory this account's own and nobody else's."""
        path.chmod(0o700 if path.is_dir() else 0o600)
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def may_pass(self, path: Path) -> None:
        """Let this account reach `path`, whose own permissions stay as they are."""
        if self.uid is not None:
            for directory in path.parents:
                _let_through(directory, self.uid)


def engine_account() -> Account:
    """Raises AccountMissing."""
    if os.geteuid() != 0:
        return Account()
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        entry = _made()
    return Account(entry.pw_uid, entry.pw_gid)


def _made() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise AccountMissing(f"started as root: add a system account called {NAME}, or run as an ordinary user")
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false"]
    subprocess.run([useradd, *options, NAME], check=False, capture_output=True)  # noqa: S603 a fixed command
    try:
        return pwd.getpwnam(NAME)  # ours, or that of somebody who was faster
    except KeyError as error:
        raise AccountMissing(f"the system account {NAME} could not be added; run as an ordinary user") from error


def _let_through(directory: Path, uid: int) -> None:
    status = directory.stat()
    if status.st_mode & stat.S_IXOTH or (status.st_uid == uid and status.st_mode & stat.S_IXUSR):
        return
    try:
        _allow_search(directory, status.st_mode, uid)
    except (OSError, AttributeError):  # no lists on this file system, or on this kind of system
        directory.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)


def _allow_search(directory: Path, mode: int, uid: int) -> None:
    entries = _entries(directory) or {
        (_OWNER, _NO_ID): mode >> 6 & 7,
        (_GROUP, _NO_ID): mode >> 3 & 7,
        (_OTHER, _NO_ID): mode & 7,
    }
    entries[_USER, uid] = entries.get((_USER, uid), 0) | _SEARCH
    # The mask bounds what named users and groups get. An existing one may be too narrow: chmod writes it.
    bounded = [granted for (tag, _), granted in entries.items() if tag in (_GROUP, _NAMED_GROUP)]
    entries[_MASK, _NO_ID] = entries.get((_MASK, _NO_ID), max(bounded)) | _SEARCH
    packed = (_ENTRY.pack(tag, granted, owner) for (tag, owner), granted in sorted(entries.items()))
    os.setxattr(directory, _ACL, _VERSION.pack(2) + b"".join(packed))


def _entries(directory: Path) -> dict[tuple[int, int], int]:
    """(tag, id) to permissions; empty when the directory has no list."""
    if _ACL not in os.listxattr(directory):
        return {}
    body = os.getxattr(directory, _ACL)[_VERSION.size :]
    return {(tag, owner): granted for tag, granted, owner in _ENTRY.iter_unpack(body)}
