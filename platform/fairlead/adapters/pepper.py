"""The secret that API keys are hashed with. Whoever has only the database cannot test a guess."""

import secrets
from pathlib import Path

from fairlead_tenants.keys import MIN_PEPPER_BYTES

from fairlead.adapters.embedded.secrets import write_private
from fairlead.domain.errors import FairleadError

MADE_BYTES = 64


class PepperTooShort(FairleadError):
    """A pepper that could be guessed protects nothing."""

    code = "pepper_too_short"


def pepper(file: Path | None, data_dir: Path) -> bytes:
    """Read from `file`; without one, from the data directory, where it is made at first use. Raises PepperTooShort."""
    kept = file or data_dir / "pepper"
    if file is None and not kept.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(kept, secrets.token_bytes(MADE_BYTES))
    secret = kept.read_bytes()
    if len(secret) < MIN_PEPPER_BYTES:
        raise PepperTooShort(f"{kept} holds {len(secret)} bytes, at least {MIN_PEPPER_BYTES} are needed")
    return secret
