"""`python -I -S confine.py WALLS`: gives up what it can, then becomes a connector's process.

A program of its own, because what is given up here is given up for good, and must not be our own process's.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_NO_ROOT_LOCKED = 0b11  # an id of 0 brings no capability, and that cannot be taken back
_CAPABILITIES = 64
_VERSION_3 = 0x20080522  # linux/capability.h


def main() -> None:
    walls = json.loads(sys.argv[1])
    library = ctypes.CDLL(None, use_errno=True)
    _must(library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != walls["parent"]:
        sys.exit("whoever started this is gone already")
    sys.path.append(walls["libraries"])
    try:
        _restrict(walls["read"])
    except Exception as error:  # noqa: BLE001  # this kernel has none, or not for us: whatever it is, nothing is run
        sys.exit(f"Landlock cannot be had: {type(error).__name__}")
    if os.geteuid() == 0:
        _drop_capabilities(library)
    os.chdir("/")
    os.execve(walls["program"][0], walls["program"], walls["environment"])  # noqa: S606  # our own command line


def _restrict(paths: Sequence[str]) -> None:
    """From here on nothing can be opened but these, to be read; no TCP, no signal to others where the kernel can."""
    from py_landlock import AccessFs, Landlock

    rules = Landlock(strict=False)
    for path in map(Path, paths):
        access = AccessFs.READ_FILE | AccessFs.EXECUTE
        rules.add_path_rule(path, access=access | AccessFs.READ_DIR if path.is_dir() else access)
    rules.add_path_rule(os.devnull, access=AccessFs.READ_FILE | AccessFs.WRITE_FILE)
    rules.apply()


def _drop_capabilities(library: ctypes.CDLL) -> None:
    """The first two may be refused: a root without privileges cannot give up more. `no_new_privs`, which Landlock has
    set, then sees to it that becoming another program brings none back.
    """
    for capability in range(_CAPABILITIES):
        library.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    library.prctl(_PR_SET_SECUREBITS, _NO_ROOT_LOCKED, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    _must(library.capset(header, (ctypes.c_uint32 * 6)()))


def _must(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "a privilege could not be given up")


if __name__ == "__main__":
    main()
