"""The system calls that are left to a connector. Whatever is not listed fails with EPERM.

No process, thread or program can be started, no socket made, nobody signalled or traced, no limit raised, no mode or
owner changed. Files, memory, time and the channels that are already open remain; what files there are is decided by
the namespaces or by Landlock.
"""

import errno
import fcntl
import tempfile
import termios
from contextlib import suppress
from functools import cache

_ALWAYS = """
    access brk clock_getres clock_gettime clock_nanosleep close close_range copy_file_range dup dup2 dup3
    epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 exit exit_group faccessat faccessat2
    fadvise64 fallocate fchdir fdatasync flock fstat fstatfs fsync ftruncate futex getcwd getdents getdents64
    getegid geteuid getgid getgroups getpgrp getpid getppid getrandom getresgid getresuid getrlimit getrusage
    getsockname getsockopt gettid gettimeofday getuid link linkat lseek lstat madvise membarrier mkdir mkdirat
    mmap mprotect mremap munmap nanosleep newfstatat open openat pipe pipe2 poll ppoll pread64 preadv pselect6
    pwrite64 pwritev read readlink readlinkat readv recvfrom recvmsg rename renameat renameat2 restart_syscall
    rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield select
    sendfile sendmsg sendto set_robust_list set_tid_address shutdown sigaltstack stat statfs statx symlink
    symlinkat sysinfo time times umask uname unlink unlinkat write writev
"""
_SET_OWNER_OR_SIGNAL_ARE_LEFT_OUT = (  # by them the kernel can be made to signal any process of the same user
    fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_GETLK,
    fcntl.F_SETLK, fcntl.F_SETLKW,
)  # fmt: skip
_OF_TERMINALS_AND_CHANNELS = (termios.FIOCLEX, termios.FIONCLEX, termios.FIONBIO, termios.FIONREAD, termios.TCGETS)
_ARGUMENT_BITS = 0xFFFFFFFF


class NoFilter(Exception):
    """libseccomp is missing, or knows this machine's architecture no better than we do."""


@cache
def program() -> bytes:
    """The filter as the kernel loads it. Raises NoFilter."""
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:
        raise NoFilter("libseccomp is not installed") from error
    allow = pyseccomp.ALLOW
    made = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for name in _ALWAYS.split():
        with suppress(OSError, ValueError):  # a name that this libseccomp does not know stays forbidden
            made.add_rule(allow, name)
    for command in _SET_OWNER_OR_SIGNAL_ARE_LEFT_OUT:
        made.add_rule(allow, "fcntl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _ARGUMENT_BITS, command))
    for request in _OF_TERMINALS_AND_CHANNELS:
        made.add_rule(allow, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _ARGUMENT_BITS, request))
    made.add_rule(allow, "prlimit64", pyseccomp.Arg(0, pyseccomp.EQ, 0), pyseccomp.Arg(2, pyseccomp.EQ, 0))
    with tempfile.TemporaryFile() as file:
        made.export_bpf(file)
        file.seek(0)
        return file.read()
