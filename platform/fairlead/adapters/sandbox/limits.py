"""How much a third-party connector may take before its process is ended. A call that ran into a bound is lost alone."""

from fairlead_sandbox.wire import ProcessLimits
from msgspec import Struct

MIB = 1024 * 1024


class Limits(Struct, frozen=True, kw_only=True):
    """`cpu_s` is of one call, the rest of one process. `wall_s` is for whoever forgot a tool's own timeout."""

    cpu_s: float = 30.0
    wall_s: float = 600.0
    memory_bytes: int = 256 * MIB  # of address space: the interpreter takes about 60 of it
    lifetime_cpu_s: int = 3_000  # then the kernel ends it
    kept_bytes: int = 96 * MIB  # a process that holds more memory does not wait for another call
    kept_cpu_s: float = 1_500.0  # nor does one that has worked for so long
    scratch_bytes: int = 32 * MIB
    scratch_files: int = 10_000  # an empty one takes memory as well
    file_bytes: int = 32 * MIB
    open_files: int = 64
    output_bytes: int = 4 * MIB
    frame_bytes: int = 6 * MIB  # an output and what is around it, or a manifest
    request_bytes: int = 12 * MIB  # a request to a counterpart, its body in base64
    answer_bytes: int = 8 * MIB  # of a counterpart, before base64
    requests: int = 1_000  # to counterparts in one call
    requests_at_once: int = 8
    remarks_bytes: int = MIB  # on standard error in one call; the first few thousand characters are logged
    start_s: float = 10.0
    stop_s: float = 1.0  # for a cancelled call to end by itself
    calls: int = 1_000  # before a process is replaced
    idle_s: float = 60.0
    processes: int = 32
    processes_per_tenant: int = 8

    @property
    def of_process(self) -> ProcessLimits:
        return ProcessLimits(
            cpu_s=self.lifetime_cpu_s,
            memory_bytes=self.memory_bytes,
            file_bytes=self.file_bytes,
            open_files=self.open_files,
        )
