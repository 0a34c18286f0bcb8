"""What the process takes from itself before it lets a stranger in: the last thing our own code does alone.

The namespaces or the Landlock rules around it were put up by whoever started it. These walls are the same under both:
limits that the kernel keeps, and a filter on system calls that leaves no second process, no thread and no socket.
"""

import ctypes
import resource

from fairlead_sandbox.wire import ProcessLimits

_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_MODE_FILTER = 2
_INSTRUCTION_BYTES = 8


class _Program(ctypes.Structure):
    """`struct sock_fprog`: `linux/filter.h`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def build(limits: ProcessLimits, seccomp: bytes) -> None:
    """Raises OSError and ValueError: then no stranger may be let in."""
    _limit(resource.RLIMIT_CPU, limits.cpu_s)
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NPROC, 1)  # the filter is what holds: this one is not kept for root
    _limit(resource.RLIMIT_MEMLOCK, 0)
    _limit(resource.RLIMIT_MSGQUEUE, 0)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
    _must(prctl(_PR_SET_NO_NEW_PRIVS, 1, None, 0, 0))
    program = _Program(len(seccomp) // _INSTRUCTION_BYTES, seccomp)
    _must(prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program), 0, 0))


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    ceiling = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (ceiling, ceiling))


def _must(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "prctl refused")
