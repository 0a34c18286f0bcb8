"""How a sandboxed call ends when its process, and not its tool, is at fault.

A process that was let go of may have made requests before: what became of a write is then unknown, and a read may be
made again. A process that never began has done nothing.
"""

from fairlead_sdk.errors import OutcomeUnknown, TryLater

_MAX_WHY = 500


class SandboxFault(OutcomeUnknown):
    """The process is ended and never asked again."""


class ProtocolBroken(SandboxFault):
    """It sent what nobody asked for, or what is no message."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the connector's process broke the protocol: {what}", "sandbox_protocol")


class ProcessDied(SandboxFault):
    def __init__(self) -> None:
        super().__init__("the connector's process ended during the call", "sandbox_died")


class CpuSpent(SandboxFault):
    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the call took more than {limit_s:g} s of processor time", "sandbox_cpu")


class Flooded(SandboxFault):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the call wrote more than {limit_bytes} bytes of remarks", "sandbox_flood")


class ScratchFull(SandboxFault):
    def __init__(self, limit: int) -> None:
        super().__init__(f"the call made more than {limit} files", "sandbox_files")


class TookTooLong(SandboxFault):
    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the call took more than {limit_s:g} s", "sandbox_timeout")


class ConnectorRaised(OutcomeUnknown):
    """What a tool may not raise. The text is its name: its message may hold a secret."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the connector raised {what}", "connector_raised")


class CannotStart(TryLater):
    """No process came up; nothing happened. `why` says what the connector or the containment said of it."""

    def __init__(self, why: str) -> None:
        self.why = why[:_MAX_WHY]
        super().__init__(f"the connector's process did not start: {self.why}", "sandbox_start")
